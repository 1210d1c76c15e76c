"""What two results folders of the same config have to share: all but measured times, speeds and memory."""

import json
import re
from pathlib import Path

import pandas as pd

MEASURED_KEYS = {
    "seconds",
    "earlier_seconds",
    "images_per_second",
    "peak_memory_bytes",
    "energy_joules",
    "resumed",
}
# Of table costs.parquet; what the other formats of that table say is measured.
UNMEASURED_COSTS = ["dataset", "model", "filters", "depth", "latent", "seed", "device", "precision"]


def differences(expected: Path, found: Path) -> list[str]:
    """One line for each file that is missing from the results folder ``found``, is too many there, or differs."""
    of_expected, of_found = files(expected), files(found)
    return [
        *(f"{name} is missing" for name in sorted(of_expected - of_found)),
        *(f"{name} is left behind" for name in sorted(of_found - of_expected)),
        *(
            f"{name} differs"
            for name in sorted(of_expected & of_found)
            if lasting(expected / name) != lasting(found / name)
        ),
    ]


def leftovers(results: Path) -> list[str]:
    """Files that only an unfinished job has: half-written ones, and checkpoints."""
    unfinished = re.compile(r"(.*/)?(\.writing-.*|(.*\.)?checkpoint\.safetensors)")
    return sorted(filter(unfinished.fullmatch, files(results)))


def files(folder: Path) -> set[str]:
    # Of each run there is a record of its own.
    found = (file for file in folder.rglob("*") if file.is_file() and not file.match("logs/runs/*.json"))
    return {file.relative_to(folder).as_posix() for file in found}


def lasting(file: Path) -> object:
    """What of a file is the same whenever it is made."""
    if {"logs", "benchmarks"} & set(file.parts):
        return None
    if file.name == "cell.json" or file.match("extractors/*.json"):
        return {key: value for key, value in json.loads(file.read_text()).items() if key not in MEASURED_KEYS}
    if file.name == "costs.parquet":
        return pd.read_parquet(file)[UNMEASURED_COSTS].to_dict("records")
    if file.stem == "costs":
        return None
    return file.read_bytes()
