"""Recall: the share of reference images that look like some of the images.

Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models" (2019): precision (see
there) with exchanged roles, the share of reference images within the neighbourhood of any of the images.
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
    """The share of reference images in the ball of at least one feature.

    NaN if there are no more than k images on either side.
    """
    found = overlap(features, reference, prepared["radii"], options["k"], shared)
    return math.nan if found is None else found.recalled.double().mean().item()
