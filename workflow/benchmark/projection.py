"""From what was measured to the whole grid of a config: its arithmetic, and the hours that it would take here."""

import math
from collections.abc import Sequence
from pathlib import Path

import yaml
from benchmark.comparison import Row, row
from benchmark.flops import grid_flops
from benchmark.training import Case

from autoencoders import settings


def nearest_case(size: int, filters: int, cases: Sequence[Case]) -> Case:
    """The case most like a cell: of its image size where there is one, then of the nearest width."""
    return min(cases, key=lambda case: (case.size != size, abs(math.log(case.filters / filters))))


def value(rows: Sequence[Row], **wanted: object) -> float:
    """The value of the row with these fields; NaN where nothing of the kind was measured."""
    found = [row["value"] for row in rows if all(row[key] == wanted[key] for key in wanted)]
    return found[0] if found else math.nan


def training_seconds(work: Sequence[tuple[dict, float]], config: dict, cases: Sequence[Case], rates: dict) -> dict:
    """Dataset -> seconds of training its cells one after the other.

    ``work`` is every cell with its floating point operations, ``rates`` the operations a second of each case's name.
    """
    seconds: dict[str, float] = {}
    for cell, flops in work:
        case = nearest_case(config["datasets"][cell["dataset"]]["size"], cell["filters"], cases)
        seconds[cell["dataset"]] = seconds.get(cell["dataset"], 0.0) + flops / rates[case.name]
    return seconds


def project(rows: Sequence[Row], cases: Sequence[Case], config_file: Path) -> list[Row]:
    """The grid's arithmetic, and the hours of its parts one after the other, from the measured ``rows``.

    Left out are encoding and decoding (under a hundredth of training's arithmetic) and mixtures, whose number of
    iterations depends on the codes.
    """
    config = settings.resolve(yaml.safe_load(config_file.read_text()))
    cells = settings.cells(config)
    work = grid_flops(cells, config)
    rates = {
        case.name: case.flops * value(rows, section="training", case=case.name, ours=True, unit="images/s")
        for case in cases
    }
    scores = len(cells) * len(settings.comparisons(config))
    start_up = sum(
        row["value"] * value(rows, section="planning", contender=row["contender"], unit="jobs")
        for row in rows
        if row["section"] == "start-up" and not row["contender"].startswith("(")
    )
    pictures = len(cells) * len(settings.image_sets(config)) * config["scoring"]["images"]
    pace = value(rows, section="features", ours=True, unit="images/s")
    widths = [str(filters) for filters in sorted({case.filters for case in cases})]
    distance = value(rows, section="Fréchet distance", ours=True, unit="s")

    def line(what: str, amount: float, unit: str, note: str) -> Row:
        return row(
            "projection", f"{len(cells)} cells, {config['training']['epochs']} epochs", what, amount, unit, note=note
        )

    return [
        line(
            "arithmetic of training",
            sum(flops for _, flops in work) / 1e18,
            "EFLOP",
            "forward and backward, counted, not measured",
        ),
        *(
            line(
                f"training, {name}",
                seconds / 3600,
                "h",
                f"from the rates at f = {', '.join(widths)}: each cell at the nearest one's",
            )
            for name, seconds in training_seconds(work, config, cases, rates).items()
        ),
        line("start-up of the cells' jobs", start_up / 3600, "h", "one after the other; without CUDA contexts"),
        line("Inception features", pictures / pace / 3600, "h", f"of {pictures:,} images"),
        line("Fréchet distances", scores * distance / 3600, "h", f"{scores:,} of them, without features"),
    ]
