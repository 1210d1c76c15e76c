"""Images a second: this pipeline's training loop beside a plain PyTorch loop and Pythae's, on the same network."""

import math
import os
import shutil
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from benchmark.comparison import Row, row
from benchmark.flops import product_rate
from benchmark.machine import job_device
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from autoencoders.networks.flop_count import training_flops
from autoencoders.networks.network import Autoencoder, NetworkOptions
from autoencoders.networks.numerics import usable
from autoencoders.networks.objective import Objective, reconstruction_loss
from autoencoders.networks.training import ADAM, TrainingOptions, train

BATCH = 128
RATE = 1e-3
# Trains on uint8 images (N, 3, S, S) for some epochs, and returns the seconds of its loop.
Loop = Callable[[np.ndarray, int], float]


@dataclass(frozen=True)
class Case:
    """A deterministic autoencoder and how many images of noise there are to train it on, in whole batches of 128."""

    name: str
    size: int
    filters: int
    latent: int
    images: int

    @property
    def options(self) -> NetworkOptions:
        return NetworkOptions(self.size, self.filters, (1, 1, 1, 1), self.latent)

    @property
    def flops(self) -> int:
        """Floating point operations of training on one image."""
        return training_flops({**self.options.as_dict(), "depth": "1"}, frozen_latent=False)

    def network(self) -> Autoencoder:
        return Autoencoder(self.options, seed=0)

    def noise(self) -> np.ndarray:
        """uint8 (N, 3, S, S). A step takes as long on noise as on pictures."""
        shape = (whole_batches(self.images), 3, self.size, self.size)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@dataclass(frozen=True)
class Effort:
    """Where a contender runs, and how long: GPUs (0 or 1), CPU threads, seconds of a loop, size of the product."""

    gpu: int
    threads: int
    seconds: float
    product: int


class Reconstructor(nn.Module):
    """The network as one module, from images (N, 3, S, S) in [0, 1] to logits of their shape."""

    def __init__(self, network: Autoencoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.decoder(self.network.encoder(images)[0])


def whole_batches(count: float) -> int:
    """``count`` images as a number of full batches, at least one: a last one of another size would be compiled anew."""
    return max(1, round(count / BATCH)) * BATCH


def images_per_second(loop: Loop, images: np.ndarray, seconds: float) -> float:
    """The rate of ``loop`` in a run of about ``seconds``; shorter ones before it warm up and say how much fits."""
    count = whole_batches(2 * BATCH)
    while True:
        part = images[:count]
        epochs = max(1, round(count / len(part)))
        spent = loop(part, epochs)
        done = epochs * len(part)
        if spent >= seconds / 2:
            return done / spent
        count = whole_batches(done * min(10, seconds / spent))


def pipeline_loop(case: Case, device: torch.device, precision: str, compiled: bool = False) -> Loop:
    """This pipeline's own: `networks.training.train`; where ``compiled``, with both networks by torch.compile."""
    network = case.network()
    if compiled:
        network.encoder.compile()
        network.decoder.compile()

    def loop(images: np.ndarray, epochs: int) -> float:
        options = TrainingOptions(epochs, BATCH, ((0, RATE),), precision=precision)
        result = train(network, images, options, Objective(), seed=0, device=device)
        if result.status != "ok":
            raise ArithmeticError(f"training ended as {result.status}")
        return result.seconds

    return loop


def plain_epoch(model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer, device: torch.device) -> float:
    """One epoch as tutorials write it; the mean of its batches' losses. ``loader`` gives float32 images in [0, 1]."""
    total = 0.0
    for (batch,) in loader:
        batch = batch.to(device)
        optimizer.zero_grad()
        loss = reconstruction_loss(model(batch), batch)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def plain_loop(case: Case, device: torch.device) -> Loop:
    """A loop that leaves everything at PyTorch's defaults: loader, memory layout, optimiser, float32."""
    model = Reconstructor(case.network()).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, **ADAM)

    def loop(images: np.ndarray, epochs: int) -> float:
        data = TensorDataset(torch.from_numpy(images).float() / 255)
        loader = DataLoader(data, batch_size=BATCH, shuffle=True)
        started = time.perf_counter()
        for _ in range(epochs):
            plain_epoch(model, loader, optimizer, device)
        return time.perf_counter() - started

    return loop


