"""Codes to decode: draws from a fitted prior, and points between the codes of images."""

from collections.abc import Mapping

import numpy as np

from autoencoders.seeds import generator


def sample_prior(prior: Mapping[str, np.ndarray], count: int, seed: int, name: str) -> np.ndarray:
    """Draw ``count`` codes, float64 (count, z), in random order; none from an empty mixture.

    ``prior`` is a mixture of Gaussians as `autoencoders.priors` makes it. Its ``name`` makes each prior's draw of one
    cell independent of the others'.
    """
    latent = prior["means"].shape[1]
    if not len(prior["weights"]):
        return np.empty((0, latent))
    random = generator(seed, f"sample/{name}")
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


def midpoints(codes: np.ndarray, seed: int) -> np.ndarray:
    """The points halfway between pairs of ``codes`` (N, z), as many as there are codes.

    Every code is in two pairs. What they decode to shows whether the space between codes makes images too: the
    smoothness of hypothesis 1 (section 2.2).
    """
    order = generator(seed, "midpoints").permutation(len(codes))
    return (codes[order] + codes[np.roll(order, 1)]) / 2
