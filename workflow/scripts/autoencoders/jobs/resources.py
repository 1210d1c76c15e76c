"""What jobs ask a scheduler for: minutes and megabytes, estimated from the sizes of what they compute.

The estimates are on the high side for a GPU such as clusters have. Too few minutes cost one more wait in the queue: the
job is tried again with more, and training goes on from its checkpoint. Too many keep a job waiting for a longer gap.
Snakemake's own process imports this module, so it needs nothing but the standard library.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

# Floating point operations a second of training: a third or less of what an A100 reaches in bf16 on wide networks.
TRAINING_RATE = 10e12
# The same in float64, in which mixtures are fitted: an A100 has 10e12, a T4 0.25e12.
FLOAT64_RATE = 0.5e12
# Images a second that training does not exceed however small the network is.
IMAGE_RATE = 5_000
# Minutes for the starts of Snakemake, PyTorch and CUDA from a slow shared disk.
START = 10
# Assumed of images that have not been counted yet.
UNKNOWN = 200_000
# More come from a file that is wrong.
MOST = 10**12


def prepared_images(info: Path) -> int | None:
    """The training images of a dataset by the dataset.json that its preparation writes; None where it has not yet."""
    try:
        images = int(json.loads(info.read_text())["images"]["train"])
        return images if images < MOST else None
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
        return None  # Whoever computes with a broken file tells of it.


def training_images(dataset: Mapping, known: int | None, info: Path) -> int:
    """How many images a dataset of the config trains on; before it is prepared, perhaps more than that.

    ``known`` is what its source says, if anything, and ``info`` as in ``prepared_images``.
    """
    counted = prepared_images(info)
    if counted is not None:
        return counted
    found = UNKNOWN if known is None else known
    limit = dataset["limit"]["train"]
    return found if limit is None else min(found, limit)


def training_minutes(flops: float, images: int, epochs: int) -> int:
    """Minutes of training a cell that takes ``flops`` floating point operations for an image."""
    return START + math.ceil(epochs * images * (flops / TRAINING_RATE + 1 / IMAGE_RATE) / 60)


def prior_minutes(operations: float) -> int:
    """Minutes of fitting a prior that takes so many floating point operations in float64."""
    return START + math.ceil(operations / FLOAT64_RATE / 60)


def image_megabytes(images: int, size: int) -> float:
    """Of so many uint8 images of ``size`` x ``size`` pixels."""
    return images * 3 * size**2 / 1e6


def code_megabytes(images: int, latent: int) -> float:
    """Of the codes of so many images in float64."""
    return images * latent * 8 / 1e6
