"""Precision: the share of images that look like some reference image.

Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models" (2019): the share of
features within the neighbourhood of any reference image, a ball whose radius is the distance from its k-th nearest
other one. As in prdc, and unlike in that paper, its surface is outside, and k is 5 by default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoencoders.scores.neighbours import NEIGHBOURS, overlap, squared_radii

if TYPE_CHECKING:
    from torch import Tensor

OPTIONS = NEIGHBOURS


def prepare(reference: Tensor, options: Mapping) -> dict[str, Tensor]:
    """The squared radii of the reference images' neighbourhoods."""
    return {"radii": squared_radii(reference, options["k"])}


def measure(
    features: Tensor, reference: Tensor, options: Mapping, *, prepared: Mapping[str, Tensor], shared: dict, **_
) -> float:
    """The share of features in at least one of the reference's balls.

    NaN if there are no more than k images on either side.
    """
    found = overlap(features, reference, prepared["radii"], options["k"], shared)
    return math.nan if found is None else (found.balls > 0).double().mean().item()
