"""`make estimates`: what the paper's run, or that of CONFIG, takes on one GPU, and each of the config's experiments.

    python -m gpu_check.estimates [CONFIG...]

Hours follow from the rates that `make gpu-check` measured or, if it was not run here, from an assumed one; operations,
memory and disk are counted.
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
from autoencoders.networks import memory_count

OF_COLUMNS = """EFLOP: 10^18 floating point operations of training. GPU memory: what training the largest network
takes, without CUDA's own and what penalties keep. Disk: weights, codes and priors; checkpoints and images
during the run, and features, come on top."""
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
    """The whole run's config, and those of each experiment alone; a cell that several share counts in each. Experiments
    without a cell on the datasets of `run_on` are left out.
    """
    run, others = config["run"], [name for name in config["experiments"] if name not in config["run"]]
    alone = {f"  {name}": config | {"run": [name]} for name in run if len(run) > 1}
    found = {"the whole run": config} | alone | {f"not in it: {name}": config | {"run": [name]} for name in others}
    return {name: part for name, part in found.items() if grid.cells(part)}


def cell_bytes(config: dict, cell: dict) -> int:
    """What stays of a cell: its weights, the codes of all images, and the fitted Gaussians' covariances."""
    latent, images = cell["latent"], projection.images(config, cell["dataset"])
    gaussians = sum(
        {"mvg": 1, "gmm": options.get("components", 0)}.get(options["kind"], 0)
        for options in grid.model_priors(config, cell["model"]).values()
    )
    weights = sum(memory_count.parameter_counts(grid.network_options(config, cell)))
    return 4 * weights + 4 * images * latent + 8 * gaussians * latent**2


def gpu_bytes(config: dict, cell: dict) -> int:
    work = grid.training_work(config, cell, projection.training_images(config, cell["dataset"]))
    return memory_count.training_bytes(*work)


def for_cells(found: list[dict], cells: int) -> list[dict]:
    """The rows with the number of jobs that so many cells have, in proportion to the paper's run."""
    share = cells / len(grid.cells(projection.resolved([])))
    jobs = [row["section"] == "planning" and row["unit"] == "jobs" for row in found]
    return [row | {"value": row["value"] * share} if is_jobs else row for row, is_jobs in zip(found, jobs, strict=True)]


def estimates(found: list[dict], config: dict) -> str:
    lines = [f"{'':<26}{'cells':>6}{'EFLOP':>8}{'training':>11}{'all':>10}{'GPU memory':>12}{'disk':>9}"]
    for name, part in parts(config).items():
        cells = grid.cells(part)
        hours = {what: value for what, value, _ in page.hours(for_cells(found, len(cells)), part)}
        training = sum(value for what, value in hours.items() if what.startswith("training"))
        operations = sum(projection.cell_flops(part, cell) for cell in cells) / 1e18
        memory = max(gpu_bytes(part, cell) for cell in cells) / 1e9
        disk = sum(cell_bytes(part, cell) for cell in cells) / 1e9
        everything = f"{rounded(hours['all of these'])} h" if not math.isnan(hours["all of these"]) else "unknown"
        lines.append(
            f"{name:<26}{len(cells):>6}{rounded(operations):>8}{rounded(training) + ' h':>11}{everything:>10}"
            f"{rounded(memory) + ' GB':>12}{rounded(disk) + ' GB':>9}"
        )
    return "\n".join([*lines, "", page.REST, OF_COLUMNS])


def main() -> None:
    found, origin = rates(ROWS)
    print(f"{origin}\n\n{estimates(found, projection.resolved([Path(file) for file in sys.argv[1:]]))}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
