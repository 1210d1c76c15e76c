"""Checks beyond the schema: unknown names, missing files, and options that contradict each other.

Snakemake's own process imports this module, so it may import only packages that Snakemake depends on.
"""

import difflib
import itertools
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from autoencoders.config.external import as_dataset
from autoencoders.config.grid import (
    BASELINES,
    CELL_KEYS,
    NATIVE,
    NOT_PRIORS,
    PAPER_FIGURES,
    SCATTER,
    as_list,
    cells,
    described_models,
    experiment_cells,
    images_of,
    model_priors,
    native_prior,
    objective_options,
    prior_options,
    running,
    tested_datasets,
    tuning_grids,
)
from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError

# Tables and claims treat priors of these names as the paper's.
PAPERS_PRIORS = ("standard_normal", "mvg", "gmm")
# The measure that tables, figures and claims report.
FRECHET = "frechet"
# Each prior's name becomes a table column beside these.
TABLE_COLUMNS = {*CELL_KEYS, *NOT_PRIORS, "setting", "extractor", "source", "prior", "seeds", "status"}
TABLE_COLUMNS |= {"frechet_distance", "comparison", "measure", "external_images"}
# Further column headers, in lower case, since names are compared regardless of case.
HEADERS = {"midpoints", "fd", "fid"}
# Names of extractors that begin with these words must have this kind, or tables would misstate what features are.
DINOV2 = "dinov2"
NAMED_KINDS = {kind: kind for kind in kinds.names("extractors")} | {DINOV2: "timm"}
# The extractor of the FID, and the name in tables if it has other weights (scores/extractors/inception.py).
OFFICIAL, NOT_OFFICIAL = "inception", "inception-other"
# Each prior's name also becomes an array in a cell's gallery beside these.
GALLERY = {
    NATIVE,
    "format",
    "file",
    "allow_pickle",
    "train_recon_originals",
    "test_recon_originals",
    "steps",
    "step_ends",
}


def by_width(cells_per_gpu: Mapping) -> list[tuple[int, int]]:
    """Sorted pairs (width, number of cells); the config may have widths as text."""
    return sorted((int(width), count) for width, count in cells_per_gpu.items())


def find_contradictions(config: dict) -> Iterator[str]:
    """A message for each fault that the schema can't see, given a config with its defaults."""
    wrong_names = list(check_names(config))
    yield from wrong_names
    yield from check_kinds(config)
    yield from check_extractors(config)
    yield from check_schedule(config["training"])
    yield from check_cells_per_gpu(config["cells_per_gpu"])
    found = cells(config, known_only=True)
    if not found and not wrong_names:
        yield (
            f"run_on: no experiment of run = {config['run']} has a cell on {', '.join(config['run_on'])}. "
            "Write a dataset that their grids name, or null for all."
        )
    used = {cell["dataset"] for cell in found}
    for name in sorted(used):
        yield from check_dataset(name, config["datasets"][name], config["extractors"])
        yield from check_comparison(name, config["datasets"][name]["comparison_latent"], config)
    yield from check_external(config, used)
    if SCATTER in config["run"]:
        yield from check_scatter(experiment_cells(config, SCATTER, known_only=True))
    faults = list(check_penalties(config, found))
    yield from faults
    if not wrong_names and not faults:
        yield from check_native_priors(config, found)
    yield from check_tuning(config)
    if config["training"]["batch_size"] == 1:
        for name in sorted({cell["model"] for cell in found}):
            if config["models"][name]["latent_norm"] in ("batch", "batch_plain"):
                yield f"training.batch_size: the model {name} normalises codes over the batch. Write at least 2."
    for extractor, entry in used_extractors(config, used).items():
        weights = entry.get("weights")
        if weights is not None and not os.path.isfile(os.path.expanduser(weights)):
            module = kinds.load("extractors", entry["kind"])
            file = module.URL.rpartition("/")[2] if hasattr(module, "URL") else "its safetensors file"
            yield (
                f"extractors.{extractor}.weights: there is no file {weights!r}. Write the path of {file}, or null to "
                "download it."
            )
        elif weights is not None and (fault := kinds.interpreted(os.path.expanduser(weights))):
            yield f"extractors.{extractor}.weights: {fault}"


