"""Folders of images: flat, or with a sub-folder for each class."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import printable

if TYPE_CHECKING:
    from autoencoders.data.first_look import Look
    from autoencoders.data.pictures import Split

logger = logging.getLogger(__name__)

SPLITS = ("train", "test")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".ppm", ".pgm", ".tif", ".tiff")
# Names of folders that hold a split rather than a class. "train" alone may be a class, beside cars and ships.
TRAINING = {"train", "training"}
OTHER_SPLITS = {"test", "testing", "val", "valid", "validation", "dev", "eval"}
# Thumbnails of a Synology disk, resource forks in a zip file of a Mac, and bins of two systems.
KEPT_BY_OTHERS = {"@eadir", "__macosx", "#recycle", "$recycle.bin"}
# The most seconds to spend on reading new images.
PATIENCE = 10
DESCRIPTION = "folders of images, as in {train: path/to/images}"
OPTIONS = {
    "train": {"description": "a folder of images", "type": "string", "minLength": 1},
    "test": {"description": "a folder of images or null", "type": ["string", "null"], "minLength": 1, "default": None},
}


def folders(options: Mapping) -> dict[str, Path]:
    """The folder of each split that has one; ~ is the home folder."""
    return {split: Path(options[split]).expanduser() for split in SPLITS if options.get(split) is not None}


def has_test(options: Mapping) -> bool:
    return options.get("test") is not None


def labelled(options: Mapping) -> bool | None:
    """False if a folder has no images in sub-folders; otherwise None, for not known yet."""
    for folder in folders(options).values():
        images = filter(is_image, find_files(folder))
        # `first_look` and `splits` report an empty folder.
        if (first := next(images, None)) is not None and not any(
            "/" in name for name in itertools.chain([first], images)
        ):
            return False
    return None


def check(options: Mapping) -> Iterator[tuple[str, str]]:
    for split, folder in folders(options).items():
        if not folder.is_dir():
            yield split, f"there is no folder {options[split]!r}."


def searching(options: Mapping, folder: str) -> Iterator[str]:
    for split, place in folders(options).items():
        # As it is written, since links are followed, and where it is.
        for form in (os.path.abspath, os.path.realpath):
            below = os.path.relpath(form(folder), form(place))
            if below == "." or all(map(is_shown, below.split(os.sep))):
                yield split
                break


def local_files(options: Mapping) -> dict[str, str]:
    """All images of all splits: a dataset also depends on their names, which give their order and classes."""
    return {
        f"{split}/{name}": os.path.join(folder, name)
        for split, folder in folders(options).items()
        for name in sorted(filter(is_image, find_files(folder)))
    }


def first_look(options: Mapping, look: Look) -> None:
    """Raises UserError for anything that ``splits`` refuses, for a first image that can't be read or is smaller than
    the crop, and for images that are new since the dataset was prepared and can't be read.

    Such an image would make the next preparation fail after Snakemake has deleted the output of the last one.
    Everything trained on that output would then be trained again, even if the image is removed.
    """
    from autoencoders.data.pictures import split_of_files

    found = splits(options, folder="")
    for split in found.values():
        look.at(split)
    if not look.changed:
        return
    files = (split.files[index] for split, count in look.read(found) for index in range(count))
    new = sorted(filter(look.is_new, files), key=lambda file: os.stat(file).st_ctime, reverse=True)
    end = time.monotonic() + PATIENCE
    for file in new:
        if time.monotonic() > end:
            break
        look.at(split_of_files([file], None))


def is_shown(name: str) -> bool:
    """Hidden files and folders are left out, and copies of images that other programs keep beside them."""
    return not name.startswith(".") and name.lower() not in KEPT_BY_OTHERS


def is_image(name: str) -> bool:
    """Judged by its suffix."""
    return name.lower().endswith(EXTENSIONS)


def find_files(folder: Path) -> Iterator[str]:
    """All files in ``folder`` and below, as paths relative to it with slashes, in any order.

    Links to folders are followed directly in ``folder``, where they stand for classes; further below they might form
    loops. Raises UserError for a folder that can't be read, and for a broken link, since a class would silently be
    missing.
    """
    below = [""]
    while below:
        prefix = below.pop()
        try:
            with os.scandir(os.path.join(folder, prefix)) as entries:
                for entry in (entry for entry in entries if is_shown(entry.name)):
                    if entry.is_dir(follow_symlinks=not prefix):
                        below.append(f"{prefix}{entry.name}/")
                    elif entry.is_file():
                        yield prefix + entry.name
                    elif entry.is_symlink() and not os.path.exists(entry):
                        raise UserError(
                            f"{printable(entry.path)} is a link to {printable(os.readlink(entry))}, which does not "
                            "exist. Repair or remove the link."
                        )
                    elif entry.is_symlink() and os.path.isdir(entry):
                        logger.warning("%s is a link inside a class, and is not followed", printable(entry.path))
        except OSError as error:
            where = printable(error.filename or folder)
            raise UserError(f"The folder '{printable(folder)}' can't be read: {error.strerror} ({where}).") from error


class Listing(NamedTuple):
    """The images of one folder, sorted by class and path, and the class of each (None for a flat folder)."""

    files: list[str]
    classes: list[str] | None


def splits(options: Mapping, folder: str | Path) -> dict[str, Split]:
    from autoencoders.data.pictures import class_indices, split_of_files

    places = folders(options)
    if "test" in places:
        train, test = (places[split].resolve() for split in SPLITS)
        if train == test or train in test.parents or test in train.parents:
            raise UserError(
                f"The folders of train ({places['train']}) and test ({places['test']}) overlap, so "
                f"images would be in both. Write two separate folders, or `test: null` to split the images of train."
            )
    found = {split: list_images(place) for split, place in places.items()}
    if len({listing.classes is None for listing in found.values()}) > 1:
        raise UserError(
            "One of the folders of train and test has a sub-folder for each class, and the other does not. Use the "
            "same layout for both."
        )
    classes = {split: listing.classes for split, listing in found.items()}
    labels = {} if classes["train"] is None else class_indices(classes)
    return {split: split_of_files(found[split].files, labels.get(split)) for split in places}


def list_images(folder: Path) -> Listing:
    """The images of a folder. Logs what is ignored; raises UserError for a layout that is not clear."""
    if not folder.is_dir():
        raise UserError(
            f"The image folder '{folder}' does not exist (looked in {Path.cwd()}). Correct `folder` in the config."
        )
    images, others = [], Counter()
    for name in find_files(folder):
        if is_image(name):
            images.append(name)
        else:
            others[os.path.splitext(name)[1] or os.path.basename(name)] += 1
    nested = sorted((name for name in images if "/" in name), key=lambda name: name.split("/", 1))
    flat = sorted(name for name in images if "/" not in name)
    classes = sorted({name.split("/", 1)[0] for name in nested})
    if flat and nested:
        raise UserError(
            f"'{folder}' holds {len(flat)} images (such as {printable(flat[0])}) and more in sub-folders "
            f"({', '.join(map(printable, classes[:5]))}). Put every image into the sub-folder of its class, or all of "
            f"them into '{folder}' for a dataset without labels."
        )
    if not images:
        raise UserError(f"'{folder}' holds no images ({', '.join(sorted(EXTENSIONS))}), nor do its sub-folders.")
    _refuse_splits(folder, classes)
    _warn_of_ignored(folder, others, classes)
    if flat:
        return Listing([os.path.join(folder, name) for name in flat], None)
    return Listing([os.path.join(folder, name) for name in nested], [name.split("/", 1)[0] for name in nested])


def _refuse_splits(folder: Path, classes: list[str]) -> None:
    """Train, test and validation are no classes."""
    training = [name for name in classes if name.lower() in TRAINING]
    others = [name for name in classes if name.lower() in OTHER_SPLITS]
    if (training and others) or (classes and len(training) + len(others) == len(classes)):
        named = ", ".join(map(printable, classes[:8]))
        parts = [f"{key}: {folder}/{found[0]}" for key, found in (("train", training), ("test", others)) if found]
        raise UserError(
            f"The sub-folders of '{folder}' are splits, not classes: {named}. Write their own folders, as in "
            f"folder: {{{', '.join(parts)}}}"
        )


def _warn_of_ignored(folder: Path, others: Counter, classes: list[str]) -> None:
    """Logs how many files are ignored because their suffixes are not those of images, and folders without images."""
    if others:
        counts = ", ".join(f"{count} {printable(suffix)}" for suffix, count in others.most_common(8))
        logger.warning("%s: files of other formats are ignored: %s", folder, counts)
    if classes:
        with os.scandir(folder) as entries:
            shown = sorted(entry.name for entry in entries if is_shown(entry.name) and entry.is_dir())
        if empty := [printable(name) for name in shown if name not in set(classes)]:
            logger.warning("%s: %d folders without images are no classes: %s", folder, len(empty), ", ".join(empty[:8]))
