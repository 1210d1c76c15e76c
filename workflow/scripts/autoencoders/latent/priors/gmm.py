"""A mixture of Gaussians with full covariances: scikit-learn's GaussianMixture, on a GPU if there is one."""

from __future__ import annotations

import logging
import math
import os
import time
import warnings
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from autoencoders.jobs.errors import UserError, out_of_memory
from autoencoders.jobs.progress import tell
from autoencoders.latent.mixture_sampling import sample as sample

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

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


# scikit-learn's defaults: KMeans ends when its centres move less than this part of the codes' variance.
KMEANS_TOL = 1e-4
KMEANS_ITERATIONS = 300


def kmeans(codes: np.ndarray, components: int, seed: int, device: str | None):
    """The labels (N,) that scikit-learn's KMeans gives codes (N, z) float64: on CPU threads without a ``device``, else
    as a tensor on it. There, k-means takes seconds; on a single thread, minutes while the GPU idles.
    """
    from sklearn.cluster import KMeans, kmeans_plusplus

    if device is not None:
        import torch

        centred = codes - codes.mean(axis=0)
        centres, _ = kmeans_plusplus(centred, components, random_state=seed)
        labels = lloyd(torch.asarray(centred, device=device), torch.asarray(centres, device=device))
        if labels is not None:
            return labels
    return KMeans(components, n_init=1, random_state=seed).fit(codes).labels_


def lloyd(codes: Tensor, centres: Tensor) -> Tensor | None:
    """The labels (N,) of scikit-learn's KMeans for codes (N, z) from centres (K, z): Lloyd's algorithm, float64 on one
    device. None if a cluster loses all its codes: scikit-learn then has rules of its own.

    Sums over codes are matrix products, which a GPU repeats to the bit.
    """
    import torch

    clusters = torch.arange(len(centres), device=codes.device)
    enough = KMEANS_TOL * codes.var(0, correction=0).mean()

    def nearest() -> Tensor:
        return (centres.square().sum(1) - codes @ (2 * centres).T).argmin(1)

    labels = torch.full((len(codes),), -1, device=codes.device)
    for _ in range(KMEANS_ITERATIONS):
        before, labels = labels, nearest()
        if torch.equal(before, labels):
            return labels
        members = (labels[:, None] == clusters).to(codes.dtype)
        counts = members.sum(0)
        if not counts.all():
            return None
        moved = members.T @ codes / counts[:, None]
        shift, centres = (moved - centres).square().sum(), moved
        if shift <= enough:
            break
    return nearest()


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


