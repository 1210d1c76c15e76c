"""What a resolved config describes: the cells of its experiments, their options, and which images are compared."""

import itertools
from collections.abc import Iterable, Mapping

from autoencoders.jobs import kinds

CELL_KEYS = ("dataset", "model", "filters", "depth", "latent", "seed")
# The figures of the paper's experiments, by number (Figures 2 and 5 are the same plot); others keep their names.
PAPER_FIGURES = {"width": "figure1", "depth": "figure2_5", "frozen": "figure3", "normalisation": "figure4"}
# The experiment whose codes are drawn (Figures A.1 and A.2) instead of its scores.
SCATTER = "scatter"
# The comparison that holds what some measures give for the test images themselves.
TEST_IMAGES = "test_images"
# The comparison, setting and source of images made elsewhere.
EXTERNAL = "external"
# The experiment whose figure compares methods at one latent size.
BASELINES = "baselines"
# The image set of a model's native prior, if that one does not run for all models.
NATIVE = "native"
# The comparisons without a prior.
NOT_PRIORS = ("train_recon", "train_recon_vs_train", "test_recon", "interpolation", TEST_IMAGES, EXTERNAL)


def cells(config: dict, known_only: bool = False) -> list[dict]:
    """Every cell of the experiments in ``run``, each once: plain dicts with the keys CELL_KEYS.

    ``known_only`` leaves out grids with unknown names, so that checks can continue after such a fault.
    """
    found = {}
    for experiment in config["run"]:
        for cell in experiment_cells(config, experiment, known_only):
            found[tuple(cell.values())] = cell
    return list(found.values())


def experiment_cells(config: dict, experiment: str, known_only: bool = False) -> list[dict]:
    """The cells of one experiment, each once: the product of each grid's axes, of which seeds are one."""
    grids = config["experiments"].get(experiment, []) if known_only else config["experiments"][experiment]
    return cells_of_grids(config, grids, known_only)


def cells_of_grids(config: dict, grids: Iterable[Mapping], known_only: bool = False) -> list[dict]:
    """The cells of some grids, each once."""
    found = {}
    for grid in grids:
        for dataset, model in itertools.product(as_list(grid["dataset"]), grid_models(grid)):
            if known_only and (dataset not in config["datasets"] or model not in config["models"]):
                continue
            if config["run_on"] and dataset not in config["run_on"]:
                continue
            latent = as_list(grid.get("latent", config["datasets"][dataset]["latent"]))
            depth = dict.fromkeys(plain_depth(value) for value in as_list(grid["depth"]))
            seeds = as_list(grid.get("seeds", config["seeds"]))
            for values in itertools.product(as_list(grid["filters"]), depth, latent, seeds):
                found[dataset, model, *values] = None
    return [dict(zip(CELL_KEYS, values, strict=True)) for values in found]


def grid_models(grid: Mapping) -> list[str]:
    """The models of a grid: with `weight_factors`, each with its weights times every factor."""
    factors = grid.get("weight_factors", [1])
    return [factor_model(model, factor) for model in as_list(grid["model"]) for factor in factors]


def factor_model(model: str, factor: float) -> str:
    """The name of a model with its weights times a factor: wae-x0.3; wae itself for 1."""
    return model if factor == 1 else f"{model}-x{factor:g}"


def tuning_grids(config: dict, experiments: Iterable[str]) -> list[dict]:
    """The grids with `weight_factors` of some experiments."""
    return [grid for name in experiments for grid in config["experiments"].get(name, []) if "weight_factors" in grid]


def tuning_cells(config: dict) -> list[dict]:
    """The cells of the grids with `weight_factors` that run, each once."""
    return cells_of_grids(config, tuning_grids(config, config["run"]))


def tuned_settings(config: dict) -> dict[str, tuple[str, float]]:
    """The models of all grids with `weight_factors`: name -> the model that is described, and the factor of its
    weights.
    """
    return {
        factor_model(model, factor): (model, factor)
        for grid in tuning_grids(config, config["experiments"])
        for model in as_list(grid["model"])
        for factor in grid["weight_factors"]
    }


