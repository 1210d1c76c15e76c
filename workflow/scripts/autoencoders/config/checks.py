"""What a schema can't see in a config: names that point nowhere, missing files, parts that do not fit together.

Snakemake's own process imports this module, so it needs nothing but what Snakemake brings along.
"""

import difflib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

from autoencoders.config.grid import (
    CELL_KEYS,
    NOT_PRIORS,
    PAPER_FIGURES,
    SCATTER,
    as_list,
    cells,
    experiment_cells,
    running,
)
from autoencoders.jobs import kinds

# Priors of these names are the paper's, in tables and claims alike.
PAPERS_PRIORS = ("standard_normal", "mvg", "gmm")
# The measure that tables, figures and claims are of.
FRECHET = "frechet"
# A prior's name becomes a column beside these.
TABLE_COLUMNS = {*CELL_KEYS, *NOT_PRIORS, "setting", "extractor", "source", "prior", "seeds", "status"}
TABLE_COLUMNS |= {"frechet_distance", "comparison", "measure"}
# What tables call these and a distance, where it is a name; as names are compared, in small letters.
HEADERS = {"midpoints", "fd", "fid"}
# And that of an array in a cell's gallery beside these.
GALLERY = {"format", "file", "allow_pickle", "train_recon_originals", "test_recon_originals"}


def by_width(cells_per_gpu: Mapping) -> list[tuple[int, int]]:
    """Pairs of a width, which a config may have as text, and its number of cells."""
    return sorted((int(width), count) for width, count in cells_per_gpu.items())


def find_contradictions(config: dict) -> Iterator[str]:
    """What a schema can't see: names that point nowhere, files that are missing, parts that do not fit together."""
    wrong_names = list(check_names(config))
    yield from wrong_names
    yield from check_kinds(config)
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
        yield from check_dataset(name, config["datasets"][name])
        yield from check_comparison(name, config["datasets"][name]["comparison_latent"], config)
    if SCATTER in config["run"]:
        yield from check_scatter(experiment_cells(config, SCATTER, known_only=True))
    if config["training"]["batch_size"] == 1:
        for name in sorted({cell["model"] for cell in found}):
            if config["models"][name]["latent_norm"] == "batch":
                yield f"training.batch_size: the model {name} normalises its codes over a batch. Write at least 2."
    for extractor in sorted({extractor for name in used for extractor in config["datasets"][name]["extractors"]}):
        weights = config["extractors"][extractor].get("weights")
        if weights is not None and not Path(weights).expanduser().is_file():
            file = kinds.load("extractors", extractor).URL.rpartition("/")[2]
            yield (
                f"extractors.{extractor}.weights: there is no file {weights!r}. Write the path of {file}, or null to "
                "have it downloaded."
            )