def check_penalties(config: dict, cells: Iterable[Mapping]) -> Iterator[str]:
    """Faults of the penalties of the models of cells. Each is reported once, though many cells have it.

    Models with multiplied weights have the faults of those that are described, which run too.
    """
    described = described_models(config)
    cells = [cell for cell in cells if cell["model"] in described]
    for model, dataset, latent in sorted({(cell["model"], cell["dataset"], cell["latent"]) for cell in cells}):
        recipe, batch_size, earlier = config["models"][model], config["training"]["batch_size"], {}
        for name, entry in recipe["penalties"].items():
            place, module = f"models.{model}.penalties.{name}", kinds.load("penalties", entry["kind"])
            try:
                options = kinds.of_dataset(entry, kinds.options(module), images_of(config, dataset))
            except UserError as error:
                yield f"{place}.{error}"
                continue
            least, smallest = kinds.needs(module, "MIN_WEIGHT", None), kinds.needs(module, "MIN_BATCH", 1)
            if least is not None and options["weight"] < least:
                yield f"{place}.weight: {options['weight']} can't be used here. Write a number, at least {least}."
            for other, before in earlier.items():
                if fault := clash(other, before, options):
                    yield f"{place}.kind: {fault}"
            earlier[name] = options
            if batch_size < smallest:
                yield (
                    f"training.batch_size: {batch_size} images are too few for the penalty {name} of {model}. Write at "
                    f"least {smallest}."
                )
            for key, fault in module.check(options, recipe, latent) if hasattr(module, "check") else ():
                yield f"{place}.{key}: {fault}"


def clash(name: str, first: Mapping, second: Mapping) -> str | None:
    """Why a penalty of a model, ``second``, makes no sense beside ``first``, which is called ``name``; None if it does.

    A user's own kind may mean anything, so it is never refused.
    """
    kind, other = second["kind"], first["kind"]
    if kind == other == "mixture":
        return f"{name} is a mixture too, but codes can have one law. Write one of the two."
    if kind == other and not kinds.is_file(kind) and {**first, "weight": 0} == {**second, "weight": 0}:
        return f"{name} is {kind} too. Write one of the two, with the sum of their weights."
    if kind != other and {kind, other} <= {*kinds.load("penalties", "mixture").OTHER_LAWS}:
        return f"{kind} draws codes to another law than {name} ({other}) does. Write one of the two."
    return None


def check_tuning(config: dict) -> Iterator[str]:
    """Faults of the grids with `weight_factors` that run; `config.tuning` reports those of all of them."""
    for grid in tuning_grids(config, config["run"]):
        for model in as_list(grid["model"]):
            if model in config["models"] and native_prior(config, model) not in model_priors(config, model):
                prior = native_prior(config, model)
                key = "priors" if prior not in config["priors"] else "run_priors"
                yield f"{key}: the weights of {model} are chosen by samples from the prior {prior}. Add {prior}."
    if tuning_grids(config, [SCATTER]):
        yield f"experiments.{SCATTER}: weight_factors can't be used here. Write them in another experiment."


def used_extractors(config: dict, datasets: Iterable[str]) -> dict[str, dict]:
    """The extractors of some datasets, by name; those that the config does not describe are left out."""
    named = {name for dataset in datasets for name in config["datasets"][dataset]["extractors"]}
    return {name: entry for name, entry in config["extractors"].items() if name in named}


def find_unusable(extractors: Mapping[str, dict]) -> Iterator[str]:
    """Faults of extractors that only their own libraries can tell, where these are installed: takes seconds."""
    for name, entry in extractors.items():
        module = kinds.load("extractors", entry["kind"])
        for key, fault in module.check(entry) if hasattr(module, "check") else ():
            yield f"extractors.{name}.{key}: {fault}"


