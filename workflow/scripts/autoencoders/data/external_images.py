"""Images made elsewhere, exactly as they are: an image set like those of a cell (rule prepare_external)."""

import dataclasses
import hashlib
import logging
from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image

from autoencoders.data.pictures import Split
from autoencoders.data.preparation import prepare_split
from autoencoders.data.prepared_images import evaluation_subset
from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError

logger = logging.getLogger(__name__)

# The share of images that may be copies of test images: single ones happen, such as those of one colour.
MOST_TEST_COPIES = 0.01


def read_external(dataset: Mapping, size: int, limit: int | None = None) -> np.ndarray:
    """The first ``limit`` images (None: all) of a source, uint8 (N, 3, size, size), with the pixels of their files.

    ``dataset`` has its kind and options, as in `config.external.as_dataset`. Raises UserError, naming the file or row,
    for an image of another size, for fewer than two, and for what `data.preparation` refuses.
    """
    kind = kinds.load("sources", dataset["source"])
    (source,) = kind.splits(kinds.complete(dataset[dataset["source"]], kinds.options(kind)), folder="").values()
    if len(source) < 2:
        raise UserError(f"there is {len(source)} image, but scores need at least two. Add images.")
    # The largest square of an image of the right size is the whole image, which is then not resized.
    images, _ = prepare_split(of_size(source, size), crop=None, size=size, limit=limit)
    return images


def of_size(source: Split, size: int) -> Split:
    """The source, with a UserError in place of each image of another size."""

    def images() -> Iterator[Image.Image]:
        for image in source:
            if image.size != (size, size):
                raise UserError(
                    f"it has {image.width} x {image.height} pixels, but the dataset's images have {size} x {size}. "
                    f"Save all images with {size} x {size} pixels: how they are resized changes their scores, so it is "
                    "not done here."
                )
            yield image

    return dataclasses.replace(source, images=images)


def image_set(images: np.ndarray, count: int, seed: int) -> np.ndarray:
    """As many of the images as a cell's image sets have, ``count``: drawn by ``seed`` if there are more, else all of
    them in their order. Logs which.
    """
    if len(images) > count:
        logger.info("%d of %d images are scored, drawn with scoring.seed %d", count, len(images), seed)
    elif len(images) < count:
        logger.warning(
            "only %d images, but a cell's sets have %d: a Fréchet distance of fewer images is higher",
            len(images),
            count,
        )
    return images[evaluation_subset(len(images), count, seed)]


def copies(images: np.ndarray, originals: np.ndarray) -> int:
    """How many of the images (N, 3, S, S) are exact copies of any of the originals (M, 3, S, S)."""
    known = set(map(pixel_hash, originals))
    return sum(pixel_hash(image) in known for image in images)


def pixel_hash(image: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image)).digest()


def count_copies(images: np.ndarray, train: np.ndarray, test: np.ndarray) -> dict[str, int]:
    """How many of the images are exact copies of training and of test images: {split: number}, logged if not 0.

    Raises UserError if more than ``MOST_TEST_COPIES`` of them are test images.
    """
    found = {"train": copies(images, train), "test": copies(images, test)}
    if found["test"] > MOST_TEST_COPIES * len(images):
        raise UserError(
            f"{found['test']} of the {len(images)} images are exact copies of test images: a score of these against "
            "themselves means nothing. Write the folder or files of generated images."
        )
    for split, name in (("test", "test"), ("train", "training")):
        if found[split]:
            logger.warning("%d of %d images are exact copies of %s images", found[split], len(images), name)
    return found


def describe_external(images: np.ndarray, found: int, copied: Mapping[str, int]) -> dict:
    """The contents of external.json: how many images were found and are scored, copies among them, and a checksum."""
    return {
        "images": len(images),
        "found": found,
        "copies": dict(copied),
        # Of the array's bytes in C order, as in dataset.json.
        "sha256": hashlib.sha256(images.reshape(-1)).hexdigest(),
    }
