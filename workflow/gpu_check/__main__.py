"""`make gpu-check`: does this GPU do what it should? Eight minutes, and a page: results/gpu-check/gpu-check.md.

`--dry-run` runs the same sections on the CPU with tiny sizes, which shows only that the check itself works.
"""

import argparse
import os
import signal
import sys
import time
from pathlib import Path

import torch
from gpu_check import page, rows, running
from gpu_check.sections import DRY_RUN_FACTOR, SECTIONS, TOTAL, Section

from autoencoders.jobs.files import write_json

FOLDER = Path("results/gpu-check")


def no_gpu(visible: str) -> str:
    return (
        f"PyTorch {torch.__version__} sees no CUDA GPU, so nothing was checked: look at `nvidia-smi` (the driver), at "
        f"CUDA_VISIBLE_DEVICES (now {visible!r}), and at envs/README.md. "
        "To try the check itself on the CPU: make gpu-check DRY_RUN=yes"
    )


def limit(section: Section, dry: bool, spent: float) -> float:
    """Seconds that a section may take; the last one also has those that the others left."""
    if dry:
        return DRY_RUN_FACTOR * section.limit
    return max(section.limit, TOTAL - spent) if section == SECTIONS[-1] else section.limit


def outcomes(found: list[dict], why: dict[str, str]) -> list[dict]:
    """A row for each check of each section: its outcome, or that it was not run, and why; a section that failed fails
    all that it did not come to.
    """
    had = {(row["section"], row["case"]): row for row in found if row["outcome"]}
    checks = []
    for section in SECTIONS:
        for check in section.checks or (f"section {section.name}",):
            note = why.get(section.name, "not reached")
            # A section that ended without an error left out what it could not check.
            passed = False if note.startswith(running.ENDED) else None
            if note == "":
                passed, note = (None, "left out") if section.checks else (True, "")
            checks.append(had.get((section.name, check)) or rows.outcome(section.name, check, passed, note))
    return checks


def check(folder: Path, dry: bool, log: running.Log) -> list[dict]:
    """Run all sections; returns the outcomes of all checks. The page is written after each section, and at the end of
    an interrupted check.
    """
    found, why = [], {}
    page.save(folder, found, outcomes(found, why), dry)
    started = time.monotonic()
    for number, section in enumerate(SECTIONS, start=1):
        seconds = limit(section, dry, time.monotonic() - started)
        log(f"[{number}/{len(SECTIONS)}] {section.name}, {seconds:.0f} s at most")
        write_json(folder / "rows.json", found)
        command = [sys.executable, "-m", "gpu_check.running", section.name, str(folder), str(seconds)]
        try:
            why[section.name] = running.run(command, seconds, log, found)
        finally:
            page.save(folder, found, outcomes(found, why), dry)
        if why[section.name]:
            log(f"{section.name}: {why[section.name]}")
    return outcomes(found, why)


def main() -> None:
    parser = argparse.ArgumentParser(prog="gpu_check", description=__doc__.splitlines()[0])
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on the CPU")
    dry = parser.parse_args().dry_run
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    # Before CUDA is used. One GPU is checked: the first of those that this process may use.
    os.environ["CUDA_VISIBLE_DEVICES"] = "" if dry else ("0" if visible is None else visible.split(",")[0])
    if not dry and not torch.cuda.is_available():
        sys.exit(no_gpu("not set" if visible is None else visible))
    # An ended check ends its section, too, and leaves its page.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    folder = FOLDER / "dry-run" if dry else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log.txt", "w", encoding="utf-8") as file:
        log = running.Log(file)
        if dry:
            log("A dry run on the CPU: nothing is measured for a GPU.")
        try:
            checks = check(folder, dry, log)
        finally:
            log(f"{folder}/gpu-check.md is the page; its numbers are in gpu-check.parquet, and all lines in log.txt")
    print((folder / "gpu-check.md").read_text(encoding="utf-8"))
    failed = [row for row in checks if row["outcome"] == rows.FAIL]
    missing = [row for row in checks if row["outcome"] == rows.NOT_RUN and not dry]
    if failed or missing:
        sys.exit("\n".join(f"{row['outcome']}: {row['case']} ({row['note']})" for row in (*failed, *missing)))


if __name__ == "__main__":
    main()
