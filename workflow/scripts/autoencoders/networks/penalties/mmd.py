"""The maximum mean discrepancy of a batch's codes from N(0, I): WAE-MMD (Tolstikhin et al. 2018).

As its authors compute it: seven inverse multiquadratic kernels, summed, and as many fresh draws from N(0, I) as codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from autoencoders.networks.objective import Step

MIN_BATCH = 2
MIN_WEIGHT = 0
# The kernels' scales, in units of 2z, the mean squared distance of two draws from N(0, I).
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def check(options: Mapping, model: Mapping, latent: int) -> Iterator[tuple[str, str]]:
    if model["variational"]:
        yield (
            "kind",
            "the KL term already draws a VAE's codes to N(0, I). Write it into a model that is not variational.",
        )


def penalty(step: Step, options: Mapping) -> Tensor:
    import torch

    codes = step.codes
    draws = torch.randn(codes.shape, generator=step.generator, device=codes.device, dtype=codes.dtype)
    return discrepancy(codes, draws)


def discrepancy(codes: Tensor, draws: Tensor) -> Tensor:
    """The unbiased estimate, which may be negative, of codes (B, z) and draws (B, z) of one type; a scalar."""
    count, latent = codes.shape

    def kernel(first: Tensor, second: Tensor) -> Tensor:
        squared = first.square().sum(1)[:, None] + second.square().sum(1) - 2 * first @ second.T
        # Rounding gives equal codes a distance below 0.
        squared = squared.clamp(min=0)
        widths = [scale * 2 * latent for scale in SCALES]
        return sum(width / (width + squared) for width in widths)

    within = kernel(codes, codes) + kernel(draws, draws)
    pairs = within.sum() - within.diagonal().sum()
    return pairs / (count * (count - 1)) - 2 * kernel(codes, draws).mean()
