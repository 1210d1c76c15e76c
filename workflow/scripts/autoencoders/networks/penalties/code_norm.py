"""The mean over batch and units of the squared codes: RAE (Ghosh et al. 2020), as its authors' code computes it.

The paper has half the sum over units instead, which is a weight z / 2 times as large.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from autoencoders.networks.objective import Step

MIN_WEIGHT = 0


def check(options: Mapping, model: Mapping, latent: int) -> Iterator[tuple[str, str]]:
    if model["variational"]:
        yield "kind", "the KL term already holds a VAE's codes together. Write it into a model that is not variational."
    if model["latent_norm"] == "batch_plain":
        yield (
            "kind",
            "latent_norm: batch_plain makes this a constant. Write latent_norm: none, or leave the penalty out.",
        )


def penalty(step: Step, options: Mapping) -> Tensor:
    return step.codes.square().mean()
