"""Density: how many reference images the images look like, as a share of those expected.

Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models" (2020): the number of neighbourhoods of
reference images that a feature lies within, divided by k and averaged over features. The neighbourhoods are those of
precision. Equal distributions give 1 in expectation, whatever the number of images and features; it may exceed 1.
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
    """The mean number of the reference's balls that a feature is in, divided by k.

    NaN if there are no more than k images on either side.
    """
    found = overlap(features, reference, prepared["radii"], options["k"], shared)
    return math.nan if found is None else found.balls.double().mean().item() / options["k"]
