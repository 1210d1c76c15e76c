"""The inception score: whether a classifier is sure of each image's class, and finds all classes.

Salimans et al., "Improved Techniques for Training GANs" (2016): exp of the mean Kullback-Leibler divergence of an
image's class probabilities from their mean over all images; of this, the mean over ten parts of the images. It is 1 if
all images have the same probabilities, and the number of classes if each is certain and all are equally frequent. It
does not depend on the reference.

It is named after that paper's network; with another classifier it is the same formula. Inception's logits are without
biases, as there.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoencoders.scores.float64 import in_float64

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

OF_CLASSES = True
PARTS = 10


def prepare(reference: Tensor, options: Mapping) -> dict[str, float]:
    """The reference's own score, to be shown beside the others."""
    return {"baseline": inception_score(reference)[0]}


def measure(features: Tensor, reference: Tensor, options: Mapping, *, shared: dict, **_) -> tuple[float, float]:
    """The score of logits (N, classes) and its error."""
    if "inception_score" not in shared:
        shared["inception_score"] = inception_score(features)
    return shared["inception_score"]


def inception_score(logits: Tensor) -> tuple[float, float]:
    """The mean over PARTS disjoint parts of at least two images, and s / √parts with their standard deviation s.

    Every tenth image belongs to the same part: images of folders are sorted by class. One image has the score 1; the
    error is NaN for fewer than four images.
    """
    import torch

    logs = torch.log_softmax(in_float64(logits), dim=1)
    parts = max(1, min(PARTS, len(logs) // 2))
    if len(logs) < logs.shape[1]:
        logger.warning("an inception score of %d images with %d classes is far too low", *logs.shape)
    scores = torch.stack([part_score(logs[start::parts]) for start in range(parts)])
    return scores.mean().item(), scores.std().item() / math.sqrt(parts) if parts > 1 else math.nan


def part_score(logs: Tensor) -> Tensor:
    """exp of the mean divergence of probabilities, given by their logarithms (N, classes), from their mean."""
    probabilities = logs.exp()
    # The probabilities of all images may round to 0: 0 · log 0 is 0.
    mean = probabilities.mean(dim=0).clamp(min=1e-300).log()
    return (probabilities * (logs - mean)).sum(dim=1).mean().exp()