def training_row(case: Case, contender: str, rate: float, ours: bool = False, note: str = "") -> Row:
    return row("training", case.name, contender, rate, "images/s", ours=ours, note=note)


def training_device(precision: str, effort: Effort) -> torch.device:
    """The device with the flags of a job that trains in this format."""
    return job_device(effort.gpu, effort.threads, tf32=precision == "tf32")


def measure_pipeline(case: Case, precision: str, default: str, effort: Effort) -> list[Row]:
    """Images a second of our loop, and its share of the arithmetic that a matrix product reaches in the same format.

    ``default`` is the config's precision: the row of what it comes down to on this device is marked as ours.
    """
    device = training_device(precision, effort)
    contender = f"this pipeline, {precision}"
    if usable(precision, device) != precision:
        note = f"not measured: this {device.type} has no fast {precision} products, and the pipeline takes fp32"
        return [training_row(case, contender, math.nan, note=note)]
    rate = images_per_second(pipeline_loop(case, device, precision), case.noise(), effort.seconds)
    flops = rate * case.flops
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    product = product_rate(effort.product, dtype, device)
    note = f"{flops / 1e9:,.4g} of the product's {product / 1e9:,.4g} GFLOP/s ({effort.product} cubed)"
    return [
        training_row(case, contender, rate, ours=precision == usable(default, device)),
        row("arithmetic", case.name, contender, 100 * flops / product, "% of a matrix product", note=note),
    ]


def measure_unrepeatable(case: Case, precision: str, effort: Effort) -> list[Row]:
    """Our loop where any algorithm may be used, the fastest: what equal bytes from equal seeds cost."""
    device = training_device(precision, effort)
    torch.set_deterministic_debug_mode("default")
    torch.backends.cudnn.benchmark = True
    precision = usable(precision, device)
    rate = images_per_second(pipeline_loop(case, device, precision), case.noise(), effort.seconds)
    return [training_row(case, f"this pipeline, {precision}, not deterministic", rate)]


def can_compile() -> bool:
    """Whether torch.compile finds what it needs to make a library: a C++ compiler, and Python's headers."""
    compilers = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++"]
    return any(map(shutil.which, compilers)) and Path(sysconfig.get_path("include"), "Python.h").is_file()


def measure_compiled(case: Case, precision: str, effort: Effort) -> list[Row]:
    """Our loop with torch.compile, and the seconds of its first two steps: compilation."""
    device = training_device(precision, effort)
    precision = usable(precision, device)
    contender = f"this pipeline, {precision}, torch.compile"
    if not can_compile():
        note = "not measured: torch.compile needs a C++ compiler (g++, clang++ or CXX) and Python's headers"
        return [training_row(case, contender, math.nan, note=note)]
    # Compilation is not to find what an earlier one has left.
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        mock.patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=folder),
    ):
        loop, images = pipeline_loop(case, device, precision, compiled=True), case.noise()
        compilation = loop(images[: 2 * BATCH], 1)
        rate = images_per_second(loop, images, effort.seconds)
    return [
        training_row(case, contender, rate, note="without the compilation"),
        row("training", case.name, f"{contender}: its first two steps", compilation, "s", note="the compilation"),
    ]


def default_device(gpu: int, threads: int) -> torch.device:
    """The device with PyTorch's own settings; on a GPU convolutions then round to TF32, and products do not."""
    torch.set_num_threads(threads)
    return torch.device("cuda" if gpu else "cpu")


def measure_plain(case: Case, effort: Effort) -> list[Row]:
    loop = plain_loop(case, default_device(effort.gpu, effort.threads))
    return [training_row(case, "plain PyTorch loop", images_per_second(loop, case.noise(), effort.seconds))]


def measure_pythae(case: Case, effort: Effort) -> list[Row]:
    # Imported here: it need not be installed, and takes seconds.
    from benchmark.pythae_loop import VERSION, pythae_loop

    loop = pythae_loop(case, default_device(effort.gpu, effort.threads))
    rate = images_per_second(loop, case.noise(), effort.seconds)
    return [training_row(case, f"Pythae {VERSION}", rate, note="our network and loss in its AE and BaseTrainer")]
