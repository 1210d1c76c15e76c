"""Seconds of fitting a mixture to codes: this pipeline's fit and scikit-learn's GaussianMixture."""

import logging
import warnings
from functools import partial

import numpy as np
from benchmark.comparison import Row
from benchmark.machine import Machine, timed
from sklearn.datasets import make_blobs
from sklearn.mixture import GaussianMixture

from autoencoders.latent.priors import gmm

COMPONENTS = 10


def codes(count: int, latent: int) -> np.ndarray:
    """float32 (count, latent): ten Gaussian clusters that overlap."""
    return make_blobs(count, latent, centers=COMPONENTS, cluster_std=10.0, random_state=0)[0].astype(np.float32)


def measure_pipeline(machine: Machine, count: int, latent: int, iterations: int) -> list[Row]:
    """Our fit, k-means and a fixed number of EM iterations, on the job's device."""
    options = {"components": COMPONENTS, "tol": 0.0, "reg_covar": 1e-6, "max_iter": iterations}
    fit = partial(gmm.fit, options=options, seed=0, device=machine.job_device().type if machine.gpu else None)
    # The fit would warn that it did not converge.
    logging.disable(logging.WARNING)
    # The first fit loads libraries and kernels.
    fit(codes(1000, 8))
    seconds, fitted = timed(fit, codes(count, latent))
    return [Row(seconds, "s", norm(fitted["means"]), ours=True)]


def measure_scikit_learn(count: int, latent: int, iterations: int) -> list[Row]:
    """scikit-learn's own fit, on the CPU with NumPy arrays, from the same start for as many iterations."""
    model = GaussianMixture(COMPONENTS, tol=0.0, max_iter=iterations, random_state=0)
    warnings.simplefilter("ignore")
    model.fit(codes(1000, 8))
    seconds, _ = timed(model.fit, codes(count, latent).astype(np.float64))
    return [Row(seconds, "s", norm(model.means_))]


def norm(means: np.ndarray) -> str:
    """A note for the page: equal norms show that both fits agree."""
    return f"norm of the means {np.linalg.norm(means):.12g}"
