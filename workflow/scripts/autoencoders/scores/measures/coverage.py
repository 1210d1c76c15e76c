"""Coverage: the share of reference images that have one of the images in their neighbourhood.

Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models" (2020). The neighbourhoods are those of
precision. Equal distributions give 1 - Π_{l=1..k} (M - l) / (M + N - l) in expectation, for N images and M reference
images: 0.969 for equal numbers and k = 5.
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
    """The share of the reference's balls with at least one feature.

    NaN if there are no more than k images on either side.
    """
    found = overlap(features, reference, prepared["radii"], options["k"], shared)
    return math.nan if found is None else found.reached.double().mean().item()
