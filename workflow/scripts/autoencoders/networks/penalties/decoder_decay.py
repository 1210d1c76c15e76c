"""The sum of squared weights of the decoder's layers, without biases and normalisations: RAE-L2 (Ghosh et al. 2020).

Its authors' code leaves the dense layer out on CIFAR-10, and has it in on CelebA. Batch normalisation undoes the scale
of the layers that it follows, so the term binds directly only the dense layer and the last convolution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from autoencoders.networks.objective import Step

OPTIONS = {
    "dense": {
        "type": "boolean",
        "default": True,
        "description": "true or false: whether the decoder's dense layer counts too",
        "by_dataset": True,
    }
}
MIN_WEIGHT = 0


def check(options: Mapping, model: Mapping, latent: int) -> Iterator[tuple[str, str]]:
    if model["latent_norm"] == "spectral_all":
        yield (
            "kind",
            "latent_norm: spectral_all normalises these weights, which the penalty could not make smaller. Write one "
            "of the two.",
        )


def penalty(step: Step, options: Mapping) -> Tensor:
    from torch import nn

    kinds = (nn.ConvTranspose2d, nn.Linear) if options["dense"] else nn.ConvTranspose2d
    layers = [module for module in step.network.decoder.modules() if isinstance(module, kinds)]
    return sum(layer.weight.square().sum() for layer in layers)
