"""From a source's images to uint8 arrays of one size, split into train and test (rule prepare_dataset)."""

import hashlib
import logging
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from autoencoders.config.seeds import stream_seed
from autoencoders.data.pictures import Split, prepare_image
from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.progress import Progress

logger = logging.getLogger(__name__)

# What Pillow's decoders raise for damaged files and for files that are not images.
DECODING_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def prepare_split(
    source: Split, crop: int | None, size: int, limit: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode, crop and resize the first ``limit`` images (None: all) of a source.

    Returns images uint8 (N, 3, size, size) and labels int64 (N,) or None. Raises UserError, naming the file or row,
    for an image that cannot be decoded or is smaller than the crop.
    """
    count = len(source) if limit is None else min(limit, len(source))
    images = np.empty((count, 3, size, size), dtype=np.uint8)
    progress = Progress("preparing images", count)
    pictures = iter(source)
    for index in range(count):
        try:
            images[index] = prepare_image(next(pictures), crop, size)
        except UserError as error:
            raise UserError(f"{source.name(index)}: {error}") from error
        except DECODING_ERRORS as error:
            raise UserError(
                f"{source.name(index)} cannot be read as an image: {error}. Replace or remove it."
            ) from error
        progress.step(1)
    return images, None if source.labels is None else source.labels[:count]


def split_train_test(
    count: int, labels: np.ndarray | None, fraction: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Set ``fraction`` of ``count`` images aside for testing: sorted int64 indices of train and of test.

    Stratified by ``labels`` (int64 (count,)) if each class is large enough; each split has at least one image. The
    split depends only on the arguments.
    """
    from sklearn.model_selection import train_test_split

    if count < 2:
        raise UserError(f"A dataset of {count} image(s) cannot be split into train and test: it needs at least two.")
    test = min(max(round(count * fraction), 1), count - 1)
    if labels is not None:
        classes, sizes = np.unique(labels, return_counts=True)
        if sizes.min() < 2 or len(classes) > min(test, count - test):
            logger.warning(
                "too few images per class for a stratified split into train and test: splitting regardless of class"
            )
            labels = None
    random_state = stream_seed(seed, "train and test split") % 2**32
    train_indices, test_indices = train_test_split(
        np.arange(count, dtype=np.int64), test_size=test, random_state=random_state, stratify=labels
    )
    return np.sort(train_indices), np.sort(test_indices)


def prepare(dataset: dict, folder: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """Prepare both splits of a dataset of the config, downloaded to ``folder`` if its source is remote.

    Returns {"train": arrays, "test": arrays}; arrays are ``images`` uint8 (N, 3, S, S) and, for labelled
    datasets, ``labels`` int64 (N,).
    """
    source = kinds.load("sources", dataset["source"])
    sources = source.splits(kinds.complete(dataset[dataset["source"]], source.OPTIONS), folder)
    for split, source in sources.items():
        if not len(source):
            raise UserError(f"The {split} split of this dataset holds no images.")
    crop, size, limit = dataset["crop"], dataset["size"], dataset["limit"]
    if "test" in sources:
        arrays = {split: _arrays(*prepare_split(sources[split], crop, size, limit[split])) for split in sources}
    else:
        source = sources["train"]
        indices = chosen_images(dataset, source)
        images, labels = prepare_split(source, crop, size, read_images(dataset, sources)["train"])
        arrays = {
            split: _arrays(images[chosen], None if labels is None else labels[chosen])
            for split, chosen in indices.items()
        }
    for split in arrays:
        if len(arrays[split]["images"]) < 2:
            raise UserError(
                f"The {split} split of this dataset has a single image; priors and Fréchet distances need at least "
                "two. Add images, or raise `test_fraction` or `limit`."
            )
        _warn_of_lost_classes(split, sources["train"].labels, arrays[split].get("labels"))
    return arrays


def chosen_images(dataset: dict, source: Split) -> dict[str, np.ndarray]:
    """The split of a source without a test split: {split: sorted int64 indices of its images}."""
    train, test = split_train_test(len(source), source.labels, dataset["test_fraction"])
    return {"train": train[: dataset["limit"]["train"]], "test": test[: dataset["limit"]["test"]]}


def read_images(dataset: dict, sources: dict[str, Split]) -> dict[str, int]:
    """How many images of each source are read: its first ones, up to `limit`."""
    if "test" not in sources:
        return {"train": 1 + max(int(split[-1]) for split in chosen_images(dataset, sources["train"]).values())}
    limit = dataset["limit"]
    return {split: min(limit[split] or len(source), len(source)) for split, source in sources.items()}


def _arrays(images: np.ndarray, labels: np.ndarray | None) -> dict[str, np.ndarray]:
    return {"images": images} if labels is None else {"images": images, "labels": labels}


def _warn_of_lost_classes(split: str, all_labels: np.ndarray | None, labels: np.ndarray | None) -> None:
    """In a folder sorted by class, the first images are all of one class."""
    if labels is not None and len(np.unique(labels)) < len(np.unique(all_labels)):
        logger.warning(
            "%s has images of only %d of the dataset's %d classes: `limit` takes the first ones in the source's order",
            split,
            len(np.unique(labels)),
            len(np.unique(all_labels)),
        )


def describe(dataset: dict, arrays: dict[str, dict[str, np.ndarray]]) -> dict:
    """The contents of dataset.json: the source of the images, their numbers and checksums."""
    labels = arrays["train"].get("labels")
    kind = dataset["source"]
    return {
        "source": {"kind": kind, **dataset[kind]},
        "crop": dataset["crop"],
        "size": dataset["size"],
        "images": {split: len(arrays[split]["images"]) for split in arrays},
        "classes": None if labels is None else len(np.unique(labels)),
        # Of the arrays' bytes in C order: equal on all machines whose decoders agree.
        "sha256": {split: hashlib.sha256(arrays[split]["images"].reshape(-1)).hexdigest() for split in arrays},
    }
