"""The copy rate: the share of images that are suspiciously close to a training image.

An image counts if its features are nearer to those of some training image than 1 % of test images are to theirs. So
images of the test images' distribution score 1 %. Blurred images, and those near the mean, score more without being
copies: compare samples with reconstructions of test images, which have nothing to copy, and of training images.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoencoders.scores.neighbours import nearest, nearest_once

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

QUANTILE = 0.01
MINUTES = 15


def prepare_training(training: Tensor, test: Tensor, options: Mapping) -> dict[str, Tensor]:
    """The squared distance that counts as close, and the share of test images below it: 1 %, up to rounding.

    Both are NaN, with a warning, if more than 1 % of the test images are copies themselves: nothing can be closer.
    """
    distances = nearest(test, training, 1)[0][:, 0]
    limit = distances.quantile(QUANTILE)
    if limit == 0:
        logger.warning(
            "more than %.0f%% of the test images are copies of training images: no copy rate", 100 * QUANTILE
        )
        limit.fill_(math.nan)
    return {"limit": limit, "baseline": share_below(distances, limit)}


def measure(
    features: Tensor, reference: Tensor, options: Mapping, *, prepared: Mapping[str, Tensor], shared: dict, **_
) -> float:
    """The share of features (N, D) that are close to one of the training images' features (M, D)."""
    return share_below(nearest_once(features, reference, shared)[0], prepared["limit"]).item()


def share_below(distances: Tensor, limit: Tensor) -> Tensor:
    return (distances < limit).double().mean().where(limit.isfinite(), limit)
