"""Estimates of the minutes and megabytes that jobs request from a scheduler.

The estimates are generous for a typical cluster GPU. Too few minutes cost another wait in the queue: the job is retried
with more, and training resumes from its checkpoint. Too many keep a job waiting for a longer gap. Snakemake's own
process imports this module, so it may import only the standard library.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

# Floating point operations per second in training: at most a third of what an A100 reaches in bf16 on wide networks.
TRAINING_RATE = 10e12
# The same in float64, in which mixtures are fitted. An A100 has 10e12, a T4 0.25e12.
FLOAT64_RATE = 0.5e12
# The most images a second in training, however small the network is.
IMAGE_RATE = 5_000
# Minutes to start Snakemake, PyTorch and CUDA from a slow shared disk.
START = 10
# The number of training images assumed before they are counted.
UNKNOWN = 200_000
# A larger count means that the file is wrong.
MOST = 10**12


def prepared_images(info: Path) -> int | None:
    """The number of training images in the dataset.json that preparation writes; None before that."""
    try:
        images = int(json.loads(info.read_text(encoding="utf-8"))["images"]["train"])
        return images if images < MOST else None
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
        return None  # The job that reads the broken file reports it.


def training_images(dataset: Mapping, known: int | None, info: Path) -> int:
    """The number of training images of a dataset of the config; an upper estimate before it is prepared.

    ``known`` is the number that its source gives, if any; ``info`` is as in ``prepared_images``.
    """
    counted = prepared_images(info)
    if counted is not None:
        return counted
    found = UNKNOWN if known is None else known
    limit = dataset["limit"]["train"]
    return found if limit is None else min(found, limit)


def training_minutes(flops: float, images: int, epochs: int) -> int:
    """Minutes to train a cell that takes ``flops`` floating point operations for an image."""
    return START + math.ceil(epochs * images * (flops / TRAINING_RATE + 1 / IMAGE_RATE) / 60)


def prior_minutes(operations: float) -> int:
    """Minutes to fit a prior in this many float64 operations."""
    return START + math.ceil(operations / FLOAT64_RATE / 60)


def image_megabytes(images: int, size: int) -> float:
    """The size in MB of uint8 RGB images of ``size`` x ``size`` pixels."""
    return images * 3 * size**2 / 1e6


def code_megabytes(images: int, latent: int) -> float:
    """The size in MB of float64 codes of ``latent`` units."""
    return images * latent * 8 / 1e6