def check_names(config: dict) -> Iterator[str]:
    """Unknown names in `run`, `run_on` and the grids, and other faults of the grids."""

    names = {kind: list(config[kind]) for kind in ("experiments", "datasets", "extractors")}
    names["models"] = described_models(config)

    def unknown(path: str, name: str, kind: str) -> str:
        close = difflib.get_close_matches(name, names[kind], n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        known = f"Known: {', '.join(names[kind])}."
        if kind == "datasets" and not close:
            known += " If another file defines it, pass both after one flag: --configfile config/demo.yaml mine.yaml"
        return f"{path}: there is no {kind.removesuffix('s')} {name!r}.{guess} {known}"

    for index, name in enumerate(config["run"]):
        if name not in config["experiments"]:
            yield unknown(f"run[{index}]", name, "experiments")
    for index, name in enumerate(config["run_on"] or []):
        if name not in config["datasets"]:
            yield unknown(f"run_on[{index}]", name, "datasets")
    for dataset, options in config["datasets"].items():
        if options["extractors"] == config["datasets"].get(options.get("validation_of"), {}).get("extractors"):
            continue  # It has them from that dataset.
        for index, name in enumerate(options["extractors"]):
            if name not in config["extractors"]:
                yield unknown(f"datasets.{dataset}.extractors[{index}]", name, "extractors")
    for experiment, grids in config["experiments"].items():
        if experiment in PAPER_FIGURES.values() or experiment.startswith(
            (f"{SCATTER}-", f"{BASELINES}-", "learning_curves", "precision_recall", "tuning-")
        ):
            yield f"experiments.{experiment}: this is the name of another experiment's figure. Write another name."
        for index, grid in enumerate(grids):
            path = f"experiments.{experiment}[{index}]"
            for name in as_list(grid["dataset"]):
                if name not in config["datasets"]:
                    yield unknown(f"{path}.dataset", name, "datasets")
            for name in as_list(grid["model"]):
                if name not in names["models"]:
                    yield unknown(f"{path}.model", name, "models")
            for depth in as_list(grid["depth"]):
                if "0" in str(depth):
                    yield f"{path}.depth: {depth} has a stage without a convolution. Write digits from 1 to 9."


def check_comparison(dataset: str, comparison: int, config: dict) -> Iterator[str]:
    """Without this check, Table 2, the figure of Gaussianity and half of the claims could end up empty after days."""
    sizes = compared_sizes(config, dataset)
    if sizes and comparison not in sizes:
        yield (
            f"datasets.{dataset}.comparison_latent: {comparison} is not one of the latent sizes that run "
            f"({', '.join(map(str, sizes))}). Write one of them: Table 2 compares models there."
        )


def compared_sizes(config: dict, dataset: str) -> list[int]:
    """The latent sizes of the cells of a dataset whose scores are compared: all but those of scatter plots."""
    experiments = [name for name in config["run"] if name != SCATTER]
    found = [cell for name in experiments for cell in experiment_cells(config, name, known_only=True)]
    return sorted({cell["latent"] for cell in found if cell["dataset"] == dataset})


def check_scatter(cells: list[dict]) -> Iterator[str]:
    """A scatter plot draws all its cells in the same two latent dimensions."""
    for dataset in sorted({cell["dataset"] for cell in cells}):
        sizes = sorted({cell["latent"] for cell in cells if cell["dataset"] == dataset})
        if len(sizes) > 1 or sizes[0] < 2:
            yield (
                f"experiments.{SCATTER}: its cells on {dataset} have the latent sizes {', '.join(map(str, sizes))}. "
                "Write one size for all of them, at least 2: they are drawn in the same two dimensions."
            )


def check_schedule(training: dict) -> Iterator[str]:
    begins = [step["epoch"] for step in training["learning_rate"]]
    if begins[0] != 0 or any(later <= earlier for earlier, later in itertools.pairwise(begins)):
        yield f"training.learning_rate: its epochs are {begins}. Write them in ascending order, starting with 0."
    elif begins[-1] >= training["epochs"]:
        yield (
            f"training.learning_rate: a step begins at epoch {begins[-1]}, but training.epochs is "
            f"{training['epochs']}. Write steps that begin before the end, or more epochs."
        )


def check_cells_per_gpu(cells_per_gpu: Mapping) -> Iterator[str]:
    """A GPU has as many slots as the largest value. A cell takes a whole number of them; wider cells take no fewer."""
    slots = narrower = max(cells_per_gpu.values(), default=1)
    pairs = by_width(cells_per_gpu)
    for (width, _), (other, _) in itertools.pairwise(pairs):
        if width == other:
            yield f"cells_per_gpu: {width} appears twice, as a number and as text. Write it once, without quotes."
            return
    for width, count in pairs:
        fitting = ", ".join(str(value) for value in range(1, narrower + 1) if slots % value == 0)
        if count > narrower:
            yield f"cells_per_gpu[{width}]: {count} is more than for narrower cells. Write one of {fitting}."
        elif slots % count:
            yield f"cells_per_gpu[{width}]: {count} does not divide the largest value, {slots}. Write one of {fitting}."
        narrower = min(narrower, count)


def check_dataset(name: str, dataset: dict, extractors: Mapping[str, dict]) -> Iterator[str]:
    """What can be checked without opening images, which `data.first_look` does."""
    kind, base = dataset["source"], dataset.get("validation_of", name)
    if kind not in dataset:
        yield f"datasets.{base}: its source is {kind!r}, but it has no key {kind!r}. Add it, with the source's options."
        return
    source, options = kinds.load("sources", kind), dataset[kind]
    crop, side = dataset["crop"], source.side(options) if hasattr(source, "side") else None
    if crop is not None and side is not None and crop > side:
        yield (
            f"datasets.{base}.crop: {crop} is larger than the images ({side} pixels). "
            f"Write at most {side}, or null for the largest centred square."
        )
    try:
        faults = list(source.check(options)) if hasattr(source, "check") else []
    except RuntimeError:  # pathlib's, for the home folder of an unknown user.
        yield (
            f"datasets.{base}.{kind}: a path of {dict(options)} begins with the home folder of an unknown user. Write "
            "./~ for a name that begins with ~."
        )
        return
    except OSError as error:
        yield f"datasets.{base}.{kind}: {unreadable(error)}"
        return
    for key, fault in faults:
        yield f"datasets.{base}.{kind}.{key}: {fault}"
    needing = {
        extractor: kinds.needs(kinds.load("extractors", entry["kind"]), "NEEDS_LABELS", False)
        for extractor, entry in extractors.items()
    }
    learning = [extractor for extractor in dataset["extractors"] if needing.get(extractor)]
    # Only if needed: every job runs this, and listing a folder of many images takes seconds on a shared disk.
    if learning and not faults and hasattr(source, "labelled") and source.labelled(options) is False:
        others = ", ".join(extractor for extractor, needs_labels in needing.items() if not needs_labels)
        yield (
            f"datasets.{name}.extractors: the {learning[0]} needs labels, but this dataset has none. "
            f"Write one or more of {others}, or use images in class folders or a parquet `label` column."
        )


def unreadable(error: OSError) -> str:
    """A fault: a path in a folder without permission, or a name that is too long."""
    return f"{error.filename!r} can't be read: {error.strerror}. Change that, or write another path."


def check_extractors(config: dict) -> Iterator[str]:
    """Names of extractors, which tables print as what the features are, and which are parts of files' names."""
    another, suffixes = "Write another name.", ("train", "test", "training", *config["measures"])
    for name, other in itertools.pairwise(sorted(config["extractors"], key=str.lower)):
        if name.lower() == other.lower():
            yield f"extractors.{name}: tables would confuse it with the extractor {other}. {another}"
    for name, entry in config["extractors"].items():
        place = f"extractors.{name}"
        for word, kind in NAMED_KINDS.items():
            if begins_with(word, name.lower()) and entry["kind"] != kind:
                yield f"{place}: only the kind {kind} may have a name that begins with {word}. {another}"
        if begins_with(DINOV2, name.lower()) and DINOV2 not in entry.get("model", DINOV2):
            yield f"{place}: its model is {entry['model']}. Write a model of {DINOV2}, or another name."
        if begins_with("fid", name.lower()):
            yield f"{place}: only the distance in the features of {OFFICIAL} may be called FID. {another}"
        if name == NOT_OFFICIAL:
            yield f"{place}: scores of {OFFICIAL} with other weights are recorded under this name. {another}"
        if ending := next((ending for ending in suffixes if name.endswith(f"-{ending}")), None):
            yield f"{place}: files of another extractor may have a name that ends in -{ending}. {another}"
    # One such pair makes others.
    for parts, others in itertools.islice(ambiguous_names(config), 1):
        yield f"extractors: a file could be that of {' and '.join(parts)}, or of {' and '.join(others)}. Rename one."


def begins_with(word: str, name: str) -> bool:
    """Whether a word begins a name, and is not the beginning of a longer word in it."""
    return re.match(rf"{word}(?![a-z])", name) is not None


def ambiguous_names(config: dict) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Pairs of different parts that name the same file, joined by "-", as files of extractors do."""
    extractors, datasets, measures = config["extractors"], config["datasets"], config["measures"]
    figures = {PAPER_FIGURES.get(name, name): None for name in config["experiments"]}
    groups = [
        itertools.product(extractors, datasets),
        itertools.product(datasets, extractors),
        [*itertools.product(figures, extractors), *itertools.product(figures, extractors, measures)],
    ]
    for group in groups:
        seen: dict[str, tuple[str, ...]] = {}
        for parts in group:
            if (others := seen.setdefault("-".join(parts), parts)) != parts:
                yield others, parts


def check_kinds(config: dict) -> Iterator[str]:
    """Names and kinds of priors, measures, models and penalties, and which priors and measures run."""
    for name, prior in config["priors"].items():
        # A prior's column has further columns beside it: its spread, and the paper's values.
        taken = name.lower() in {*map(str.lower, TABLE_COLUMNS), *HEADERS, *PAPERS_PRIORS} and name not in PAPERS_PRIORS
        if name.endswith(("_sd", "_error", "_published", "_difference", "_confidence")) or taken:
            yield f"priors.{name}: tables already have a column of this name. Write another name."
        if name in GALLERY:
            yield f"priors.{name}: a cell already has images of this name. Write another name."
        if name in PAPERS_PRIORS and prior["kind"] != name:
            yield f"priors.{name}: this name is reserved for the paper's prior. Write kind: {name}, or another name."
    if config["run_priors"] is None and not running(config, "priors"):
        yield f"priors: none of {', '.join(config['priors'])} runs for every model. Write one that does, such as mvg."
    for group in ("priors", "measures"):
        for index, name in enumerate(config[f"run_{group}"] or []):
            if name not in config[group]:
                known = ", ".join(config[group])
                yield f"run_{group}[{index}]: there is no {group.removesuffix('s')} {name!r}. Known: {known}."
    names = sorted(config["models"], key=str.lower)
    for name, other in itertools.pairwise(names):
        if name.lower() == other.lower():
            yield f"models.{name}: tables would confuse it with the model {other}. Write another name."
    if config["measures"].get(FRECHET, {}).get("kind", FRECHET) != FRECHET:
        yield f"measures.{FRECHET}: this name means the Fréchet distance. Write kind: {FRECHET}, or another name."
    for name, measure in config["measures"].items():
        if name in kinds.names("measures") and name not in (FRECHET, measure["kind"]):
            yield f"measures.{name}: tables explain this name as the kind {name}. Write kind: {name}, or another name."
    alike = [
        name
        for name, measure in config["measures"].items()
        if name != FRECHET and (name.lower() in {*HEADERS, FRECHET} or measure["kind"] == FRECHET)
    ]
    for name in alike:
        yield f"measures.{name}: only {FRECHET} may be or be called the Fréchet distance. Write another name and kind."
    if not alike and FRECHET not in running(config, "measures"):
        key = "measures" if FRECHET not in config["measures"] else "run_measures"
        yield f"{key}: tables, figures and claims report the Fréchet distance. Add {FRECHET}."
    for model in described_models(config):
        recipe = config["models"][model]
        for name, entry in recipe["penalties"].items():
            if kinds.KL in (name, entry["kind"]):
                yield (
                    f"models.{model}.penalties.{name}: {kinds.KL} is the built-in term of variational models. "
                    "Set it by variational, beta and kl_reduction, and write another name and kind here."
                )
        native = recipe["native_prior"]
        if native is not None and native not in config["priors"]:
            known = ", ".join(config["priors"])
            yield f"models.{model}.native_prior: there is no prior {native!r}. Known: {known}. Or write null."
        for index, name in enumerate(recipe["tuned_on"]):
            if name not in config["datasets"]:
                known = ", ".join(tested_datasets(config))
                yield f"models.{model}.tuned_on[{index}]: there is no dataset {name!r}. Known: {known}."
            elif (images := images_of(config, name)) != name:
                yield f"models.{model}.tuned_on[{index}]: {name} is held out of {images}. Write {images}."


def check_native_priors(config: dict, cells: Iterable[Mapping]) -> Iterator[str]:
    """Priors of a model's own that lack a value for a dataset, or are not the mixture that its penalty aims at."""
    for model, dataset in sorted({(cell["model"], cell["dataset"]) for cell in cells}):
        recipe = config["models"][model]
        if recipe["native_prior"] not in (None, *config["priors"]):
            continue  # `check_kinds` has said so.
        for prior in model_priors(config, model):
            try:
                options = prior_options(config, prior, dataset)
            except UserError as error:
                yield f"priors.{prior}.{error}"
                continue
            if prior != recipe["native_prior"] or options["kind"] != "target_gmm":
                continue
            for name, entry in objective_options(config, model, dataset)["penalties"].items():
                if entry["kind"] == "mixture" and entry["components"] != options["components"]:
                    yield (
                        f"priors.{prior}.components: {options['components']} on {dataset}, but the penalty {name} of "
                        f"{model} draws codes to {entry['components']} components. Write the same number."
                    )


def check_external(config: dict, used: Collection[str]) -> Iterator[str]:
    """Images made elsewhere: their names and keys and, for those of the datasets that are ``used``, their places,
    without opening a file.
    """
    taken = {name.lower(): f"the model {name}" for name in config["models"]}
    taken |= {name.lower(): "a column" for name in {*TABLE_COLUMNS, *HEADERS}}
    for name, entry in config["external"].items():
        other = taken.setdefault(name.lower(), name)
        if other != name:
            yield f"external.{name}: tables would confuse it with {other}. Write another name."
        if entry["dataset"] not in config["datasets"]:
            known = ", ".join(config["datasets"])
            yield f"external.{name}.dataset: there is no dataset {entry['dataset']!r}. Known: {known}."
        if ("folder" in entry) == ("parquet" in entry):
            has = "both folder and parquet" if "folder" in entry else "neither folder nor parquet"
            yield f"external.{name} has {has}. Write one of them: where the images are."
            continue
        if entry["dataset"] not in used:
            continue
        key = "folder" if "folder" in entry else "parquet.paths"
        source = as_dataset(entry)
        kind = kinds.load("sources", source["source"])
        if hasattr(kind, "is_remote") and kind.is_remote(source[source["source"]]):
            yield f"external.{name}.{key}: only local files can be scored. Download them, and write their path."
            continue
        try:
            yield from (f"external.{name}.{key}: {fault}" for _, fault in kind.check(source[source["source"]]))
        except RuntimeError:  # pathlib's, for the home folder of an unknown user.
            yield f"external.{name}.{key}: the path begins with the home folder of an unknown user. Write ./~ for ~."
        except OSError as error:
            yield f"external.{name}.{key}: {unreadable(error)}"
