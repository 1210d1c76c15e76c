"""Seconds of fitting a mixture to codes: this pipeline's fit beside scikit-learn's GaussianMixture."""

import logging
import time
import warnings

import numpy as np
from benchmark.comparison import Row, row

from autoencoders.latent.priors import gmm

COMPONENTS = 10


def clustered_codes(count: int, latent: int) -> np.ndarray:
    """float32 (count, latent): ten Gaussian clusters that overlap, for EM to work on."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(COMPONENTS, latent))
    spread = generator.normal(size=(latent, latent)) / np.sqrt(latent)
    noise = generator.normal(size=(count, latent)) @ spread
    return (centres[generator.integers(0, COMPONENTS, count)] + noise).astype(np.float32)


def mixture_row(count: int, latent: int, iterations: int, contender: str, seconds: float, means: np.ndarray) -> Row:
    case = f"{count:,} x {latent}, k-means and {iterations} iterations"
    note = f"norm of the means {np.linalg.norm(means):.12g}"
    return row("mixture", case, contender, seconds, "s", ours=contender == "this pipeline", note=note)


def measure_pipeline(count: int, latent: int, iterations: int, gpu: int, threads: int) -> list[Row]:
    """Our fit, k-means and a fixed number of EM iterations, on the job's device."""
    device = None
    if gpu:
        # As in the rule's script: without a GPU nothing of PyTorch is imported.
        from benchmark.machine import job_device

        device = job_device(gpu, threads).type
    options = {"components": COMPONENTS, "tol": 0.0, "reg_covar": 1e-6, "max_iter": iterations}
    # That a fixed number of iterations ends before convergence is no news.
    logging.disable(logging.WARNING)
    codes = clustered_codes(count, latent)
    # The first fit imports the libraries and, on a GPU, loads their kernels.
    gmm.fit(clustered_codes(1000, 8), {**options, "max_iter": 2}, seed=0, device=device)
    started = time.perf_counter()
    fitted = gmm.fit(codes, options, seed=0, device=device)
    seconds = time.perf_counter() - started
    return [mixture_row(count, latent, iterations, "this pipeline", seconds, fitted["means"])]


def measure_scikit_learn(count: int, latent: int, iterations: int) -> list[Row]:
    """scikit-learn as it comes, on the CPU with NumPy arrays, from the same start for as many iterations."""
    import sklearn
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    codes = clustered_codes(count, latent).astype(np.float64)
    model = GaussianMixture(COMPONENTS, tol=0.0, max_iter=iterations, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        GaussianMixture(COMPONENTS, tol=0.0, max_iter=2).fit(clustered_codes(1000, 8))
        started = time.perf_counter()
        model.fit(codes)
    contender = f"scikit-learn {sklearn.__version__} on the CPU"
    return [mixture_row(count, latent, iterations, contender, time.perf_counter() - started, model.means_)]
