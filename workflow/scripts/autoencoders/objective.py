"""The two terms of the training objective (section 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def reconstruction_loss(logits: Tensor, images: Tensor) -> Tensor:
    """Binary cross-entropy between sigmoid(logits) and images in [0, 1], mean over batch and pixels.

    Both (N, 3, S, S) float32; a scalar in nats.
    """
    return F.binary_cross_entropy_with_logits(logits, images)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)), mean over batch and latent units.

    Both (N, latent) float32; a scalar in nats. Kingma and Welling (2014), appendix B, gives the sum over units.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def sample_code(mean: Tensor, log_variance: Tensor, generator: torch.Generator) -> Tensor:
    """The reparameterised sample mean + sigma · epsilon, (N, latent)."""
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return mean + (0.5 * log_variance).exp() * noise
