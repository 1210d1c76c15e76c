"""`make estimates`: the hours of the paper's run, or of CONFIG, on one GPU, and of each of its experiments.

    python -m gpu_check.estimates [CONFIG...]

They follow from the rates that `make gpu-check` measured or, if it was not run here, from an assumed one.
"""

import math
import sys
from pathlib import Path

import pandas as pd
from benchmark import projection
from benchmark.comparison import Row
from benchmark.report import rounded
from gpu_check import page
from gpu_check.rows import measured
from gpu_check.sizes import CASES

from autoencoders.config import grid
from autoencoders.jobs import resources
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.parquet_tables import read_parquet

ROWS = Path("results/gpu-check/gpu-check.parquet")


def assumed() -> list[dict]:
    """Rows as if every case trained at the rate that requests to a scheduler assume, and nothing else was measured."""
    return [
        measured("training", case.name, "assumed", [Row(resources.TRAINING_RATE / case.flops, "images/s", ours=True)])[
            0
        ]
        for case in CASES
    ]


def rates(file: Path) -> tuple[list[dict], str]:
    """Rows from which hours are projected, and where they come from."""
    table = read_parquet(file) if file.exists() else pd.DataFrame()
    found = table.to_dict("records")
    machine = {row["case"]: row["note"] for row in found if row["section"] == "machine"}
    trained = [row for row in found if row["section"] == "training" and not math.isnan(row["value"])]
    if trained and not table["dry_run"].any():
        return found, f"At the rates measured on {machine.get('gpu')}, {machine.get('date')} ({file}):"
    rate = f"{resources.TRAINING_RATE / 1e12:.0f} TFLOP/s"
    return assumed(), f"Nothing was measured here (`make gpu-check` does it). If training sustains {rate}:"


def parts(config: dict) -> dict[str, dict]:
    """The whole run's config, and that of each experiment alone; a cell that several share counts in each."""
    alone = {f"  {name}": config | {"run": [name]} for name in config["run"]}
    return {"the whole run": config} | (alone if len(alone) > 1 else {})


def for_cells(found: list[dict], cells: int) -> list[dict]:
    """The rows with the number of jobs that so many cells have, in proportion to the paper's run."""
    share = cells / len(grid.cells(projection.resolved([])))
    jobs = [row["section"] == "planning" and row["unit"] == "jobs" for row in found]
    return [row | {"value": row["value"] * share} if is_jobs else row for row, is_jobs in zip(found, jobs, strict=True)]


def estimates(found: list[dict], config: dict) -> str:
    lines = [f"{'hours':<24}{'cells':>7}{'training':>11}{'all':>9}"]
    for name, part in parts(config).items():
        cells = len(grid.cells(part))
        hours = {what: value for what, value, _ in page.hours(for_cells(found, cells), part)}
        training = sum(value for what, value in hours.items() if what.startswith("training"))
        everything = rounded(hours["all of these"]) or "unknown"
        lines.append(f"{name:<24}{cells:>7}{rounded(training):>11}{everything:>9}")
    return "\n".join([*lines, page.REST])


def main() -> None:
    found, origin = rates(ROWS)
    print(f"{origin}\n\n{estimates(found, projection.resolved([Path(file) for file in sys.argv[1:]]))}")


if __name__ == "__main__":
    try:
        main()
    except (UserError, FileNotFoundError) as error:
        sys.exit(str(error))
