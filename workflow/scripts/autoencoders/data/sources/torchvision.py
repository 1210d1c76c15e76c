"""The official archives of datasets, downloaded and verified by torchvision."""

from __future__ import annotations

import logging
import os
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import explained, file_sha256

if TYPE_CHECKING:
    from PIL import Image

    from autoencoders.data.pictures import Split

logger = logging.getLogger(__name__)

DESCRIPTION = "an official dataset, as in {name: CIFAR10}"
OPTIONS = {"name": {"description": "a class of torchvision.datasets", "enum": ["CIFAR10", "CIFAR100", "CelebA"]}}


def is_remote(options: Mapping) -> bool:
    return True


def labelled(options: Mapping) -> bool:
    return options["name"] != "CelebA"


def training_images(options: Mapping) -> int:
    return {"CIFAR10": 50_000, "CIFAR100": 50_000, "CelebA": 162_770}[options["name"]]


def side(options: Mapping) -> int:
    return {"CIFAR10": 32, "CIFAR100": 32, "CelebA": 178}[options["name"]]


def splits(options: Mapping, folder: str | Path) -> dict[str, Split]:
    import numpy as np
    from torchvision import datasets

    from autoencoders.data.pictures import Split, split_of_files

    name, folder = options["name"], Path(folder)

    def open_split(split: str) -> Split:
        if name == "CelebA":
            # No target: its 40 attributes are not classes.
            files = datasets.CelebA(folder, split=split, target_type=[]).filename
            return split_of_files([folder / "celeba" / "img_align_celeba" / file for file in files], None)
        # torchvision compares each batch's MD5 with the official one before it unpickles it.
        data = getattr(datasets, name)(folder, train=split == "train")
        labels = np.array(data.targets, dtype=np.int64)

        def images() -> Iterator[Image.Image]:
            return (data[index][0] for index in range(len(data)))

        return Split(len(data), labels, images, lambda index: f"{name} {split} image {index}")

    try:
        return {split: open_split(split) for split in ("train", "test")}
    except RuntimeError as error:
        raise UserError(
            f"{name} in {folder} is incomplete or damaged ({error}). Delete {folder}.json and run again: missing or "
            "damaged files are downloaded and unpacked again."
        ) from error


def download(options: Mapping, folder: str | Path, attempts: int = 3) -> dict[str, str]:
    """torchvision's own download, which checks the official MD5 sums; tried up to ``attempts`` times."""
    # Seconds between updates of these libraries' progress bars, which go to a log; tqdm reads it when imported.
    os.environ.setdefault("TQDM_MININTERVAL", "10")
    from gdown.exceptions import DownloadError
    from torchvision import datasets
    from torchvision.datasets.utils import check_integrity, download_and_extract_archive

    name, folder = options["name"], Path(folder)
    official = getattr(datasets, name)
    for failures in range(1, attempts + 1):
        try:
            with explained(folder):
                if name == "CelebA":
                    official(folder, split="all", target_type=[], download=True)
                    _finish_celeba(folder / official.base_folder, official.file_list[0][1])
                else:
                    # torchvision verifies the batches before it downloads, and the class names afterwards.
                    if not check_integrity(
                        folder / official.base_folder / official.meta["filename"], official.meta["md5"]
                    ):
                        download_and_extract_archive(
                            official.url, str(folder), None, official.filename, official.tgz_md5
                        )
                    official(folder, download=True)
            break
        except (OSError, RuntimeError, DownloadError) as error:
            if failures == attempts:
                raise UserError(_download_advice(official, folder, error)) from error
            logger.warning("download of %s failed (%s); trying again in %d s", name, error, 2**failures)
            time.sleep(2**failures)
    if name == "CelebA":
        files = [folder / official.base_folder / file for _, _, file in official.file_list]
    else:
        batches = [file for file, _ in official.train_list + official.test_list]
        files = [folder / official.filename, *(folder / official.base_folder / file for file in batches)]
    # A user who put the files there by hand may have unpacked the archive and deleted it.
    return {file.relative_to(folder).as_posix(): file_sha256(file) for file in files if file.exists()}


def _download_advice(official: type, folder: Path, error: Exception) -> str:
    if official.__name__ == "CelebA":
        names = ", ".join(file for _, _, file in official.file_list)
        return (
            f"CelebA could not be downloaded ({error}). Its official archive is on Google Drive, whose quota is "
            f"often exceeded. Either use the copy on the Hugging Face Hub: write\n"
            f"  datasets: {{celeba: {{source: parquet}}}}\n"
            f"in your config; the copy's address is already set. Or put the official files into "
            f"{folder / official.base_folder} by hand: {names}."
        )
    return (
        f"{official.__name__} could not be downloaded from {official.url} ({error}). Check the network and run again, "
        f"or put {official.filename} into {folder} by hand."
    )


def _finish_celeba(folder: Path, md5: str) -> None:
    """Unpack the images again if an interrupted run left some out: torchvision checks only that their folder exists.

    If it exists, torchvision has not compared the archive's ``md5`` with the official one either.
    """
    from torchvision.datasets.utils import check_integrity, extract_archive

    archive, images = folder / "img_align_celeba.zip", folder / "img_align_celeba"
    if not archive.exists():
        return
    if not check_integrity(archive, md5):
        raise UserError(
            f"{archive} is not the official archive: its MD5 sum is not {md5}. Delete it to use the images as they are "
            f"in {images}, or delete both and run again to download them."
        )
    with zipfile.ZipFile(archive) as packed:
        expected = {Path(item.filename).name: item.file_size for item in packed.infolist() if not item.is_dir()}
    if not expected.items() <= {item.name: item.stat().st_size for item in os.scandir(images)}.items():
        extract_archive(str(archive), str(folder))
