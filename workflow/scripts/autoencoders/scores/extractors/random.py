"""A small untrained convolutional network (Naeem et al. 2020): no labels, no download, no view of what images show.

Features of random weights tell images apart by colour, brightness and coarse structure. They suit images that are
unlike photographs, and machines without a network.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.scores.stored_networks import load_network

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

OPTIONS = {}
GPU = False
MINUTES = 5
WIDTHS = (32, 64, 128, 256)
# The last stage's channels are averaged over the quarters of the image, so that where things are counts too.
PARTS = 2
FEATURES = 512


def random_network() -> torch.nn.Sequential:
    """Four stages, each a convolution, ReLU and a mean over 2 x 2 pixels; means of the quarters; a linear layer.

    Takes float images (N, 3, H, W) of 32 or 64 pixels, with values from -1 to 1; returns features (N, 512).
    """
    from torch import nn

    stages = []
    for inputs, outputs in zip((3, *WIDTHS), WIDTHS, strict=False):
        stages += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.ReLU(), nn.AvgPool2d(2)]
    layers = OrderedDict(
        stages=nn.Sequential(*stages),
        parts=nn.AdaptiveAvgPool2d(PARTS),
        flat=nn.Flatten(),
        mixed=nn.Linear(WIDTHS[-1] * PARTS**2, FEATURES, bias=False),
    )
    return nn.Sequential(layers)


def train(
    images: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    options: Mapping,
    seed: int,
    device: torch.device,
) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Draw the weights from the seed: on the CPU, the same for all devices and datasets. The record is empty.

    Kernels are normal (He et al. 2015), and each is scaled to the norm of the square root of 2, or a few large ones
    would dominate all features. The last layer is orthogonal: it mixes features, and prefers no direction.
    """
    import torch

    from autoencoders.config.seeds import stream_seed

    # The global random state does not change.
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(stream_seed(seed, "random/weights"))
        network = random_network()
        for layer in network.stages:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.normal_()
                layer.weight.mul_(math.sqrt(2) / layer.weight.flatten(start_dim=1).norm(dim=1).view(-1, 1, 1, 1))
        torch.nn.init.orthogonal_(network.mixed.weight)
    return network.state_dict(), {}


def load(path: str | Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Features (N, 512). Raises UserError for any file but that of ``train``."""
    import torch

    network = load_network(path, "this pipeline's random network", lambda _: random_network())
    network.to(device, memory_format=torch.channels_last)
    return lambda images: network(2 * images - 1)
