"""Folders of images: flat, or with a sub-folder for each class."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.jobs.errors import UserError

if TYPE_CHECKING:
    from autoencoders.data.first_look import Look
    from autoencoders.data.pictures import Split

logger = logging.getLogger(__name__)

SPLITS = ("train", "test")
EXTENSIONS = {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".ppm", ".pgm", ".tif", ".tiff"}
# The most seconds to spend on reading new images.
PATIENCE = 10
DESCRIPTION = "folders of images, as in {train: path/to/images}"
OPTIONS = {
    "train": {"description": "a folder of images", "type": "string", "minLength": 1},
    "test": {"description": "a folder of images or null", "type": ["string", "null"], "minLength": 1, "default": None},
}


def folders(options: Mapping) -> dict[str, Path]:
    """The folder of each split; ~ is the home folder."""
    return {split: Path(options[split]).expanduser() for split in SPLITS if options.get(split) is not None}


def has_test(options: Mapping) -> bool:
    return options.get("test") is not None


def labelled(options: Mapping) -> bool | None:
    """False if a folder has no images in sub-folders; otherwise None, for not known yet."""
    for folder in folders(options).values():
        images = find_images(folder, links=True)
        first = next(images, None)
        # `first_look` and `splits` report an empty folder.
        if first is not None and not any(image.parent != folder for image in itertools.chain([first], images)):
            return False
    return None


def check(options: Mapping) -> Iterator[tuple[str, str]]:
    for split, folder in folders(options).items():
        if not folder.is_dir():
            yield split, f"there is no folder {options[split]!r}."


def fingerprints(options: Mapping) -> list[str]:
    return [fingerprint(folder) for folder in folders(options).values()]


def first_look(options: Mapping, look: Look) -> None:
    """Raises UserError for a folder without images, for anything that ``splits`` refuses, for a first image that is
    smaller than the crop, and for images that were added since the dataset was prepared and can't be read.

    Such an image would make the next preparation fail after Snakemake has deleted the output of the last one.
    Everything trained on that output would then be trained again, even if the image is removed.
    """
    from autoencoders.data.pictures import split_of_files

    places = list(folders(options).values())
    for folder in places:
        # Not the first by name: listing a folder of many images takes seconds.
        found = list(itertools.islice(find_images(folder, links=True), 1))
        if not found:
            raise UserError(f"{str(folder)!r} holds no images ({', '.join(sorted(EXTENSIONS))}).")
        look.at_crop(split_of_files(found, None))
    if not look.changed:
        return
    read = look.read(splits(options, folder=""))
    files = [Path(split.name(index)) for split, count in read for index in range(count)]
    end = time.monotonic() + PATIENCE
    for file in sorted(files, key=lambda file: arrival(file, places), reverse=True):
        if time.monotonic() > end:
            break
        look.at(split_of_files([file], None))


def arrival(file: Path, folders: list[Path]) -> float:
    """Roughly when a file appeared in one of ``folders``: when it, or a folder around it, was written or moved."""
    moved = itertools.takewhile(lambda folder: folder not in folders, file.parents)
    return max(path.lstat().st_ctime for path in (file, *moved))


def find_files(folder: Path, links: bool) -> Iterator[Path]:
    """All files in ``folder`` and below, in any order; hidden files and folders are left out.

    ``links`` follows links to folders directly in ``folder``, where they stand for classes; further below they might
    form loops. Raises UserError for a folder that can't be read, and for a broken link, since a class would silently be
    missing.
    """
    folders = []
    try:
        for entry in os.scandir(folder):
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=links):
                folders.append(Path(entry))
            elif entry.is_file():
                yield Path(entry)
            elif entry.is_symlink() and not os.path.exists(entry):
                raise UserError(
                    f"{entry.path} is a link to {os.readlink(entry)}, which does not exist. Repair or remove the link."
                )
    except OSError as error:
        raise UserError(f"The folder '{folder}' can't be read: {error.strerror} ({error.filename}).") from error
    for below in folders:
        yield from find_files(below, links=False)


def is_image(path: Path) -> bool:
    """Judged by its suffix."""
    return path.suffix.lower() in EXTENSIONS


def find_images(folder: Path, links: bool) -> Iterator[Path]:
    """The images among ``find_files``."""
    return filter(is_image, find_files(folder, links))


def images_below(folder: Path, links: bool) -> list[Path]:
    """The images of ``find_images``, sorted by path."""
    return sorted(find_images(folder, links), key=lambda path: path.relative_to(folder).as_posix())


def fingerprint(folder: str) -> str:
    """A hash of the names and sizes of a folder's images: it changes when one is added, removed, moved or resized.

    A folder's own time stamp does not show changes in its sub-folders. Reading the contents would take as long as
    preparing the dataset, so an image replaced by another of the same size in bytes goes unnoticed.
    """
    root = Path(folder).expanduser()
    names = [f"{path.relative_to(root).as_posix()}:{path.stat().st_size}" for path in images_below(root, links=True)]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


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
    files, classes = {}, {}
    for split, place in places.items():
        files[split], classes[split] = _folder_files(place)
    if len({names is None for names in classes.values()}) > 1:
        raise UserError(
            "One of the folders of train and test has a sub-folder for each class, and the other does not. Use the "
            "same layout for both."
        )
    labels = {} if classes["train"] is None else class_indices(classes)
    return {split: split_of_files(files[split], labels.get(split)) for split in places}


def _warn_of_others(folder: Path) -> None:
    """Logs how many files are ignored because their suffixes are not those of images."""
    others = Counter(path.suffix or path.name for path in find_files(folder, links=True) if not is_image(path))
    if others:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(8))
        logger.warning("%s: files of other formats are ignored: %s", folder, counts)


def _folder_files(folder: Path) -> tuple[list[Path], list[str] | None]:
    """All images sorted by class and path, and each one's class (None for a flat folder)."""
    if not folder.is_dir():
        raise UserError(
            f"The image folder '{folder}' does not exist (looked in {Path.cwd()}). Correct `folder` in the config."
        )
    _warn_of_others(folder)
    entries = sorted(item for item in folder.iterdir() if not item.name.startswith("."))
    flat = [item for item in entries if is_image(item) and item.is_file()]
    nested = {item.name: images_below(item, links=False) for item in entries if item.is_dir()}
    nested = {name: images for name, images in nested.items() if images}
    if flat and nested:
        raise UserError(
            f"'{folder}' holds {len(flat)} images (such as {flat[0].name}) and more in sub-folders "
            f"({', '.join(list(nested)[:5])}). Put every image into the sub-folder of its class, or all of them into "
            f"'{folder}' for a dataset without labels."
        )
    if not flat and not nested:
        raise UserError(f"'{folder}' holds no images ({', '.join(sorted(EXTENSIONS))}), nor do its sub-folders.")
    if flat:
        return flat, None
    return (
        [image for images in nested.values() for image in images],
        [name for name, images in nested.items() for _ in images],
    )
