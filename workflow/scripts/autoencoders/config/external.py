"""Images made elsewhere (the section `external` of the config), in the words that datasets are described by."""

from collections.abc import Mapping

from autoencoders.config.grid import cells


def running_external(config: dict) -> dict[str, dict]:
    """The entries of `external` that are scored: those whose dataset has cells that run."""
    used = {cell["dataset"] for cell in cells(config)}
    return {name: entry for name, entry in config["external"].items() if entry["dataset"] in used}


def as_dataset(entry: Mapping) -> dict:
    """The source of an entry, as in a dataset of the config all of whose images are for training."""
    if "folder" in entry:
        return {"source": "folder", "folder": {"train": entry["folder"], "test": None}}
    parquet = {"train": entry["parquet"]["paths"], "test": None, "image": entry["parquet"]["image"], "label": None}
    return {"source": "parquet", "parquet": parquet}
