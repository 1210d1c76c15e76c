"""From a source's images to uint8 arrays of one size, split into train and test (rule prepare_dataset)."""

import hashlib
import logging
import warnings
from pathlib import Path

import numpy as np

from autoencoders.config.seeds import stream_seed
from autoencoders.data.pictures import UNKNOWN, Split, prepare_image
from autoencoders.jobs import kinds
from autoencoders.jobs.errors import MORE_MEMORY, UserError
from autoencoders.jobs.progress import Progress

logger = logging.getLogger(__name__)

# How many images with warnings are named in the log.
NAMED = 20


def prepare_split(
    source: Split, crop: int | None, size: int, limit: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode, crop and resize the first ``limit`` images (None: all) of a source.

    Returns images uint8 (N, 3, size, size) and labels int64 (N,) or None. Raises UserError, naming the file or row,
    for an image that cannot be decoded or is smaller than the crop. Logs warnings of decoders, with its name.
    """
    count = len(source) if limit is None else min(limit, len(source))
    images = np.empty((count, 3, size, size), dtype=np.uint8)
    progress = Progress("preparing images", count)
    pictures, warned = iter(source), 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)
        for index in range(count):
            try:
                images[index] = prepare_image(next(pictures), crop, size)
            except UserError as error:
                raise UserError(f"{source.name(index)}: {error}") from error
            except MemoryError as error:
                raise UserError(f"{source.name(index)} needs more memory than there is. {MORE_MEMORY}.") from error
            except Exception as error:  # For damaged files, decoders raise all kinds of errors.
                what = str(error) or type(error).__name__
                raise UserError(
                    f"{source.name(index)} cannot be read as an image: {what}. Replace or remove it."
                ) from error
            if caught:
                warned += 1
                if warned <= NAMED:
                    texts = dict.fromkeys(str(warning.message) for warning in caught)
                    logger.warning("%s: %s", source.name(index), "; ".join(texts))
                caught.clear()
            progress.step(1)
    if warned > NAMED:
        logger.warning("%d more images have such warnings", warned - NAMED)
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
        _warn_of_classes(split, dataset, sources, arrays[split].get("labels"))
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


def _warn_of_classes(split: str, dataset: dict, sources: dict[str, Split], labels: np.ndarray | None) -> None:
    """Logs how many classes a split lacks, and how many of its labels are unknown."""
    if labels is None:
        return
    unknown, found = np.count_nonzero(labels == UNKNOWN), np.setdiff1d(labels, UNKNOWN)
    if unknown:
        logger.warning(
            "%s: the classes of %d of %d images are unknown (label %d), so the accuracy of a classifier will be too",
            *(split, unknown, len(labels), UNKNOWN),
        )
    classes = np.setdiff1d(np.concatenate([source.labels for source in sources.values()]), UNKNOWN)
    if 0 < len(found) < len(classes):
        if len(labels) == dataset["limit"][split]:
            # In a folder sorted by class, they are all of one class.
            why = "`limit` takes the first ones in the source's order"
        elif "test" not in sources:
            why = "the others have too few images to be in both splits, or `test_fraction` is small"
        else:
            why = "the others are only in the other split"
        logger.warning("%s has images of only %d of the dataset's %d classes: %s", split, len(found), len(classes), why)


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
