"""Checks local images before the first job, so that a wrong column or crop stops a run at its start.

Snakemake's main process imports this module. If its environment lacks the libraries that read images, the job
prepare_dataset reports the same faults.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.config.external import as_dataset
from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError

if TYPE_CHECKING:
    from autoencoders.data.pictures import Split
    from autoencoders.jobs.fingerprints import Contents

# The job prepare_dataset repeats all warnings, and its log keeps them.
logging.getLogger("autoencoders").addHandler(logging.NullHandler())


class Look:
    """What a source may ask about a dataset of the config. ``info`` is its dataset.json, if it was prepared before."""

    def __init__(self, dataset: Mapping, info: Path, contents: Contents) -> None:
        self.dataset, self.info, self.contents = dataset, info, contents

    @property
    def changed(self) -> bool:
        """Whether the dataset was last prepared from other images."""
        recorded = recorded_fingerprint(self.info)
        return recorded is not None and recorded != fingerprint(self.dataset, self.contents)

    def is_new(self, path: str | Path) -> bool:
        """Whether a file was added or changed since files were last remembered."""
        return self.contents.absolute(path) in self.contents.read

    def at(self, split: Split) -> None:
        """Raises UserError if the first image of a split can't be read, or is smaller than the crop."""
        from autoencoders.data.preparation import prepare_split

        prepare_split(split, self.dataset["crop"], self.dataset["size"], limit=1)

    def read(self, splits: Mapping[str, Split]) -> list[tuple[Split, int]]:
        """The splits, and how many of their images are read."""
        from autoencoders.data.preparation import read_images

        return [(splits[name], count) for name, count in read_images(self.dataset, splits).items()]


def find_misfits(datasets: Mapping[str, Mapping], pathvars: Mapping[str, str], contents: Contents) -> Iterator[str]:
    """A line for each results folder that can't be one, and for each of ``datasets`` (those of a resolved config that
    run) whose images do not fit the config.
    """
    for key, folder in pathvars.items():
        fault = obstacle(Path(folder))
        if fault:
            yield f"pathvars.{key}: {fault}"
    readable = all(map(importlib.util.find_spec, ("numpy", "PIL", "pyarrow", "sklearn")))
    for name, dataset in sorted(datasets.items()):
        source = kinds.load("sources", dataset["source"])
        yield from (
            f"datasets.{name}.{dataset['source']}.{key}: {fault}" for key, fault in swallowed(dataset, pathvars)
        )
        try:
            if readable and hasattr(source, "first_look"):
                look = Look(dataset, Path(pathvars["results"], "datasets", name, "dataset.json"), contents)
                source.first_look(dataset[dataset["source"]], look)
            fingerprint(dataset, contents)
        except UserError as error:
            yield f"datasets.{name}: {error}"


def swallowed(dataset: Mapping, pathvars: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """A fault (key, text) for each option of a source whose folder the run would write into: its figures would be
    images.
    """
    source, options = kinds.load("sources", dataset["source"]), dataset[dataset["source"]]
    for key, folder in pathvars.items():
        for option in source.searching(options, folder) if hasattr(source, "searching") else ():
            yield (
                option,
                f"the run would write into {options[option]!r}, and take that for images: pathvars.{key} is "
                f"{folder!r}. Write a folder outside, or move the images into one of their own.",
            )


def find_external_misfits(
    external: Mapping[str, Mapping], datasets: Mapping, pathvars: Mapping[str, str], contents: Contents
) -> Iterator[str]:
    """A line for each of the entries ``external`` (those of a resolved config that run) whose first image does not fit
    its dataset, whose images can't be found or read, or whose folder the run would write into.
    """
    readable = all(map(importlib.util.find_spec, ("numpy", "PIL", "pyarrow")))
    for name, entry in sorted(external.items()):
        source = as_dataset(entry)
        yield from (f"external.{name}.folder: {fault}" for _, fault in swallowed(source, pathvars))
        try:
            if readable:
                from autoencoders.data.external_images import read_external

                read_external(source, datasets[entry["dataset"]]["size"], limit=1)
            fingerprint(source, contents)
        except UserError as error:
            yield f"external.{name}: {error}"


def obstacle(folder: Path) -> str | None:
    """Why a folder can't be created or used: it, or a folder above it, is a file or a link to nothing."""
    path = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    # Unlike pathlib, os.path takes what can't be entered for missing.
    if os.path.isdir(path):
        return None
    if os.path.exists(path):
        return f"{path} is a file. Write the path of a folder."
    return (
        f"{path} is a link to {os.readlink(path)}, which is not there, or can't be entered. Make that folder, or "
        "remove the link."
    )


def fingerprint(dataset: Mapping, contents: Contents) -> str | None:
    """Changes with the local files of a dataset of the config; None if it has none. Raises UserError for a file that
    can't be read.
    """
    source = kinds.load("sources", dataset["source"])
    if not hasattr(source, "local_files"):
        return None
    options = dataset[dataset["source"]]
    # Even of remembered files, 100,000 take seconds.
    key = json.dumps([dataset["source"], options], sort_keys=True)
    if key not in contents.datasets:
        contents.datasets[key] = contents.fingerprint(source.local_files(options))
    return contents.datasets[key]


def recorded_fingerprint(info: Path) -> object:
    """The recorded fingerprint of a prepared dataset; None if it is not prepared, or has none on record."""
    try:
        return json.loads(info.read_text(encoding="utf-8")).get("fingerprint")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None  # The job that reads a broken file reports it.
