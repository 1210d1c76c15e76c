"""Floating point operations of a grid, counted, and those a second of a matrix product, measured."""

import time
from collections.abc import Iterable

import torch

from autoencoders.config.grid import network_options
from autoencoders.networks.flop_count import training_flops

# Training images of the datasets in config/config.yaml, which a benchmark does not download.
TRAINING_IMAGES = {"cifar10": 50_000, "celeba": 162_770}


def grid_flops(cells: Iterable[dict], config: dict) -> list[tuple[dict, float]]:
    """Every cell with the floating point operations of its whole training."""
    found = []
    for cell in cells:
        an_image = training_flops(network_options(config, cell), config["models"][cell["model"]]["frozen_latent"])
        images = TRAINING_IMAGES[cell["dataset"]] * config["training"]["epochs"]
        found.append((cell, float(an_image) * images))
    return found


def product_rate(size: int, dtype: torch.dtype, device: torch.device, seconds: float = 1.0) -> float:
    """Floating point operations a second of the product of two ``size`` x ``size`` matrices.

    The best of those that fit into ``seconds``: what the device can do, not what it does on average.
    """
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    started, best = time.perf_counter(), float("inf")
    while time.perf_counter() - started < seconds:
        begun = time.perf_counter()
        torch.mm(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best
