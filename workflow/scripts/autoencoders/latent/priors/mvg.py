"""The multivariate Gaussian with a full covariance."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoencoders.jobs.errors import UserError
from autoencoders.latent.mixture_sampling import sample as sample

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)


def fit(codes: np.ndarray, options: Mapping, **_) -> dict[str, np.ndarray]:
    """Mean and full covariance (ddof = 1) of codes (N, z) in float64, as a mixture of one."""
    import numpy as np

    if len(codes) < 2:
        raise UserError(
            f"a covariance needs at least 2 codes, but there are only {len(codes)}: use more training images."
        )
    if len(codes) <= codes.shape[1]:
        logger.warning(
            "%d codes for %d latent units: the covariance is singular, and samples lie in the codes' span",
            *codes.shape,
        )
    codes = codes.astype(np.float64)
    covariance = np.atleast_2d(np.cov(codes, rowvar=False))
    return {"weights": np.ones(1), "means": codes.mean(0)[None], "covariances": covariance[None]}
