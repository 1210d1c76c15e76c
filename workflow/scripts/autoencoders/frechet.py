"""The Fréchet distance between two sets of features, each taken as a Gaussian.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium" (2017), equation 6:

    d² = |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½)

It is called FID only where the features are the FID Inception network's.

The trace of the root is the sum of the roots of the eigenvalues of Σ₁Σ₂. With a root h of the reference's covariance,
Σ₁ = h hᵀ, the product h (hᵀΣ₂) has the same eigenvalues as (hᵀΣ₂) h, up to zeros. That second matrix is symmetric and
positive semidefinite, so its eigenvalues are real and come from a symmetric solver. The general root, scipy's
``sqrtm(Σ₁Σ₂)``, has the same trace, takes far longer, and is complex where rounding makes a zero eigenvalue negative.
"""

from typing import NamedTuple

import numpy as np
from scipy import linalg

from autoencoders.errors import UserError


class Statistics(NamedTuple):
    """Mean (D,) and covariance (D, D) of ``count`` feature vectors, float64."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int


def statistics(features: np.ndarray) -> Statistics:
    """Mean and unbiased covariance (divided by N - 1, like ``np.cov``) of features (N, D), computed in float64.

    Raises UserError for fewer than two feature vectors, which have no covariance.
    """
    count = len(features)
    if count < 2:
        raise UserError(
            f"a Fréchet distance needs at least two images on each side, here is {count}: "
            "raise scoring.images, or the dataset's limit"
        )
    features = np.asarray(features, dtype=np.float64)
    mean = features.mean(axis=0)
    centred = features - mean
    return Statistics(mean, centred.T @ centred / (count - 1), count)


def covariance_root(covariance: np.ndarray) -> np.ndarray:
    """A root h (D, D) of a covariance matrix (D, D): h hᵀ = covariance.

    Eigenvalues below zero are rounding (a covariance has none) and count as zero.
    """
    eigenvalues, eigenvectors = linalg.eigh(covariance)
    return eigenvectors * np.sqrt(np.maximum(eigenvalues, 0.0))


def frechet_distance(reference: Statistics, root: np.ndarray, other: Statistics) -> float:
    """Squared Fréchet distance d² of Heusel et al. (2017), equation 6, as the FID reports it.

    ``root`` (D, D) is ``covariance_root(reference.covariance)``, handed in because one reference serves many cells.
    """
    product = root.T @ other.covariance @ root
    # Symmetric but for rounding; eigvalsh reads one triangle only, so both get the same say.
    eigenvalues = linalg.eigvalsh((product + product.T) / 2)
    difference = reference.mean - other.mean
    return float(
        difference @ difference
        + np.trace(reference.covariance)
        + np.trace(other.covariance)
        - 2 * np.sqrt(np.maximum(eigenvalues, 0.0)).sum()
    )
