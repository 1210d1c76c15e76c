"""Authenticity: the share of images that are no copies of training images.

Alaa et al., "How Faithful is your Synthetic Data? Sample-level Metrics for Evaluating and Auditing Generative Models"
(2022): an image is authentic if it is further from the nearest training image than that one is from its own nearest
other training image, by their features. Without any copying it is not 1, but depends on the number of images and
features: compare with that of the test images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoencoders.scores.neighbours import nearest, nearest_once

if TYPE_CHECKING:
    from torch import Tensor

MINUTES = 15


def prepare_training(training: Tensor, test: Tensor, options: Mapping) -> dict[str, Tensor]:
    """The training images' squared distances from their nearest others, and the authenticity of the test images."""
    own = nearest(training, training, 1, same=True)[0][:, 0]
    distances, index = nearest(test, training, 1)
    return {"own": own, "baseline": share_authentic(distances[:, 0], index[:, 0], own)}


def measure(
    features: Tensor, reference: Tensor, options: Mapping, *, prepared: Mapping[str, Tensor], shared: dict, **_
) -> float:
    """The share of features (N, D) that are authentic, given the training images' features (M, D)."""
    return share_authentic(*nearest_once(features, reference, shared), prepared["own"]).item()


def share_authentic(distances: Tensor, index: Tensor, own: Tensor) -> Tensor:
    return (distances > own[index]).double().mean()
