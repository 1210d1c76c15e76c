"""The negative entropy of a batch's codes, per unit: EAE (Ghose, Rashwan and Poupart 2020).

Codes are normalised by `latent_norm: batch_plain` to mean 0 and variance 1; among such laws N(0, I) has the largest
entropy. This is the estimate of Kozachenko and Leonenko by the nearest other code, without its constants: for
distances e_i the entropy of z units is (z / B) sum ln e_i + ln V_z + psi(B) - psi(1), V_z the volume of the unit ball.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from autoencoders.networks.objective import Step

MIN_BATCH = 2
MIN_WEIGHT = 0
# The least squared distance: the force between two codes grows as 1 / e, and Adam remembers it for 1,000 steps.
FLOOR = 1e-4


def check(options: Mapping, model: Mapping, latent: int) -> Iterator[tuple[str, str]]:
    if model["variational"]:
        yield (
            "kind",
            "the KL term already sets the law of a VAE's codes. Write it into a model that is not variational.",
        )
    elif model["latent_norm"] != "batch_plain":
        yield (
            "kind",
            f"with latent_norm: {model['latent_norm']} entropy grows with the codes' size, without limit. Write "
            "latent_norm: batch_plain beside the penalties.",
        )


def penalty(step: Step, options: Mapping) -> Tensor:
    return negative_entropy(step.codes)


def negative_entropy(codes: Tensor) -> Tensor:
    """Minus the mean log distance of codes (B, z) from their nearest other; a scalar in nats a unit, but for constants.

    Takes a few arrays of B · B · z numbers: differences, since |a|² + |b|² − 2ab does not resolve near codes.
    """
    import torch

    squared = (codes[:, None] - codes[None]).square().sum(2)
    others = squared.masked_fill(torch.eye(len(codes), dtype=torch.bool, device=codes.device), float("inf"))
    # Clamped before any root, whose slope at 0 is infinite. So equal codes have no force between them.
    return -0.5 * others.amin(1).clamp(min=FLOOR).log().mean()
