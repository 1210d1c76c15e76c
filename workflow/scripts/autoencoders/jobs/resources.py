"""Estimates of the minutes and megabytes that jobs request from a scheduler.

The estimates are generous for a typical cluster GPU, or take half the rates that `make gpu-check` measured. Too few
minutes cost another wait in the queue: the job is retried with more, and training resumes from its checkpoint. Too many
keep a job waiting for a longer gap. Snakemake's own process imports this module, so it may import only the standard
library.
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

# Floating point operations per second in training: at most a third of what an A100 reaches in bf16 on wide networks.
TRAINING_RATE = 10e12
# The same in float64, in which mixtures are fitted. An A100 has 10e12, a T4 0.25e12.
FLOAT64_RATE = 0.5e12
# The most images a second in training, however small the network is.
IMAGE_RATE = 5_000
# What `make gpu-check` measured, below the folder in which Snakemake was started.
MEASURED = Path("results", "gpu-check", "rates.json")
# Requests assume this share of a measured rate: GPUs are shared, and other cells are not those that were measured.
SHARE = 0.5
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


def known_images(dataset: Mapping, known: int | None, info: Path) -> int | None:
    """The number of training images of a dataset of the config; None if nobody knows it before it is prepared.

    ``known`` is the number that its source gives, if any; ``info`` is as in ``prepared_images``.
    """
    counted, limit = prepared_images(info), dataset["limit"]["train"]
    if counted is not None or known is None:
        return counted
    return known if limit is None else min(known, limit)


def training_images(dataset: Mapping, known: int | None, info: Path) -> int:
    """As ``known_images``, but an upper estimate if nobody knows it."""
    found, limit = known_images(dataset, known, info), dataset["limit"]["train"]
    if found is not None:
        return found
    return UNKNOWN if limit is None else min(UNKNOWN, limit)


@functools.cache
def measured(file: Path = MEASURED) -> dict:
    """What `make gpu-check` wrote: the GPU's name ("gpu"), "date", "precision", "training" as pairs of an image's
    floating point operations and images a second, and "float64", the rate of fitting mixtures, None if it is unknown.

    Empty if the file is missing or can't be used: requests then assume rates.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        pairs = [(float(row["flops"]), float(row["images_per_second"])) for row in found["training"]]
        float64 = found.get("float64")
        numbers = [number for pair in pairs for number in pair] + ([] if float64 is None else [float(float64)])
        if not pairs or not all(0 < number < math.inf for number in numbers):
            return {}
        names = {key: str(found[key]) for key in ("gpu", "date", "precision")}
        return names | {"training": pairs, "float64": float64 and float(float64)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return {}


def image_seconds(flops: float, rates: Sequence[tuple[float, float]]) -> float:
    """Seconds to train on an image that takes ``flops``: between those of the measured cases next to it, on logarithmic
    scales; as many as the smallest case for less, and in proportion to the largest for more. Without ``rates``, at the
    assumed speed.
    """
    if not rates:
        return flops / TRAINING_RATE + 1 / IMAGE_RATE
    cases = sorted((case, 1 / speed) for case, speed in rates)
    below = max((each for each in cases if each[0] <= flops), default=cases[0])
    above = min((each for each in cases if each[0] >= flops), default=None)
    if above is None:
        return flops / below[0] * below[1] / SHARE
    way = math.log(flops / below[0]) / math.log(above[0] / below[0]) if above[0] > below[0] else 0.0
    return below[1] * (above[1] / below[1]) ** max(way, 0.0) / SHARE


def training_minutes(flops: float, images: int, epochs: int, rates: Sequence[tuple[float, float]] = ()) -> int:
    """Minutes to train a cell that takes ``flops`` floating point operations for an image, at the measured ``rates``
    of its precision, if there are any.
    """
    return START + math.ceil(epochs * images * image_seconds(flops, rates) / 60)


def prior_minutes(operations: float, rate: float | None = None) -> int:
    """Minutes to fit a prior in this many float64 operations, at the measured ``rate`` if there is one."""
    return START + math.ceil(operations / (FLOAT64_RATE if rate is None else SHARE * rate) / 60)


def notice_of_features(extractor: str, dataset: str, images: int, seconds: float) -> str:
    """What to tell before the features of all training images are computed without a GPU; "" below ten minutes.

    ``seconds`` are those of one CPU core for all of them.
    """
    minutes = round(seconds / 60)
    if minutes < 10:
        return ""
    time = f"{minutes} minutes" if minutes < 120 else f"{minutes / 60:.0f} hours"
    return (
        f"{extractor} features of all {images:,} training images of {dataset} will take about {time} of one CPU core, "
        "once. Measures of copies need them; run_measures can leave these out"
    )


def image_megabytes(images: int, size: int) -> float:
    """The size in MB of uint8 RGB images of ``size`` x ``size`` pixels."""
    return images * 3 * size**2 / 1e6


def code_megabytes(images: int, latent: int) -> float:
    """The size in MB of float64 codes of ``latent`` units."""
    return images * latent * 8 / 1e6
