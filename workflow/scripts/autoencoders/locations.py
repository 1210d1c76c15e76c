"""What the places in a dataset's config mean. Snakemake's own process asks, so this needs the standard library only."""

import glob
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from autoencoders.errors import UserError

EXTENSIONS = {".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".ppm", ".pgm", ".tif", ".tiff"}


def patterns(value: str | list[str] | None) -> list[str]:
    """The config's ``train`` and ``test`` of a parquet source: one pattern, a list of them, or null."""
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def is_hub(pattern: str) -> bool:
    """Whether a pattern names files on the Hugging Face Hub."""
    return pattern.startswith("hf://")


def is_remote(dataset: dict) -> bool:
    """Whether a dataset of the config has to be downloaded."""
    if dataset["source"] == "parquet":
        files = dataset["parquet"]
        return any(is_hub(pattern) for pattern in patterns(files["train"]) + patterns(files.get("test")))
    return dataset["source"] == "torchvision"


def local_files(pattern: str) -> list[Path]:
    """The paths that a path or a pattern such as data/train-*.parquet names, sorted; ~ is the home folder."""
    path = Path(pattern).expanduser()
    # A name may hold a bracket: what exists as it is written is meant as it is written.
    return [path] if path.exists() else [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]


def find_files(folder: Path, links: bool) -> Iterator[Path]:
    """All files in ``folder`` and below, in any order; hidden files and folders are left out.

    ``links`` follows links to folders right in ``folder``, where they stand for classes; none is followed below, where
    it may lead in circles. Raises UserError for a folder that can't be read, and for a link to nothing: a class would
    be missing without a word.
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
                    f"{entry.path} is a link to {os.readlink(entry)}, which is not there. Mend it, or remove it."
                )
    except OSError as error:
        raise UserError(f"The folder '{folder}' can't be read: {error.strerror} ({error.filename}).") from error
    for below in folders:
        yield from find_files(below, links=False)


def is_image(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() in EXTENSIONS


def find_images(folder: Path, links: bool) -> Iterator[Path]:
    """The images among ``find_files``."""
    return filter(is_image, find_files(folder, links))


def images_below(folder: Path, links: bool) -> list[Path]:
    """The images of ``find_images``, sorted by path."""
    return sorted(find_images(folder, links), key=lambda path: path.relative_to(folder).as_posix())


def fingerprints(dataset: dict) -> list[str] | None:
    """What shows that the images of a folder source have changed, a text for each of its folders; None of others."""
    if dataset["source"] != "folder":
        return None
    return [fingerprint(folder) for folder in dataset["folder"].values() if folder is not None]


def fingerprint(folder: str) -> str:
    """A hash of the names and sizes of a folder's images: it changes when one is added, removed, moved or resized.

    A folder's own time stamp shows none of these in its sub-folders. Contents are not read, which would take as long
    as preparing the dataset, so that an image replaced by one of as many bytes goes unnoticed.
    """
    root = Path(folder).expanduser()
    names = [f"{path.relative_to(root).as_posix()}:{path.stat().st_size}" for path in images_below(root, links=True)]
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
