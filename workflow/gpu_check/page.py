"""The results of a check: rows as parquet, rates for later estimates as JSON, and a page."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from benchmark import projection
from benchmark.report import rounded
from gpu_check import rows
from gpu_check.rates import default_precision
from gpu_check.sizes import CASES

from autoencoders.jobs.files import atomic, write_json
from autoencoders.jobs.parquet_tables import write_parquet
from autoencoders.latent.priors import gmm

DRY = """\
**A dry run, without a GPU.** Nothing here was measured on a GPU, and nothing here says that a GPU does what it should:
tiny networks ran on the CPU, to show that the check itself works. "ran" means no more than that.
"""
REST = "Left out: encoding and decoding, reading and writing, the tables, and waiting for one another."


def save(folder: Path, found: Sequence[dict], checks: Sequence[dict], dry: bool) -> None:
    """Write gpu-check.parquet, gpu-check.md and, of a GPU whose training was measured, rates.json."""
    if dry:
        checks = [rows.without_a_gpu(row) for row in checks]
    write_parquet(folder / "gpu-check.parquet", pd.DataFrame([*found, *checks]).assign(dry_run=dry))
    rates = {} if dry else rates_of(found)
    if rates:
        write_json(folder / "rates.json", rates)
    with atomic(folder / "gpu-check.md") as temporary:
        temporary.write_text(page(found, checks, dry), encoding="utf-8")


def rates_of(found: Sequence[dict]) -> dict:
    """What `jobs.resources` estimates from: the training rates of the default precision by floating point operations of
    an image, and the float64 operations a second of fitting a mixture. Empty if no training was measured.
    """
    speeds = {case: rows.number(found, section="training", case=case.name, unit="images/s") for case in CASES}
    training = [
        {"flops": case.flops, "images_per_second": speed} for case, speed in speeds.items() if not math.isnan(speed)
    ]
    if not training:
        return {}
    machine = {row["case"]: row["note"] for row in found if row["section"] == "machine"}
    float64 = [row["value"] for row in found if row["section"] == "mixture" and row["unit"] == "TFLOP/s"]
    measured = {"gpu": machine.get("gpu", "unknown"), "date": machine.get("date", "unknown"), "training": training}
    return measured | {"precision": default_precision()} | ({"float64": 1e12 * min(float64)} if float64 else {})


def hours(found: Sequence[dict], config: dict) -> list[tuple[str, float, str]]:
    """(part, hours, note) of a resolved config's run, one job after the other; NaN where nothing was measured.

    To the benchmark's projection this adds mixtures, of as many iterations as requests to a scheduler assume.
    """
    measured = [
        case
        for case in CASES
        if not math.isnan(rows.number(found, section="training", case=case.name, unit="images/s"))
    ]
    parts = [
        (row.contender, row.value, row.note)
        for row in projection.project_config(found, measured or CASES, config)
        if row.unit == "h" and row.contender != "all of these"
    ]
    speed = 1e12 * min(
        (row["value"] for row in found if row["section"] == "mixture" and row["unit"] == "TFLOP/s"), default=math.nan
    )
    work = sum(projection.mixture_operations(config))
    parts.append(("mixtures", work / speed / 3600, f"if each takes {gmm.ITERATIONS} iterations; without k-means"))
    return [*parts, ("all of these", sum(value for _, value, _ in parts), REST)]


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return ["", *(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *escaped))]


def page(found: Sequence[dict], checks: Sequence[dict], dry: bool) -> str:
    counts = {word: sum(row["outcome"] == word for row in checks) for word in (rows.PASS, rows.FAIL, rows.NOT_RUN)}
    summary = ", ".join(f"{count} {word}" for word, count in counts.items())
    lines = ["# GPU check", "", DRY if dry else f"**{summary}**", "## Checks"]
    shown = [[row["case"], row["outcome"], row["note"]] for row in checks]
    lines += table(("check", "outcome", "note"), shown)
    lines += ["", "## Machine", ""]
    lines += [f"- {row['case']}: {row['note']}" for row in found if row["section"] == "machine" and not row["outcome"]]
    if not dry:
        lines += [
            "",
            "## Hours of the paper's run",
            "",
            "Projected from the rates below, on one GPU, one job at a time.",
        ]
        projected = hours(found, projection.resolved([]))
        lines += table(
            ("part", "hours", "note"),
            [[part, rounded(value) or "not measured", note] for part, value, note in projected],
        )
    measured = [row for row in found if row["section"] != "machine" and not row["outcome"]]
    for section in dict.fromkeys(row["section"] for row in measured):
        of_one = [row for row in measured if row["section"] == section]
        shown = [[row["case"], row["contender"], rounded(row["value"]), row["unit"], row["note"]] for row in of_one]
        lines += ["", f"## {section[0].upper()}{section[1:]}", *table(("case", "what", "value", "unit", "note"), shown)]
    return "\n".join(lines) + "\n"
