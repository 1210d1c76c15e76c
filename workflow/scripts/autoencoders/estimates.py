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
# Iterations that are allowed for: an assumption; a second attempt has twice the minutes.
ITERATIONS = 500
# Training images of the official archives, of which copies from elsewhere have as many.
OFFICIAL = {"CIFAR10": 50_000, "CIFAR100": 50_000, "CelebA": 162_770, "digits": 1_797}
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


def training_images(dataset: Mapping, info: Path) -> int:
    """How many images a dataset of the config trains on; before it is prepared, perhaps more than that.

    ``info`` is as in ``prepared_images``.
    """
    counted = prepared_images(info)
    if counted is not None:
        return counted
    named = [OFFICIAL.get(dataset[source]["name"]) for source in ("torchvision", "sklearn") if source in dataset]
    found = next((count for count in named if count is not None), UNKNOWN)
    limit = dataset["limit"]["train"]
    return found if limit is None else min(found, limit)


def training_minutes(flops: int, images: int, epochs: int) -> int:
    """Minutes of training a cell whose network takes ``flops`` (`workload.training_flops`) for an image."""
    return START + math.ceil(epochs * images * (flops / TRAINING_RATE + 1 / IMAGE_RATE) / 60)


def prior_minutes(prior: Mapping, images: int, latent: int) -> int:
    """Minutes of fitting a prior of the config to the codes of so many images."""
    if prior["kind"] != "gmm":
        return START
    # Each iteration multiplies codes by a matrix for every component, once for its density and once for its covariance.
    flops = 4 * images * prior["components"] * latent**2 * min(prior["max_iter"], ITERATIONS)
    return START + math.ceil(flops / FLOAT64_RATE / 60)


def image_megabytes(images: int, size: int) -> float:
    """Of so many uint8 images of ``size`` x ``size`` pixels."""
    return images * 3 * size**2 / 1e6


def code_megabytes(images: int, latent: int) -> float:
    """Of the codes of so many images in float64."""
    return images * latent * 8 / 1e6
