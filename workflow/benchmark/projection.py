"""From what was measured to the whole grid of a config: its arithmetic, and the hours that it would take here."""

import math
from collections.abc import Sequence
from pathlib import Path

import yaml
from benchmark.comparison import Row, row
from benchmark.flops import grid_flops
from benchmark.jobs import CUDA_CONTEXT, KINDS
from benchmark.training import Case

from autoencoders.config import grid, settings


def nearest_case(size: int, filters: int, cases: Sequence[Case]) -> Case:
    """The case most like a cell: of the nearest width, and of those the one of its image size where there is one."""
    return min(cases, key=lambda case: (abs(math.log(case.filters / filters)), case.size != size))


def value(rows: Sequence[Row], **wanted: object) -> float:
    """The value of the row with these fields; NaN where nothing of the kind was measured."""
    found = [row["value"] for row in rows if all(row[key] == wanted[key] for key in wanted)]
    return found[0] if found else math.nan


def training_seconds(work: Sequence[tuple[dict, float]], config: dict, cases: Sequence[Case], rates: dict) -> dict:
    """Dataset -> seconds of training its cells one after the other, and the names of the cases whose rates these need.

    ``work`` is every cell with its floating point operations, ``rates`` the operations a second of each case's name.
    """
    found: dict[str, tuple[float, set]] = {}
    for cell, flops in work:
        name = nearest_case(config["datasets"][cell["dataset"]]["size"], cell["filters"], cases).name
        seconds, names = found.get(cell["dataset"], (0.0, set()))
        found[cell["dataset"]] = seconds + flops / rates[name], names | {name}
    return found


def start_up_seconds(rows: Sequence[Row], mixtures: int) -> float:
    """Of all jobs of cells, ``mixtures`` of which fit a mixture: their start-up, and a GPU's context where measured."""
    # None where there is no GPU.
    context = sum(row["value"] for row in rows if row["contender"] == CUDA_CONTEXT)
    seconds = 0.0
    for label, kind in KINDS.items():
        jobs = value(rows, section="planning", contender=kind.rule, unit="jobs")
        if kind.rule == "fit_prior":
            jobs = mixtures if kind.gpu else jobs - mixtures
        seconds += jobs * (value(rows, section="start-up", contender=label) + kind.gpu * context)
    return seconds


def project(rows: Sequence[Row], cases: Sequence[Case], config_file: Path) -> list[Row]:
    """The grid's arithmetic, and the hours of its parts one after the other, from the measured ``rows``.

    Left out are encoding and decoding (under a hundredth of training's arithmetic) and mixtures, whose number of
    iterations depends on the codes.
    """
    config = settings.resolve(yaml.safe_load(config_file.read_text()))
    cells = grid.cells(config)
    work = grid_flops(cells, config)
    rates = {
        case.name: case.flops * value(rows, section="training", case=case.name, ours=True, unit="images/s")
        for case in cases
    }
    mixtures = len(cells) * sum(prior["kind"] == "gmm" for prior in grid.running(config, "priors").values())
    pictures = len(cells) * len(grid.image_sets(config)) * config["scoring"]["images"]
    pace = value(rows, section="features", ours=True, unit="images/s")
    scores = len(cells) * len(grid.comparisons(config))
    distance = value(rows, section="Fréchet distance", contender="this pipeline", unit="s")
    parts = [
        *(
            (f"training, {dataset}", seconds, f"each cell at the rate of the nearest of {'; '.join(sorted(names))}")
            for dataset, (seconds, names) in training_seconds(work, config, cases, rates).items()
        ),
        ("start-up of the cells' jobs", start_up_seconds(rows, mixtures), "with the CUDA contexts on a GPU"),
        ("Inception features", pictures / pace, f"of {pictures:,} images"),
        ("Fréchet distances", scores * distance, f"{scores:,} of them, without features"),
    ]
    rest = "one after the other; without mixtures, encoding and decoding, reading and writing"
    parts.append(("all of these", sum(seconds for _, seconds, _ in parts), rest))

    case = f"{len(cells)} cells, {config['training']['epochs']} epochs"
    total = sum(flops for _, flops in work) / 1e18
    note = "forward and backward, counted, not measured"
    return [
        row("projection", case, "arithmetic of training", total, "EFLOP", note=note),
        *(row("projection", case, what, seconds / 3600, "h", note=note) for what, seconds, note in parts),
    ]