def described_models(config: dict) -> list[str]:
    """The models of a resolved config without those that `weight_factors` made."""
    settings = tuned_settings(config)
    return [name for name in config["models"] if settings.get(name, (name, 1))[0] == name]


def native_prior(config: dict, model: str) -> str:
    """The prior by whose samples a model's weights are chosen."""
    return config["models"][model]["native_prior"] or "gmm"


def images_of(config: dict, dataset: str) -> str:
    """The dataset that describes a dataset's images: itself, or the one that it is a validation split of."""
    return config["datasets"][dataset].get("validation_of", dataset)


def tested_datasets(config: dict) -> list[str]:
    """The datasets whose test images are not held out of another one's training images."""
    return [name for name, dataset in config["datasets"].items() if "validation_of" not in dataset]


def first_seeds(cells: Iterable[Mapping]) -> list[Mapping]:
    """Of the cells that differ in their seed alone, the first one, in the order of ``cells``."""
    found = {}
    for cell in cells:
        found.setdefault(tuple(value for key, value in cell.items() if key != "seed"), cell)
    return list(found.values())


def redrawn_cell(config: dict, dataset: str) -> dict | None:
    """The cell of a dataset whose samples are drawn again, to measure how much a score depends on the draw (rule
    redraw). None if none of the dataset's cells run.

    It is a cell at the comparison latent size, or any if none has this size, as in a run of the scatter plots alone.
    Depth 1 and the model dae come first, then the widest network, then the smallest seed.
    """
    found = [cell for cell in cells(config) if cell["dataset"] == dataset]
    compared = [cell for cell in found if cell["latent"] == config["datasets"][dataset]["comparison_latent"]]

    def rank(cell: Mapping) -> tuple:
        preferred = (cell["depth"] != "1", cell["model"] != "dae", -cell["filters"], cell["seed"])
        # Ties are broken by what is left, so that the order of grids does not matter.
        return (*preferred, cell["model"], cell["depth"], cell["latent"])

    return min(compared or found, key=rank, default=None)


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def plain_depth(depth: int | str) -> str:
    """A depth as a part of a path: 2222 is the same network as 2, so it becomes 2."""
    digits = str(depth)
    return digits[0] if len(digits) == 4 and len(set(digits)) == 1 else digits


def network_options(config: dict, cell: Mapping) -> dict:
    """The options of a cell's network, named as in `networks.network.NetworkOptions`, with depth as in a path.

    ``cell`` has the keys CELL_KEYS; numbers may be text, as wildcards are.
    """
    model = config["models"][cell["model"]]
    shape = ("variational", "latent_norm", "widening", "decoder_channels", "decoder_activation", "decoder_repeats")
    return {
        "size": config["datasets"][cell["dataset"]]["size"],
        "filters": int(cell["filters"]),
        "depth": cell["depth"],
        "latent": int(cell["latent"]),
        **{key: model[key] for key in shape},
    }


def objective_options(config: dict, model: str, dataset: str) -> dict:
    """The options of a model's training objective on a dataset, named as in `networks.objective.Objective`."""
    dataset = images_of(config, dataset)
    options = {key: config["models"][model][key] for key in ("beta", "kl_reduction", "noise", "penalties")}
    return options | {
        "penalties": {
            name: kinds.of_dataset(entry, kinds.options(kinds.load("penalties", entry["kind"])), dataset)
            for name, entry in options["penalties"].items()
        }
    }


def training_options(config: dict, model: str) -> dict:
    """The options of a model's training, with its own rates."""
    factor, training = config["models"][model]["learning_rate_factor"], config["training"]
    rates = [step | {"rate": factor * step["rate"]} for step in training["learning_rate"]]
    return training | {"learning_rate": rates}


def training_work(config: dict, cell: Mapping, images: int | None) -> tuple[dict, str, int, int]:
    """What `networks.memory_count.training_bytes` is given for a cell: with as many ``images``, or a batch."""
    batch_size = config["training"]["batch_size"]
    precision = config["models"][cell["model"]]["precision"]
    return network_options(config, cell), precision, batch_size, batch_size if images is None else images


