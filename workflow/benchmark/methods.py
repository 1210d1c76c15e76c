"""The time of a training step of each cited method, beside that of the plain autoencoder."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from benchmark.comparison import Row
from benchmark.loops import BATCH, RATE, Case
from benchmark.machine import Machine, timed
from torch import Tensor

from autoencoders.config import grid
from autoencoders.evidence.claim_values import METHODS
from autoencoders.networks.cuda_graphs import WARM_UP, recorded, side_stream
from autoencoders.networks.network import Autoencoder, to_unit_interval
from autoencoders.networks.numerics import usable
from autoencoders.networks.objective import Objective, batch_losses
from autoencoders.networks.training import adam

# The model that the others are compared with.
PLAIN = "dae"
# The datasets whose weights are taken, by size of images. A step takes as long with any weights.
DATASETS = {32: "cifar10", 64: "celeba"}
# With fewer, a median says little.
MIN_ROUNDS = 9


def training_step(config: Mapping, model: str, case: Case, precision: str, device: torch.device) -> Callable:
    """A step of training ``model`` on uint8 images (B, 3, S, S), as `networks.training` has it; on a GPU, recorded."""
    options = config["models"][model]
    shape = replace(case.options, latent_norm=options["latent_norm"], variational=options["variational"])
    network = Autoencoder(shape, seed=0).to(device, memory_format=torch.channels_last).train()
    objective = Objective(**grid.objective_options(config, model, DATASETS[case.size]))
    terms, generator = objective.terms(shape.variational), torch.Generator(device).manual_seed(0)
    optimizer = adam(list(network.parameters()), device)
    optimizer.param_groups[0]["lr"].fill_(RATE)

    def step(images: Tensor) -> None:
        loss, _, _ = batch_losses(network, to_unit_interval(images), objective.noise, terms, generator, precision)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return recorded(step, generator)


def measure_methods(machine: Machine, case: Case, default: str, config: Mapping, seconds: float) -> list[Row]:
    """Milliseconds of a step of the plain model and of each cited one, and the ratio of the two.

    All take turns, step by step, so that other work on the machine slows them alike; a ratio is one turn's. Each takes
    about ``seconds``.
    """
    device = machine.job_device(default)
    precision, images = usable(default, device), torch.from_numpy(case.noise()[:BATCH]).to(device)
    with side_stream(device):
        steps = {model: training_step(config, model, case, precision, device) for model in (PLAIN, *METHODS)}
        # The first steps load libraries, and on a GPU the last of these is recorded.
        for step in steps.values():
            for _ in range(WARM_UP + 1):
                step(images)
        pace, _ = timed(steps[PLAIN], images)
        rounds = max(MIN_ROUNDS, round(seconds / pace))
        times = np.array([[timed(step, images)[0] for step in steps.values()] for _ in range(rounds)])
    return [row(model, times[:, place], times[:, 0]) for place, model in enumerate(steps)]


def row(model: str, times: np.ndarray, plain: np.ndarray) -> Row:
    """The median of a model's seconds (N,); the note has the median and quartiles of its ratios to ``plain`` (N,)."""
    low, middle, high = np.percentile(times / plain, [25, 50, 75])
    note = f"turn by turn {middle:.2f} times {PLAIN} (half of the turns {low:.2f} to {high:.2f})"
    ours = model == PLAIN
    return Row(1000 * float(np.median(times)), "ms a step", "" if ours else note, ours, model)
