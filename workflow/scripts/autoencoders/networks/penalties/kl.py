"""The KL divergence of a VAE's codes from N(0, I): Kingma and Welling (2014), appendix B.

Variational models always have this term: the config's ``beta`` is its weight, ``kl_reduction`` its reduction over
latent units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from autoencoders.networks.objective import Step


def penalty(step: Step, options: Mapping) -> Tensor:
    return kl_divergence(step.codes, step.log_variance, options["reduction"])


def kl_divergence(mean: Tensor, log_variance: Tensor, reduction: str = "mean") -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)), mean over the batch, and mean or sum over latent units.

    Both (N, latent) float32; a scalar in nats. Kingma and Welling (2014), appendix B, gives the sum over units.
    """
    per_image = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return per_image.mean() if reduction == "mean" else per_image.sum(dim=1).mean()
