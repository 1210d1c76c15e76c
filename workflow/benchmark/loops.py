"""Training loops for the same network, this pipeline's and a plain one, and the rate that a loop reaches."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from autoencoders.networks.cuda_graphs import WARM_UP
from autoencoders.networks.flop_count import training_flops
from autoencoders.networks.network import Autoencoder, NetworkOptions
from autoencoders.networks.objective import Objective, reconstruction_loss
from autoencoders.networks.training import ADAM, TrainingOptions, train

BATCH = 128
RATE = 1e-3
# Images of a loop's first steps: on a GPU `train` runs WARM_UP of them and records the next.
FIRST = (WARM_UP + 2) * BATCH
# Trains on uint8 images (N, 3, S, S) for a number of epochs, and returns its seconds.
Loop = Callable[[np.ndarray, int], float]


@dataclass(frozen=True)
class Case:
    """A deterministic autoencoder, and the number of noise images that it is trained on, in whole batches.

    ``decoder_channels`` None is 8 · filters.
    """

    name: str
    size: int
    filters: int
    latent: int
    images: int
    decoder_channels: int | None = None

    @property
    def options(self) -> NetworkOptions:
        depth = (1, 1, 1, 1)
        return NetworkOptions(self.size, self.filters, depth, self.latent, decoder_channels=self.decoder_channels)

    @property
    def flops(self) -> int:
        """Floating point operations of training on one image."""
        return training_flops({**self.options.as_dict(), "depth": "1"}, frozen_latent=False)

    def network(self) -> Autoencoder:
        return Autoencoder(self.options, seed=0)

    def noise(self) -> np.ndarray:
        """uint8 (N, 3, S, S). A step takes as long on noise as on real images."""
        shape = (whole_batches(self.images), 3, self.size, self.size)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def whole_batches(count: float) -> int:
    """``count`` images, rounded to full batches, at least one: a partial batch would be compiled separately."""
    return max(1, round(count / BATCH)) * BATCH


def steady_rate(loop: Loop, images: np.ndarray, seconds: float) -> float:
    """Images a second of the steady steps of ``loop``, from a run of about ``seconds``.

    Every run of a loop begins with steps that warm up and are recorded. A run of only these is timed and subtracted
    from the long run.
    """
    first = images[:FIRST]
    # The first run loads libraries, and compiles.
    loop(first, 1)
    beginning = loop(first, 1)
    count = 4 * len(first)
    while True:
        part = images[:count]
        epochs = max(1, round(count / len(part)))
        done, spent = epochs * len(part), loop(part, epochs) - beginning
        if spent >= seconds / 2:
            return (done - len(first)) / spent
        # At most ten times as many: a short run is a poor measure of the loop's speed.
        count = whole_batches(done * (10 if spent <= 0 else min(10, seconds / spent)))


def unit_images(images: np.ndarray) -> Tensor:
    """uint8 images as float32 in [0, 1]."""
    return torch.from_numpy(images).float() / 255


def pipeline_loop(network: Autoencoder, device: torch.device, precision: str) -> Loop:
    """`networks.training.train`."""

    def loop(images: np.ndarray, epochs: int) -> float:
        options = TrainingOptions(epochs, BATCH, ((0, RATE),), precision=precision)
        result = train(network, images, options, Objective(), seed=0, device=device)
        if result.status != "ok":
            raise ArithmeticError(f"training ended as {result.status}")
        return result.seconds

    return loop


def plain_loop(network: Autoencoder, device: torch.device) -> Loop:
    """A loop as tutorials write it, with PyTorch's defaults: loader, memory layout, optimiser, float32."""
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, **ADAM)

    def loop(images: np.ndarray, epochs: int) -> float:
        loader = DataLoader(TensorDataset(unit_images(images)), batch_size=BATCH, shuffle=True)
        started = time.perf_counter()
        for _ in range(epochs):
            for (batch,) in loader:
                batch = batch.to(device)
                optimizer.zero_grad()
                loss = reconstruction_loss(network.decoder(network.encoder(batch)[0]), batch)
                loss.backward()
                optimizer.step()
                # Tutorials print or add up the loss, which waits for the device.
                loss.item()
        return time.perf_counter() - started

    return loop
