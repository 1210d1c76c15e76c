"""Mixtures of Gaussians over codes: weights (K,), means (K, z) and covariances (K, z, z) in float64.

N(0, I) and the full-covariance Gaussian are mixtures of one, so that the three priors share a file format and a
sampler.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def sample(prior: Mapping[str, np.ndarray], count: int, random: np.random.Generator) -> np.ndarray:
    """Draw ``count`` codes, float64 (count, z), in random order."""
    # Imported here: the priors that are mixtures take this function for theirs, and Snakemake reads them.
    import numpy as np

    counts = random.multinomial(count, prior["weights"] / prior["weights"].sum())
    # The eigendecomposition takes singular covariances too, which a Cholesky factor does not.
    codes = np.concatenate(
        [
            random.multivariate_normal(mean, covariance, size, check_valid="ignore", method="eigh")
            for mean, covariance, size in zip(prior["means"], prior["covariances"], counts, strict=True)
        ]
    )
    # Sorted by component until here; whoever takes the first 1,000 must get a fair draw.
    return random.permutation(codes)