def penalty_kinds(config: dict, model: str) -> list[str]:
    """The kinds of a model's penalties, including the KL divergence of a variational model."""
    recipe = config["models"][model]
    return [entry["kind"] for entry in recipe["penalties"].values()] + [kinds.KL] * recipe["variational"]


def untuned_datasets(config: dict, model: str) -> list[str]:
    """The datasets on which the weights of a model's penalties were not chosen; none for a model without penalties."""
    recipe = config["models"][model]
    return [name for name in tested_datasets(config) if recipe["penalties"] and name not in recipe["tuned_on"]]


def running(config: dict, group: str) -> dict[str, dict]:
    """The entries of the config's "priors" or "measures" that run for every model, by name."""
    chosen = config[f"run_{group}"]

    def runs(name: str, entry: Mapping) -> bool:
        if chosen is not None:
            return name in chosen
        return group != "priors" or not kinds.needs(kinds.load(group, entry["kind"]), "ONLY_NATIVE", False)

    return {name: entry for name, entry in config[group].items() if runs(name, entry)}


def extra_prior(config: dict, model: str) -> str | None:
    """A model's native prior, if it does not run for every model."""
    native = config["models"][model]["native_prior"]
    return None if native in running(config, "priors") else native


def model_priors(config: dict, model: str) -> dict[str, dict]:
    """The entries of the priors that run for a model, by name: its native prior is one of them."""
    extra = extra_prior(config, model)
    return running(config, "priors") | ({extra: config["priors"][extra]} if extra else {})


def prior_options(config: dict, prior: str, dataset: str) -> dict:
    """A prior's entry with the values of one dataset."""
    entry = config["priors"][prior]
    return kinds.of_dataset(entry, kinds.options(kinds.load("priors", entry["kind"])), images_of(config, dataset))


def own_kinds(config: dict) -> list[tuple[str, str]]:
    """(group, kind) of each kind in use that is a user's own file."""
    models = {cell["model"] for cell in cells(config)}
    penalties = [entry for model in models for entry in config["models"][model]["penalties"].values()]
    priors = [entry for model in models for entry in model_priors(config, model).values()]
    groups = {"priors": priors, "measures": running(config, "measures").values(), "penalties": penalties}
    used = {(group, entry["kind"]) for group, entries in groups.items() for entry in entries}
    return sorted((group, kind) for group, kind in used if kinds.is_file(kind))


def image_sets(config: dict, model: str | None = None) -> list[str]:
    """The names of a cell's image sets: reconstructions, interpolations, samples of every prior and, given a model,
    those of its native prior if it is not one of them.
    """
    extra = [NATIVE] if model and extra_prior(config, model) else []
    return ["train_recon", "test_recon", "interpolation", *running(config, "priors"), *extra]


def comparisons(config: dict, model: str | None = None) -> dict[str, list[str]]:
    """Each comparison by name: an image set of `image_sets`, and the split of real images that it is compared with."""
    references = config["scoring"]["train_recon_references"]
    # The paper's comparison has the name of its image set.
    reconstructed = {"test": "train_recon", "train": "train_recon_vs_train"}
    found = {reconstructed[split]: ["train_recon", split] for split in ("test", "train") if split in references}
    found |= {name: [name, "test"] for name in image_sets(config)[1:]}
    # Named like its prior in scores and tables.
    return found | ({extra: [NATIVE, "test"]} if model and (extra := extra_prior(config, model)) else {})


def likelihood_priors(config: dict) -> dict[str, str]:
    """The priors under which likelihoods of codes are computed, by kind (mvg and gmm): the one named like its kind, or
    else the first by name. A kind is left out if none of its priors run.
    """
    chosen = {}
    for kind in ("mvg", "gmm"):
        names = sorted(name for name, entry in running(config, "priors").items() if entry["kind"] == kind)
        if names:
            chosen[kind] = kind if kind in names else names[0]
    return chosen
