"""Mixtures of Gaussians over codes: weights (K,), means (K, z) and covariances (K, z, z) in float64.

N(0, I) and the full-covariance Gaussian are mixtures of one component, so the three priors share a file format and a
sampler.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def sample(prior: Mapping[str, np.ndarray], count: int, random: np.random.Generator) -> np.ndarray:
    """Draw ``count`` codes, float64 (count, z), in random order."""
    # Imported here: Snakemake's own process reads the priors, and with them this file.
    import numpy as np

    counts = random.multinomial(count, prior["weights"] / prior["weights"].sum())
    # Unlike a Cholesky factor, the eigendecomposition handles singular covariances.
    codes = np.concatenate(
        [
            random.multivariate_normal(mean, covariance, size, check_valid="ignore", method="eigh")
            for mean, covariance, size in zip(prior["means"], prior["covariances"], counts, strict=True)
        ]
    )
    # Sorted by component so far; the first 1,000 must be a fair draw too.
    return random.permutation(codes)
