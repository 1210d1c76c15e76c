"""The Fréchet distance between two sets of features, each modelled as a Gaussian.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium" (2017), equation 6:

    d² = |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½)

It is the FID only if the features are those of the FID's Inception network.

The trace of the root is the sum of the roots of the eigenvalues of Σ₁Σ₂. With a root h of the reference's covariance,
Σ₁ = h hᵀ, the product h (hᵀΣ₂) has the same eigenvalues as (hᵀΣ₂) h, up to zeros. That second matrix is symmetric and
positive semidefinite, so its eigenvalues are real and come from a symmetric solver. The general root, scipy's
``sqrtm(Σ₁Σ₂)``, has the same trace, takes much longer, and is complex if rounding makes a zero eigenvalue negative.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from autoencoders.jobs.errors import UserError
from autoencoders.scores.float64 import float64_device, in_float64

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)


class Statistics(NamedTuple):
    """Mean (D,) and covariance (D, D) of feature vectors: float64 tensors on one device."""

    mean: Tensor
    covariance: Tensor


def prepare(reference: Tensor, options: Mapping) -> dict[str, Tensor]:
    """Mean (D,), covariance and its root (D, D) of the reference's features, float64."""
    found = statistics(reference)
    return {**found._asdict(), "root": covariance_root(found.covariance)}


def measure(features: Tensor, reference: Tensor, options: Mapping, *, prepared: Mapping[str, Tensor], **_) -> float:
    """The distance between features (N, D) and the reference's."""
    mean, covariance, root = (
        prepared[name].to(float64_device(features.device)) for name in ("mean", "covariance", "root")
    )
    return frechet_distance(Statistics(mean, covariance), root, statistics(features))


def statistics(features: Tensor) -> Statistics:
    """Mean and unbiased covariance (divided by N - 1, like ``np.cov``) of features (N, D), computed in float64.

    They are on the features' device (see `float64_device`). Raises UserError for fewer than two feature vectors.
    """
    count = len(features)
    if count < 2:
        raise UserError(
            f"a Fréchet distance needs at least two images on each side, not {count}: "
            "raise scoring.images, or the dataset's limit"
        )
    features = in_float64(features)
    mean = features.mean(dim=0)
    centred = features - mean
    return Statistics(mean, centred.T @ centred / (count - 1))


def solve(solver: Callable, matrix: Tensor):
    """What a solver for symmetric matrices finds for ``matrix`` (D, D). If a GPU's does not converge, as can happen
    where many eigenvalues are 0, the CPU's solves it once more; then the result is on the CPU.
    """
    import torch

    try:
        return solver(matrix)
    except torch.linalg.LinAlgError as error:
        logger.warning("no eigenvalues on %s (%s): computing them on the CPU", matrix.device, error)
    return solver(matrix.cpu())


def covariance_root(covariance: Tensor) -> Tensor:
    """A root h (D, D) of a covariance matrix (D, D), both float64 on one device: h hᵀ = covariance.

    Eigenvalues below zero are rounding errors and count as zero.
    """
    import torch

    eigenvalues, eigenvectors = solve(torch.linalg.eigh, covariance)
    return (eigenvectors * eigenvalues.clamp(min=0).sqrt()).to(covariance.device)


def root_trace(root: Tensor, covariance: Tensor) -> Tensor:
    """tr((Σ₁Σ₂)^½) of two covariances (D, D), the first one given by its ``root``, both float64 on one device."""
    import torch

    product = root.T @ covariance @ root
    # Symmetric up to rounding; eigvalsh reads only one triangle, so both are averaged.
    eigenvalues = solve(torch.linalg.eigvalsh, (product + product.T) / 2)
    return eigenvalues.clamp(min=0).sqrt().sum().to(covariance.device)


def frechet_distance(reference: Statistics, root: Tensor, other: Statistics) -> float:
    """Squared Fréchet distance d² of Heusel et al. (2017), equation 6, as the FID reports it.

    ``root`` (D, D) is ``covariance_root(reference.covariance)``, an argument because one reference serves many cells.
    All tensors are on one device.
    """
    difference = reference.mean - other.mean
    squared = (
        difference @ difference
        + reference.covariance.trace()
        + other.covariance.trace()
        - 2 * root_trace(root, other.covariance)
    )
    return squared.item()
