"""How Gaussian codes are, and how far their means and deviations are from those of N(0, I): hypothesis 2 of the paper
(section 2.2), which the paper supports by scatter plots only.

Mardia, "Measures of multivariate skewness and kurtosis with applications" (1970), and "Applications of some measures of
multivariate skewness and kurtosis in testing normality and robustness studies" (1974) for the expectations, which are
exact for Gaussian samples of any size.
"""

from collections.abc import Mapping

import numpy as np
from scipy import linalg, special

from autoencoders.config.seeds import generator

# Mardia's statistics depend on the sample size, so every cell has the same.
SUBSAMPLE = 5_000
# Below this share of the largest variance, a direction carries only rounding errors.
RANK_TOLERANCE = 1e-10
COLUMNS = (
    *("codes", "rank", "mean_abs_mean", "mean_deviation", "deviation_spread"),
    *("mardia_skewness_ratio", "mardia_kurtosis_ratio", "mean_abs_skewness", "mean_excess_kurtosis"),
    *("mvg_log_likelihood", "gmm_log_likelihood", "log_likelihood_gap"),
)


def span(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal directions (z, r) in which codes (N, z) vary, and their variances (r,), divided by N.

    r < z after layer normalisation (by one), with unused units, and for N ≤ z.
    """
    variances, directions = linalg.eigh(np.cov(codes, rowvar=False, ddof=0).reshape(codes.shape[1], codes.shape[1]))
    kept = variances > RANK_TOLERANCE * variances[-1]
    return directions[:, kept], variances[kept]


def whiten(codes: np.ndarray) -> np.ndarray:
    """Codes (N, z) as (N, r) with mean 0 and covariance (divided by N) I, in the r directions that they span."""
    directions, variances = span(codes)
    return (codes - codes.mean(axis=0)) @ (directions / np.sqrt(variances))


def mardia_ratios(whitened: np.ndarray) -> tuple[float, float]:
    """Mardia's skewness and kurtosis of whitened codes (N, r), each divided by its expectation for Gaussian codes.

    NaN for N ≤ r + 1, where the statistics do not depend on the codes.
    """
    count, rank = whitened.shape
    if rank == 0 or count <= rank + 1:
        return np.nan, np.nan
    skewness = sum(((block @ whitened.T) ** 3).sum() for block in np.array_split(whitened, -(-count // 1000)))
    skewness /= count**2
    distances = (whitened**2).sum(axis=1)
    kurtosis = distances @ distances / count
    expected_skewness = rank * (rank + 2) * ((count + 1) * (rank + 1) - 6) / ((count + 1) * (count + 3))
    expected_kurtosis = rank * (rank + 2) * (count - 1) / (count + 1)
    return float(skewness / expected_skewness), float(kurtosis / expected_kurtosis)


def location_and_scale(codes: np.ndarray) -> tuple[float, float, float]:
    """Where codes (N, z) lie and how wide they are: the mean over units of |mean|; the mean over units of the standard
    deviation (divided by N); and the standard deviation of these deviations over units, divided by their mean.

    For N(0, I) they are 0, 1 and 0. The paper says that codes of DAEs are wider, and vary from unit to unit (Figures
    A.1 and A.2). All units count, unused ones too. The last value is NaN if all of them are constant.
    """
    deviations = codes.std(axis=0)
    width = float(deviations.mean())
    spread = float(deviations.std()) / width if width else np.nan
    return float(np.abs(codes.mean(axis=0)).mean()), width, spread


def standardised_moment(codes: np.ndarray, order: int) -> np.ndarray:
    """The standardised moment of each unit of codes (N, z): skewness for order 3, kurtosis for order 4.

    Not by scipy.stats, whose import takes longer than the rest of the job.
    """
    return (((codes - codes.mean(axis=0)) / codes.std(axis=0)) ** order).mean(axis=0)


def mean_log_likelihood(codes: np.ndarray, mixture: Mapping[str, np.ndarray] | None, directions: np.ndarray) -> float:
    """Mean log-density in nats of codes (N, z) under a mixture of `latent.mixture_sampling`, both projected on
    orthonormal ``directions`` (z, r).

    NaN without a mixture, and for a mixture that is singular even there and so has no density.
    """
    if mixture is None:
        return np.nan
    codes, means = codes @ directions, mixture["means"] @ directions
    covariances = directions.T @ mixture["covariances"] @ directions
    logs = np.empty((len(means), len(codes)))
    for row, weight, mean, covariance in zip(logs, mixture["weights"], means, covariances, strict=True):
        try:
            factor = linalg.cholesky(covariance, lower=True)
        except linalg.LinAlgError:
            return np.nan
        standardised = linalg.solve_triangular(factor, (codes - mean).T, lower=True)
        constant = np.log(np.diag(factor)).sum() + len(mean) / 2 * np.log(2 * np.pi)
        row[:] = np.log(weight) - 0.5 * (standardised**2).sum(axis=0) - constant
    return float(special.logsumexp(logs, axis=0).mean())


def latent_statistics(
    codes: np.ndarray,
    held_out: np.ndarray,
    mvg: Mapping[str, np.ndarray] | None,
    gmm: Mapping[str, np.ndarray] | None,
    seed: int,
) -> dict[str, float]:
    """The values of ``COLUMNS`` for codes (N, z) of training images and ``held_out`` codes (M, z) of test images.

    ``mvg`` and ``gmm`` are the priors fitted to ``codes``, or None. Their likelihoods are computed in the directions in
    which the codes vary; in others a Gaussian has no density. NaN if there are fewer codes than units, and for all
    statistics if there are no codes (a diverged cell). All but the likelihoods are of ``codes``.
    """
    if not len(codes):
        return {name: 0 if name in ("codes", "rank") else np.nan for name in COLUMNS}
    codes, held_out = codes.astype(np.float64), held_out.astype(np.float64)
    drawn = generator(seed, "gaussianity").choice(len(codes), min(SUBSAMPLE, len(codes)), replace=False)
    skewness_ratio, kurtosis_ratio = mardia_ratios(whiten(codes[np.sort(drawn)]))
    # A constant unit has no shape.
    varying = codes[:, codes.std(axis=0) > 0]
    directions, _ = span(codes)
    mvg_likelihood = gmm_likelihood = np.nan
    if len(codes) > codes.shape[1] and directions.size:
        mvg_likelihood = mean_log_likelihood(held_out, mvg, directions)
        gmm_likelihood = mean_log_likelihood(held_out, gmm, directions)
    values = (
        len(codes),
        directions.shape[1],
        *location_and_scale(codes),
        skewness_ratio,
        kurtosis_ratio,
        float(np.abs(standardised_moment(varying, 3)).mean()) if varying.size else np.nan,
        float(standardised_moment(varying, 4).mean() - 3) if varying.size else np.nan,
        mvg_likelihood,
        gmm_likelihood,
        gmm_likelihood - mvg_likelihood,
    )
    return dict(zip(COLUMNS, values, strict=True))
