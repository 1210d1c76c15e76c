"""The two terms of the training objective (section 3)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Objective:
    """The weight ``beta`` of a variational network's KL term, how that sums over latent units ("mean" or "sum"), and
    the standard deviation of the noise that is added to the decoder's input (section 4).
    """

    beta: float = 0.0
    kl_reduction: str = "mean"
    noise: float = 0.0


def reconstruction_loss(logits: Tensor, images: Tensor) -> Tensor:
    """Binary cross-entropy between sigmoid(logits) and images in [0, 1], mean over batch and pixels.

    Both (N, 3, S, S) float32; a scalar in nats.
    """
    return F.binary_cross_entropy_with_logits(logits, images)


def kl_divergence(mean: Tensor, log_variance: Tensor, reduction: str = "mean") -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)), mean over the batch, and mean or sum over latent units.

    Both (N, latent) float32; a scalar in nats. Kingma and Welling (2014), appendix B, gives the sum over units.
    """
    per_image = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
    return per_image.mean() if reduction == "mean" else per_image.sum(dim=1).mean()


def sample_code(mean: Tensor, log_variance: Tensor, generator: torch.Generator) -> Tensor:
    """The reparameterised sample mean + sigma · epsilon, (N, latent)."""
    return mean + (0.5 * log_variance).exp() * normal_like(mean, generator)


def normal_like(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of the codes' shape, type and device."""
    return torch.randn(codes.shape, generator=generator, device=codes.device, dtype=codes.dtype)
