"""What two results folders of the same config share: everything but measured times, speeds and memory."""

import json
from pathlib import Path

import pandas as pd

MEASURED = {"seconds", "earlier_seconds", "images_per_second", "peak_memory_bytes", "energy_joules", "resumed"}


def lasting(file: Path) -> object:
    """The content of a file that is the same in every run."""
    if {"logs", "benchmarks"} & set(file.parts):
        return None
    if file.name == "cell.json" or file.match("extractors/*.json"):
        return {
            key: value for key, value in json.loads(file.read_text(encoding="utf-8")).items() if key not in MEASURED
        }
    if file.name == "costs.parquet":
        cells = ["dataset", "model", "filters", "depth", "latent", "seed", "device", "precision"]
        return pd.read_parquet(file)[cells].to_dict("records")
    return None if file.stem == "costs" else file.read_bytes()


def lasting_results(results: Path) -> dict[str, object]:
    """By file. Each run has its own record, which is left out."""
    found = [file for file in results.rglob("*") if file.is_file() and not file.match("logs/runs/*.json")]
    return {file.relative_to(results).as_posix(): lasting(file) for file in found}