def run_em(model, codes, max_iter: int, done: int, checkpoint: Checkpoint | None, device: str | None) -> int:
    """Fit a warm-started GaussianMixture, whose start is set, to codes (N, z) on a ``device``. Returns the number of
    iterations, including the ``done`` earlier ones.

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
            checkpoint.save(arrays, {"iterations": iterations, "lower_bound": previous, "device": device})
        model.max_iter = min(at_once, max_iter - iterations)
        model.fit(codes)
        iterations += model.n_iter_
        bound = float(model.lower_bound_)
        now = time.monotonic()
        each = (now - started) / (iterations - done)
        at_once = 10 if each < 30 else max(1, int(300 / each))
        if now - last_line >= 10:
            rise = (bound - previous) / model.n_iter_
            # Not after the first iteration, since the start's likelihood is not known.
            gain = f"the log-likelihood rises by {rise:.2g} per iteration, EM ends below {model.tol:.2g}; "
            tell(
                "EM: iteration %d, %.2g s each; %sat most %s left",
                *(iterations, each, gain if math.isfinite(rise) else ""),
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

    Without a ``device``, and on "mps", all in NumPy; on PyTorch's "cuda" and "cpu", on tensors. Either way, the fit is
    that of ``GaussianMixture(init_params="kmeans", random_state=seed)`` up to rounding. What the device can't fit, for
    lack of memory or because its solver fails, is fitted in NumPy, from the start. With a ``checkpoint``, resumes an
    interrupted fit and ends with the same bits. Raises UserError for fewer codes than components, and for codes to
    which no mixture can be fitted.
    """
    if len(codes) < options["components"]:
        raise UserError(
            f"a mixture of {options['components']} components needs at least as many codes, but there are "
            f"only {len(codes)}: use more training images or lower the prior's `components`."
        )
    import numpy as np

    # scikit-learn accepts tensors only if this is set, best before SciPy is imported.
    os.environ["SCIPY_ARRAY_API"] = "1"
    if device == "mps":
        device = None  # Apple's GPUs have no float64.
    codes = codes.astype(np.float64)
    logger.info("fitting %d components to %d codes of %d units", options["components"], *codes.shape)
    found = checkpoint.load() if checkpoint is not None else None
    if found is not None and found[1]["device"] != device:
        logger.info("the interrupted job had to fit on the CPU, and so does this one")
        device = None
    fitted = None
    if device is not None:
        try:
            fitted = fit_on(device, codes, options, seed, checkpoint, found)
        except (ValueError, RuntimeError) as error:
            if not cpu_may_help(error):
                raise
            logger.warning("this mixture can't be fitted on %s (%s): fitting it on the CPU", device, str(error))
            # How far the device came depends on when it was interrupted; the result must not.
            found = None
    if fitted is None:
        # Not in the except block: the exception keeps the failed fit's tensors alive.
        if device == "cuda":
            import torch

            torch.cuda.empty_cache()
        try:
            fitted = fit_on(None, codes, options, seed, checkpoint, found)
        except ValueError as error:
            # A covariance is not positive definite: codes of a huge range, or fewer per component than units.
            raise UserError(
                f"the mixture can't be fitted to {len(codes)} codes of {codes.shape[1]} units ({error}). "
                "Raise the prior's `reg_covar`, or lower its `components`."
            ) from error
    return fitted


def cpu_may_help(error: BaseException) -> bool:
    """Whether a fit that failed on a GPU may succeed in NumPy: its memory is full, or its solver found a covariance not
    positive definite, which may be the GPU's rounding.
    """
    import torch

    return isinstance(error, ValueError | torch.linalg.LinAlgError) or out_of_memory(error)


def fit_on(
    device: str | None,
    codes: np.ndarray,
    options: Mapping,
    seed: int,
    checkpoint: Checkpoint | None,
    found: tuple[dict, dict] | None,
) -> dict[str, np.ndarray]:
    """As ``fit``, for codes (N, z) float64 on one device, or in NumPy if it is None, from what the checkpoint holds.

    Raises ValueError, or PyTorch's LinAlgError, for a covariance that is not positive definite.
    """
    import numpy as np
    import sklearn
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if device is None:
        xp = np
    else:
        import torch as xp
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
    if found is not None:
        state, progress = found
        done, bound = progress["iterations"], progress["lower_bound"]
        logger.info("resuming from the checkpoint: %d EM iterations are done", done)
        start = [xp.asarray(np.array(state[name]), device=device) for name in EM_STATE]
        codes = xp.asarray(codes, device=device)
    else:
        labels = kmeans(codes, options["components"], seed, device)
        logger.info("k-means in %.1f s", time.monotonic() - started)
        done, bound = 0, -np.inf
        codes, labels = (xp.asarray(array, device=device) for array in (codes, labels))
        start = start_from_labels(xp, codes, labels, options["components"], options["reg_covar"])
    model.weights_, model.means_, model.precisions_cholesky_ = start
    model.converged_, model.lower_bound_ = False, bound
    with sklearn.config_context(array_api_dispatch=True), warnings.catch_warnings():
        # All of run_em's calls but the last would warn.
        warnings.simplefilter("ignore", ConvergenceWarning)
        iterations = run_em(model, codes, options["max_iter"], done, checkpoint, device)
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
