"""Projects the measured rows to the whole grid of a config: its operations, and the hours that it would take here."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from benchmark.comparison import Row
from benchmark.jobs import PROJECT
from benchmark.loops import Case
from snakemake.utils import update_config

from autoencoders.config import grid, settings
from autoencoders.jobs import kinds, resources
from autoencoders.jobs.errors import UserError
from autoencoders.latent.priors import gmm
from autoencoders.networks.flop_count import training_flops

PAPER = PROJECT / "config" / "config.yaml"
# Training and test images of the datasets in config/config.yaml, which a benchmark does not download.
TRAINING_IMAGES = {"cifar10": 50_000, "celeba": 162_770}
TEST_IMAGES = {"cifar10": 10_000, "celeba": 19_962}


def training_images(config: dict, dataset: str) -> int:
    """The number of training images: counted if the dataset is prepared, else known or assumed."""
    info, entry = Path(config["pathvars"]["results"], "datasets", dataset, "dataset.json"), config["datasets"][dataset]
    known = TRAINING_IMAGES.get(grid.images_of(config, dataset))
    if known is None or "validation_of" not in entry or info.exists():
        return resources.training_images(entry, known, info)
    return round((1 - entry["test_fraction"]) * resources.training_images(entry, known, info))


def images(config: dict, dataset: str) -> int:
    """The number of all images of a dataset; without test images where their number is not known."""
    base = grid.images_of(config, dataset)
    training = training_images(config, base)
    return training if base != dataset else training + TEST_IMAGES.get(dataset, 0)


def cell_flops(config: dict, cell: dict) -> float:
    """Floating point operations of a cell's whole training."""
    an_image = training_flops(grid.network_options(config, cell), config["models"][cell["model"]]["frozen_latent"])
    an_image *= kinds.cost(grid.penalty_kinds(config, cell["model"]))
    return float(an_image) * training_images(config, cell["dataset"]) * config["training"]["epochs"]


def nearest_case(size: int, filters: int, cases: Sequence[Case]) -> Case:
    """The case most like a cell: the nearest width and, among those, the same image size if there is one."""
    return min(cases, key=lambda case: (abs(math.log(case.filters / filters)), case.size != size))


def value(rows: Sequence[dict], **wanted: object) -> float:
    """The value of the row with these fields; NaN if it was not measured."""
    return next((row["value"] for row in rows if all(row[key] == wanted[key] for key in wanted)), math.nan)


def resolved(config_files: Sequence[Path]) -> dict:
    """The config that Snakemake makes of config/config.yaml and these files, checked and with all defaults.

    Raises UserError for a file that can't be read, or is no mapping.
    """
    config = {}
    for file in (PAPER, *config_files):
        try:
            read = yaml.safe_load(file.read_bytes()) or {}
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise UserError(f"{file} can't be read as a config: {error}") from error
        if not isinstance(read, dict):
            raise UserError(f"{file} is no config: it has no keys. config/README.md has examples.")
        update_config(config, read)
    return settings.resolve(config)


def mixture_operations(config: dict) -> Iterator[float]:
    """Float64 operations of fitting each cell's mixtures, of as many iterations as requests to a scheduler assume."""
    mixtures = [options for options in grid.running(config, "priors").values() if options["kind"] == "gmm"]
    for cell in grid.cells(config):
        for options in mixtures:
            yield gmm.operations(options, training_images(config, cell["dataset"]), cell["latent"])


def project(rows: Sequence[dict], cases: Sequence[Case], config_file: Path) -> list[Row]:
    """``project_config`` of a file that is a whole config."""
    return project_config(rows, cases, settings.resolve(yaml.safe_load(config_file.read_text(encoding="utf-8"))))


def project_config(rows: Sequence[dict], cases: Sequence[Case], config: dict) -> list[Row]:
    """The operations of a resolved config's grid, and the hours of its parts, one after the other, from the measured
    ``rows``.

    Left out are encoding and decoding (under a hundredth of training's operations), and mixtures, whose number of
    iterations depends on the codes.
    """
    cells = grid.cells(config)
    parts, nearest = defaultdict(float), defaultdict(set)
    for cell in cells:
        case = nearest_case(config["datasets"][cell["dataset"]]["size"], cell["filters"], cases)
        rate = case.flops * value(rows, section="training", case=case.name, unit="images/s", ours=True)
        part = f"training, {cell['dataset']}"
        parts[part] += cell_flops(config, cell) / rate
        nearest[part].add(case.name)
    notes = {part: f"each cell at the rate of the nearest of {'; '.join(sorted(nearest[part]))}" for part in parts}

    def add(part: str, seconds: float, note: str) -> None:
        parts[part], notes[part] = seconds, note

    jobs = value(rows, section="planning", unit="jobs")
    add("start-up of all jobs", jobs * value(rows, section="start-up"), f"{jobs:,.0f} of them, each as a training's")
    images = len(cells) * len(grid.image_sets(config)) * config["scoring"]["images"]
    add("Inception features", images / value(rows, section="features", ours=True), f"of {images:,} images")
    scores = len(cells) * len(grid.comparisons(config))
    distance = value(rows, section="Fréchet distance", ours=True)
    add("Fréchet distances", scores * distance, f"{scores:,} of them, without features")
    rest = "one after the other; without mixtures, encoding and decoding, reading and writing"
    add("all of these", sum(parts.values()), rest)

    total = sum(cell_flops(config, cell) for cell in cells) / 1e18
    counted = f"{len(cells)} cells, {config['training']['epochs']} epochs, forward and backward; counted, not measured"
    hours = [Row(seconds / 3600, "h", notes[part], contender=part) for part, seconds in parts.items()]
    return [Row(total, "EFLOP", counted, contender="arithmetic of training"), *hours]
