"""A mixture of Gaussians with full covariances: scikit-learn's GaussianMixture, on a GPU if there is one."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.progress import tell
from autoencoders.latent.mixture_sampling import sample as sample

if TYPE_CHECKING:
    import numpy as np

    from autoencoders.jobs.checkpoints import Checkpoint

logger = logging.getLogger(__name__)

OPTIONS = {
    "components": {"type": "integer", "minimum": 1, "default": 10, "description": "a whole number, at least 1"},
    "tol": {"type": "number", "exclusiveMinimum": 0, "default": 1e-3, "description": "EM's tolerance, above 0"},
    "reg_covar": {
        "type": "number",
        "minimum": 0,
        "default": 1e-6,
        "description": "the amount that EM adds to variances, at least 0",
    },
    "max_iter": {"type": "integer", "minimum": 1, "default": 2000, "description": "a whole number, at least 1"},
}
GPU = True
# The iterations assumed in requests to a scheduler; a second attempt gets twice the minutes.
ITERATIONS = 500


def operations(options: Mapping, images: int, latent: int) -> float:
    """In each iteration, two matrix products per component: one for densities, one for covariances."""
    return 4 * images * options["components"] * latent**2 * min(options["max_iter"], ITERATIONS)


def start_from_labels(xp, codes, labels, components: int, reg_covar: float) -> tuple:
    """The start of EM, as scikit-learn's GaussianMixture computes it from k-means: the moments of each label's codes.

    ``xp`` is NumPy or PyTorch; codes (N, z) float64 and labels (N,) int are its arrays on one device. Returns weights
    (K,), means (K, z) and the precisions' upper Cholesky factors (K, z, z). Raises ``xp.linalg.LinAlgError`` for a
    covariance that is not positive definite.
    """
    import numpy as np

    latent = codes.shape[1]
    identity = xp.eye(latent, dtype=codes.dtype, device=codes.device)
    counts, means = [], []
    # C order, as after a checkpoint: a stack of transposes has another order, and BLAS would round differently.
    factors = xp.empty((components, latent, latent), dtype=codes.dtype, device=codes.device)
    for label in range(components):
        members = codes[labels == label]
        # scikit-learn's guard against division by 0: a component without codes is N(0, reg_covar).
        counts.append(len(members) + 10 * np.finfo(np.float64).eps)
        means.append(members.sum(0) / counts[-1])
        centred = members - means[-1]
        covariance = centred.T @ centred / counts[-1] + reg_covar * identity
        factors[label] = xp.linalg.solve(xp.linalg.cholesky(covariance), identity).T
    weights = xp.asarray(counts, dtype=codes.dtype, device=codes.device) / len(codes)
    return weights, xp.stack(means), factors


# GaussianMixture's attributes from which EM continues.
EM_STATE = ("weights_", "means_", "precisions_cholesky_")


def run_em(model, codes, max_iter: int, done: int, checkpoint: Checkpoint | None) -> int:
    """Fit a warm-started GaussianMixture, whose start is set, to codes (N, z). Returns the number of iterations,
    including the ``done`` earlier ones.

    scikit-learn reports nothing between iterations. So it runs ten at a time, or fewer if ten take over five minutes:
    the same fit to the bit, at the cost of one more E step in ten.
    """
    iterations, previous = done, float(model.lower_bound_)
    # A single one first, to measure how long it takes.
    at_once = 1
    started = last_line = time.monotonic()
    while not model.converged_ and iterations < max_iter:
        if checkpoint is not None and checkpoint.due:
            arrays = {name: to_numpy(getattr(model, name)) for name in EM_STATE}
            checkpoint.save(arrays, {"iterations": iterations, "lower_bound": previous})
        model.max_iter = min(at_once, max_iter - iterations)
        model.fit(codes)
        iterations += model.n_iter_
        bound = float(model.lower_bound_)
        now = time.monotonic()
        each = (now - started) / (iterations - done)
        at_once = 10 if each < 30 else max(1, int(300 / each))
        if now - last_line >= 10:
            tell(
                "EM: iteration %d, %.2g s each; the log-likelihood rises by %.2g per iteration, EM ends below %.2g; "
                "at most %s left",
                *(iterations, each, (bound - previous) / model.n_iter_, model.tol),
                timedelta(seconds=round(each * (max_iter - iterations))),
            )
            last_line = now
        previous = bound
    return iterations


def to_numpy(array) -> np.ndarray:
    """A NumPy array unchanged, or a PyTorch tensor as an array on the host."""
    import numpy as np

    return array if isinstance(array, np.ndarray) else array.numpy(force=True)


def fit(
    codes: np.ndarray,
    options: Mapping,
    *,
    seed: int,
    device: str | None = None,
    checkpoint: Checkpoint | None = None,
    **_,
) -> dict[str, np.ndarray]:
    """A full-covariance mixture fitted by EM from a k-means start: scikit-learn's GaussianMixture, in float64.

    Without a ``device``, and on "mps", all in NumPy; on PyTorch's "cuda" and "cpu", EM on tensors and k-means in NumPy.
    Either way, the fit is that of ``GaussianMixture(init_params="kmeans", random_state=seed)`` up to rounding. With a
    ``checkpoint``, resumes an interrupted fit and ends with the same bits. Raises UserError for fewer codes than
    components, and for codes to which no mixture can be fitted.
    """
    if len(codes) < options["components"]:
        raise UserError(
            f"a mixture of {options['components']} components needs at least as many codes, but there are "
            f"only {len(codes)}: use more training images or lower the prior's `components`."
        )
    import numpy as np

    # scikit-learn accepts tensors only if this is set, best before SciPy is imported.
    os.environ["SCIPY_ARRAY_API"] = "1"
    import sklearn
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    xp = np
    if device == "mps":
        device = None  # Apple's GPUs have no float64.
    elif device is not None:
        import torch as xp
    codes = codes.astype(np.float64)
    logger.info("fitting %d components to %d codes of %d units", options["components"], *codes.shape)
    model = GaussianMixture(
        n_components=options["components"],
        covariance_type="full",
        tol=options["tol"],
        reg_covar=options["reg_covar"],
        # EM starts from the attributes set below; `init_params` is not used ("kmeans" accepts no tensors).
        warm_start=True,
        init_params="random",
    )
    started = time.monotonic()
    found = checkpoint.load() if checkpoint is not None else None
    try:
        if found is not None:
            state, progress = found
            done, bound = progress["iterations"], progress["lower_bound"]
            logger.info("resuming from the checkpoint: %d EM iterations are done", done)
            start = [xp.asarray(np.array(state[name]), device=device) for name in EM_STATE]
            codes = xp.asarray(codes, device=device)
        else:
            labels = KMeans(options["components"], n_init=1, random_state=seed).fit(codes).labels_
            logger.info("k-means in %.1f s", time.monotonic() - started)
            done, bound = 0, -np.inf
            codes, labels = (xp.asarray(array, device=device) for array in (codes, labels))
            start = start_from_labels(xp, codes, labels, options["components"], options["reg_covar"])
        model.weights_, model.means_, model.precisions_cholesky_ = start
        model.converged_, model.lower_bound_ = False, bound
        with sklearn.config_context(array_api_dispatch=True), warnings.catch_warnings():
            # All of run_em's calls but the last would warn.
            warnings.simplefilter("ignore", ConvergenceWarning)
            iterations = run_em(model, codes, options["max_iter"], done, checkpoint)
    except (ValueError, xp.linalg.LinAlgError) as error:
        # A covariance is not positive definite: codes of a huge range, or fewer per component than units.
        raise UserError(
            f"the mixture can't be fitted to {len(codes)} codes of {codes.shape[1]} units ({error}). "
            "Raise the prior's `reg_covar`, or lower its `components`."
        ) from error
    logger.info("%d EM iterations, %.1f s with k-means", iterations, time.monotonic() - started)
    if not model.converged_:
        logger.warning("EM did not converge in max_iter = %d iterations; its last state is used", options["max_iter"])
    return {
        "weights": to_numpy(model.weights_),
        "means": to_numpy(model.means_),
        "covariances": to_numpy(model.covariances_),
        "converged": np.asarray(model.converged_),
        "iterations": np.asarray(iterations),
    }