def check_names(config: dict) -> Iterator[str]:
    """Names that point nowhere, and what else is wrong with the grids."""

    def unknown(path: str, name: str, kind: str) -> str:
        close = difflib.get_close_matches(name, config[kind], n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        known = f"There are: {', '.join(config[kind])}."
        if kind == "datasets" and not close:
            known += " For another config's, name both behind one flag: --configfile config/demo.yaml mine.yaml"
        return f"{path}: there is no {kind.removesuffix('s')} {name!r}.{guess} {known}"

    for index, name in enumerate(config["run"]):
        if name not in config["experiments"]:
            yield unknown(f"run[{index}]", name, "experiments")
    for index, name in enumerate(config["run_on"] or []):
        if name not in config["datasets"]:
            yield unknown(f"run_on[{index}]", name, "datasets")
    for experiment, grids in config["experiments"].items():
        if experiment in PAPER_FIGURES.values() or experiment.startswith((f"{SCATTER}-", "learning_curves")):
            yield f"experiments.{experiment}: another experiment's figure has this name. Write another name."
        for index, grid in enumerate(grids):
            path = f"experiments.{experiment}[{index}]"
            for name in as_list(grid["dataset"]):
                if name not in config["datasets"]:
                    yield unknown(f"{path}.dataset", name, "datasets")
            for name in as_list(grid["model"]):
                if name not in config["models"]:
                    yield unknown(f"{path}.model", name, "models")
            for depth in as_list(grid["depth"]):
                if "0" in str(depth):
                    yield f"{path}.depth: {depth} has a stage without a convolution. Write digits from 1 to 9."


def check_comparison(dataset: str, comparison: int, config: dict) -> Iterator[str]:
    """Table 2, the figure of Gaussianity and half of the claims would be empty, days later."""
    sizes = compared_sizes(config, dataset)
    if sizes and comparison not in sizes:
        yield (
            f"datasets.{dataset}.comparison_latent: {comparison} is none of the latent sizes that run "
            f"({', '.join(map(str, sizes))}). Write one of them: Table 2 compares models there."
        )


def compared_sizes(config: dict, dataset: str) -> list[int]:
    """The latent sizes of a dataset's cells whose scores are compared."""
    experiments = [name for name in config["run"] if name != SCATTER]
    found = [cell for name in experiments for cell in experiment_cells(config, name, known_only=True)]
    return sorted({cell["latent"] for cell in found if cell["dataset"] == dataset})


def check_scatter(cells: list[dict]) -> Iterator[str]:
    """A scatter plot shows all its cells in the same two latent dimensions."""
    for dataset in sorted({cell["dataset"] for cell in cells}):
        sizes = sorted({cell["latent"] for cell in cells if cell["dataset"] == dataset})
        if len(sizes) > 1 or sizes[0] < 2:
            yield (
                f"experiments.{SCATTER}: its cells on {dataset} have the latent sizes {', '.join(map(str, sizes))}. "
                "Write the same one for all, at least 2: they are drawn in two dimensions that they share."
            )


def check_schedule(training: dict) -> Iterator[str]:
    begins = [step["epoch"] for step in training["learning_rate"]]
    if begins[0] != 0 or any(later <= earlier for earlier, later in itertools.pairwise(begins)):
        yield f"training.learning_rate: its epochs are {begins}. Write them in rising order, the first one 0."
    elif begins[-1] >= training["epochs"]:
        yield (
            f"training.learning_rate: a step begins at epoch {begins[-1]}, but training.epochs is "
            f"{training['epochs']}. Write steps that begin before the end, or more epochs."
        )


def check_cells_per_gpu(cells_per_gpu: Mapping) -> Iterator[str]:
    """A GPU has as many slots as the largest value; a cell takes a whole number of them, a wider one no fewer."""
    slots = narrower = max(cells_per_gpu.values(), default=1)
    pairs = by_width(cells_per_gpu)
    for (width, _), (other, _) in itertools.pairwise(pairs):
        if width == other:
            yield f"cells_per_gpu: {width} is there twice, as a number and as text. Write it once, without quotes."
            return
    for width, count in pairs:
        fitting = ", ".join(str(value) for value in range(1, narrower + 1) if slots % value == 0)
        if count > narrower:
            yield f"cells_per_gpu[{width}]: {count} is more than narrower cells have. Write one of {fitting}."
        elif slots % count:
            yield f"cells_per_gpu[{width}]: {count} does not divide the largest value, {slots}. Write one of {fitting}."
        narrower = min(narrower, count)


def check_dataset(name: str, dataset: dict) -> Iterator[str]:
    """What a dataset's source can see at once; `data.first_look` opens images."""
    kind = dataset["source"]
    if kind not in dataset:
        yield f"datasets.{name}: its source is {kind!r}, but it has no key {kind!r}. Write what it is read from."
        return
    source, options = kinds.load("sources", kind), dataset[kind]
    crop, side = dataset["crop"], source.side(options) if hasattr(source, "side") else None
    if crop is not None and side is not None and crop > side:
        yield (
            f"datasets.{name}.crop: {crop} is larger than the images, of {side} pixels. "
            f"Write at most {side}, or null for the largest centred square."
        )
    faults = list(source.check(options)) if hasattr(source, "check") else []
    for key, fault in faults:
        yield f"datasets.{name}.{kind}.{key}: {fault}"
    needing = {
        extractor: kinds.needs(kinds.load("extractors", extractor), "NEEDS_LABELS", False)
        for extractor in kinds.names("extractors")
    }
    learning = [extractor for extractor in dataset["extractors"] if needing[extractor]]
    # Every job comes by here, and to list a folder of many images takes seconds on a shared disk.
    if learning and not faults and hasattr(source, "labelled") and source.labelled(options) is False:
        others = ", ".join(extractor for extractor, needs_labels in needing.items() if not needs_labels)
        yield (
            f"datasets.{name}.extractors: a {learning[0]} needs labels, and this dataset has none. "
            f"Write extractors: [{others}], or use images in class folders or a parquet `label` column."
        )


def check_kinds(config: dict) -> Iterator[str]:
    """Names of priors, measures and penalties, and which of them run."""
    for name, prior in config["priors"].items():
        # Beside a prior's column stand those of its spread and of the paper's values.
        taken = name.lower() in {*map(str.lower, TABLE_COLUMNS), *HEADERS, *PAPERS_PRIORS} and name not in PAPERS_PRIORS
        if name.endswith(("_sd", "_published", "_difference", "_confidence")) or taken:
            yield f"priors.{name}: tables have a column of this name already. Write another name."
        if name in GALLERY:
            yield f"priors.{name}: a cell's gallery has an array of this name already. Write another name."
        if name in PAPERS_PRIORS and prior["kind"] != name:
            yield f"priors.{name}: this name is the paper's prior of that kind. Write kind: {name}, or another name."
    for group in ("priors", "measures"):
        for index, name in enumerate(config[f"run_{group}"] or []):
            if name not in config[group]:
                known = ", ".join(config[group])
                yield f"run_{group}[{index}]: there is no {group.removesuffix('s')} {name!r}. There are: {known}."
    names = sorted(config["models"], key=str.lower)
    for name, other in itertools.pairwise(names):
        if name.lower() == other.lower():
            yield f"models.{name}: tables can't tell it from the model {other}. Write another name."
    if config["measures"].get(FRECHET, {}).get("kind", FRECHET) != FRECHET:
        yield f"measures.{FRECHET}: this name is the Fréchet distance's. Write kind: {FRECHET}, or another name."
    alike = [
        name
        for name, measure in config["measures"].items()
        if name != FRECHET and (name.lower() in {*HEADERS, FRECHET} or measure["kind"] == FRECHET)
    ]
    for name in alike:
        yield f"measures.{name}: the Fréchet distance is {FRECHET}, once. Write another name, and another kind."
    if not alike and FRECHET not in running(config, "measures"):
        key = "measures" if FRECHET not in config["measures"] else "run_measures"
        yield f"{key}: tables, figures and claims are of the Fréchet distance. Write {FRECHET} beside the others."
    for model, recipe in config["models"].items():
        for name, entry in recipe["penalties"].items():
            if kinds.KL in (name, entry["kind"]):
                yield (
                    f"models.{model}.penalties.{name}: {kinds.KL} is a variational model's own term. "
                    "Write variational, beta and kl_reduction for it, and another name and kind here."
                )
