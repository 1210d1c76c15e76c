"""Checks local images before the first job, so that a wrong column or crop stops a run at its start.

Snakemake's main process imports this module. If its environment lacks the libraries that read images, the job
prepare_dataset reports the same faults.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError

if TYPE_CHECKING:
    from autoencoders.data.pictures import Split


class Look:
    """What a source may ask about a dataset of the config. ``info`` is its dataset.json, if it was prepared before."""

    def __init__(self, dataset: Mapping, info: Path) -> None:
        self.dataset, self.info = dataset, info

    @property
    def changed(self) -> bool:
        """Whether the dataset was last prepared from other images."""
        return recorded_fingerprints(self.info) not in (None, fingerprints(self.dataset))

    def at(self, split: Split) -> None:
        """Raises UserError if the first image of a split can't be read, or is smaller than the crop."""
        from autoencoders.data.preparation import prepare_split

        prepare_split(split, self.dataset["crop"], self.dataset["size"], limit=1)

    def at_crop(self, split: Split) -> None:
        """The same, but only if the config has a crop."""
        if self.dataset["crop"] is not None:
            self.at(split)

    def read(self, splits: Mapping[str, Split]) -> list[tuple[Split, int]]:
        """The splits, and how many of their images are read."""
        from autoencoders.data.preparation import read_images

        return [(splits[name], count) for name, count in read_images(self.dataset, splits).items()]


def find_misfits(datasets: Mapping[str, Mapping], pathvars: Mapping[str, str]) -> Iterator[str]:
    """A line for each results folder that can't be one, and for each of ``datasets`` (those of a resolved config that
    run) whose images do not fit the config.
    """
    for key, folder in pathvars.items():
        fault = obstacle(Path(folder))
        if fault:
            yield f"pathvars.{key}: {fault}"
    for name, dataset in sorted(datasets.items()):
        yield from (f"datasets.{name}: {fault}" for fault in map(kinds.interpreted, files(dataset)) if fault)
    if not all(map(importlib.util.find_spec, ("numpy", "PIL", "pyarrow", "sklearn"))):
        return
    for name, dataset in sorted(datasets.items()):
        source = kinds.load("sources", dataset["source"])
        try:
            if hasattr(source, "first_look"):
                look = Look(dataset, Path(pathvars["results"], "datasets", name, "dataset.json"))
                source.first_look(dataset[dataset["source"]], look)
        except UserError as error:
            yield f"datasets.{name}: {error}"


def obstacle(folder: Path) -> str | None:
    """Why a folder can't be created or used: it, or a folder above it, is a file or a link to nothing."""
    path = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if path.is_dir():
        return None
    if path.exists():
        return f"{path} is a file. Write the path of a folder."
    return f"{path} is a link to {os.readlink(path)}, which is not there. Make that folder, or remove the link."


def files(dataset: Mapping) -> list[str]:
    """The paths of the local files of a dataset of the config that are inputs of the rule."""
    source = kinds.load("sources", dataset["source"])
    return list(map(str, source.files(dataset[dataset["source"]]))) if hasattr(source, "files") else []


def fingerprints(dataset: Mapping) -> list[str] | None:
    """Texts that change with the images of a dataset of the config; None if its files are inputs of the rule."""
    source = kinds.load("sources", dataset["source"])
    return source.fingerprints(dataset[dataset["source"]]) if hasattr(source, "fingerprints") else None


def recorded_fingerprints(info: Path) -> object:
    """The recorded fingerprints of a prepared dataset; None if it is not prepared, or has none on record."""
    try:
        return json.loads(info.read_text()).get("fingerprints")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None  # The job that reads a broken file reports it.
