"""Fitting priors over codes (section 3), after training.

Every prior here is a mixture of Gaussians, with weights (K,), means (K, z) and covariances (K, z, z) in float64:
N(0, I) and the full-covariance Gaussian are mixtures of one. So they share a file format and the sampler of
`autoencoders.sampling`.
"""

import logging
import time

import numpy as np

from autoencoders.errors import UserError

logger = logging.getLogger(__name__)

Mixture = dict[str, np.ndarray]


def standard_normal(latent: int) -> Mixture:
    """N(0, I), the prior that a VAE assumes; nothing is fitted."""
    return {"weights": np.ones(1), "means": np.zeros((1, latent)), "covariances": np.eye(latent)[None]}


def fit_mvg(codes: np.ndarray) -> Mixture:
    """The multivariate Gaussian of codes (N, z): their mean and full covariance (ddof = 1), in float64."""
    if len(codes) < 2:
        raise UserError(f"a covariance needs at least 2 codes, and there is {len(codes)}: use more training images.")
    if len(codes) <= codes.shape[1]:
        logger.warning(
            "%d codes for %d latent units: the covariance is singular, so that samples lie in the codes' span",
            *codes.shape,
        )
    codes = codes.astype(np.float64)
    covariance = np.atleast_2d(np.cov(codes, rowvar=False))
    return {"weights": np.ones(1), "means": codes.mean(0)[None], "covariances": covariance[None]}


def fit_gmm(codes: np.ndarray, options: dict, seed: int) -> Mixture:
    """A full-covariance mixture fitted by EM from a k-means start: scikit-learn's GaussianMixture, in float64.

    Raises UserError with fewer codes than components.
    """
    # Imported here: the other priors need no scikit-learn, whose import takes two seconds.
    from sklearn.mixture import GaussianMixture

    if len(codes) < options["components"]:
        raise UserError(
            f"a mixture of {options['components']} components needs at least as many codes, and there are "
            f"{len(codes)}: use more training images or lower the prior's `components`."
        )
    model = GaussianMixture(
        n_components=options["components"],
        covariance_type="full",
        init_params="kmeans",
        tol=options["tol"],
        reg_covar=options["reg_covar"],
        max_iter=options["max_iter"],
        random_state=seed,
    )
    started = time.monotonic()
    logger.info("fitting %d components to %d codes of %d units", options["components"], *codes.shape)
    try:
        model.fit(codes.astype(np.float64))
    except ValueError as error:
        # A covariance that is not positive definite, for codes of a huge range or fewer per component than units.
        raise UserError(
            f"the mixture can't be fitted to {len(codes)} codes of {codes.shape[1]} units ({error}). "
            "Raise the prior's `reg_covar`, or lower its `components`."
        ) from error
    logger.info("%d EM iterations in %.1f s", model.n_iter_, time.monotonic() - started)
    if not model.converged_:
        logger.warning("EM did not converge in max_iter = %d iterations; the last ones are used", options["max_iter"])
    return {
        "weights": model.weights_,
        "means": model.means_,
        "covariances": model.covariances_,
        "converged": np.asarray(model.converged_),
        "iterations": np.asarray(model.n_iter_),
    }


def fit_prior(codes: np.ndarray, options: dict, seed: int) -> Mixture:
    """Fit the prior of ``options["kind"]`` on codes (N, z). No codes (a diverged cell) give an empty mixture."""
    latent = codes.shape[1]
    if not len(codes):
        return {"weights": np.empty(0), "means": np.empty((0, latent)), "covariances": np.empty((0, latent, latent))}
    if options["kind"] == "standard_normal":
        return standard_normal(latent)
    if options["kind"] == "mvg":
        return fit_mvg(codes)
    return fit_gmm(codes, options, seed)
