"""Training one cell (section 3): the whole data set on the device, shuffled, sliced and scaled there."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoencoders.config.seeds import stream_seed
from autoencoders.jobs.checkpoints import Checkpoint
from autoencoders.jobs.kinds import KL
from autoencoders.jobs.training_course import Course, listening
from autoencoders.networks.cuda_graphs import recorded, side_stream
from autoencoders.networks.network import Autoencoder, to_unit_interval
from autoencoders.networks.numerics import usable
from autoencoders.networks.objective import Objective, Term, batch_losses
from autoencoders.networks.steps import batch_bounds

logger = logging.getLogger(__name__)

ADAM = {"betas": (0.9, 0.999), "eps": 1e-7}


@dataclass(frozen=True)
class TrainingOptions:
    """``learning_rate`` is piecewise constant: (first epoch, rate) pairs, the first at epoch 0.

    With ``frozen_latent`` the encoder's dense layer to z stays at its initial weights (section 4, Figure 3).
    ``precision`` is one of `networks.numerics`.
    """

    epochs: int
    batch_size: int
    learning_rate: tuple[tuple[int, float], ...]
    frozen_latent: bool = False
    precision: str = "fp32"


@dataclass(frozen=True)
class TrainingResult:
    """``status`` is "ok" or "diverged"; ``history`` has one entry per epoch, including the diverged one: epoch,
    learning_rate, and the means over the epoch's images of loss, reconstruction_loss, kl (0 for a DAE) and each other
    penalty as <name>_penalty, unweighted (0 for a batch that is too small for it).

    ``precision`` is the one used: the requested one, or "fp32" if the device lacks it. ``seconds`` and
    ``energy_joules`` (the whole device's, None if unknown) are sums over all jobs that trained the cell,
    ``earlier_seconds`` is the sum over all but the last. ``resumed`` counts the jobs that resumed from a checkpoint,
    and ``trained_on`` lists the hardware that the jobs ran on.
    """

    status: str
    history: list[dict[str, float]]
    precision: str
    seconds: float
    images_per_second: float
    energy_joules: float | None
    earlier_seconds: float
    resumed: int
    trained_on: list[str]


def learning_rate(schedule: tuple[tuple[int, float], ...], epoch: int) -> float:
    """The rate of an epoch (counted from 0): that of the last pair that starts at or before it."""
    return max((start, rate) for start, rate in schedule if start <= epoch)[1]


def divergence(network: Autoencoder, means: Mapping[str, float]) -> str:
    """Which of an epoch's mean losses or weights are not finite; "" if all are."""
    if not math.isfinite(means["loss"]):
        parts = [name for name, mean in means.items() if name != "loss" and not math.isfinite(mean)]
        return f"the loss is {means['loss']}" + (f" ({', '.join(parts)} not finite)" if parts else "")
    # The last step may break the weights after the last loss. One read from the device, not one per tensor.
    finite = bool(torch.stack([tensor.isfinite().all() for tensor in network.state_dict().values()]).all())
    return "" if finite else "the weights are not finite after the last step"


def learnt(network: Autoencoder, frozen_latent: bool) -> list[Tensor]:
    """The parameters to train: all but those of a frozen latent layer."""
    for dense in network.encoder.dense_layers():
        dense.requires_grad_(not frozen_latent)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def adam(parameters: list[Tensor], device: torch.device) -> torch.optim.Adam:
    """Adam whose rate is a tensor on the device, where a recorded step reads its current value, and whose state exists
    before the first step, so that a checkpoint can fill it.
    """
    rate = torch.zeros((), device=device)
    optimizer = torch.optim.Adam(parameters, rate, **ADAM, fused=True, capturable=device.type == "cuda")
    state = {
        index: {"step": torch.zeros(()), "exp_avg": torch.zeros_like(tensor), "exp_avg_sq": torch.zeros_like(tensor)}
        for index, tensor in enumerate(parameters)
    }
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return optimizer


def adam_tensors(optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """The optimiser's state by name: the tensors themselves, to be read or filled."""
    state = optimizer.state_dict()["state"]
    return {f"adam.{index}.{name}": tensor for index, of_one in state.items() for name, tensor in of_one.items()}


def train(
    network: Autoencoder,
    images: np.ndarray,
    options: TrainingOptions,
    objective: Objective,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
) -> TrainingResult:
    """Train ``network`` in place on uint8 ``images`` (N, 3, S, S).

    Stops as "diverged" after the first epoch whose loss is not finite. Every random number comes from ``seed``: the
    order of the images, the variational noise, the noise on codes, and what penalties draw. With a ``checkpoint``,
    resumes an interrupted training and ends with the same bits as without the interruption.
    """
    with side_stream(device), listening(checkpoint):
        return _train(network, images, options, objective, seed, device, checkpoint)


def _train(network, images, options, objective, seed, device, checkpoint) -> TrainingResult:
    precision = usable(options.precision, device)
    network.to(device, memory_format=torch.channels_last).train()
    data = torch.from_numpy(images).to(device)
    optimizer = adam(learnt(network, options.frozen_latent), device)
    generator = torch.Generator(device).manual_seed(stream_seed(seed, "training"))
    terms = objective.terms(network.options.variational)
    bounds, full = batch_bounds(len(data), options.batch_size), min(options.batch_size, len(data))
    tell_small_batches(terms, [stop - start for start, stop in bounds])
    columns = ["loss", "reconstruction_loss", *map(column, dict.fromkeys([KL, *terms]))]
    # Sums stay on the device: reading a loss every step would make it wait for the host.
    sums = torch.zeros(len(columns), device=device)
    order = torch.arange(len(data), device=device)

    def step(indices: Tensor) -> None:
        batch = to_unit_interval(data[indices])
        losses = batch_losses(network, batch, objective.noise, terms, generator, precision, full)
        loss, reconstruction, penalties = losses
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        penalties = {KL: torch.zeros_like(reconstruction)} | penalties
        sums.add_(torch.stack([loss.detach(), reconstruction, *penalties.values()]), alpha=len(indices))

    step = recorded(step, generator)
    # Everything that changes from step to step, except the generator and the position.
    tensors = {**network.state_dict(prefix="network."), **adam_tensors(optimizer), "sums": sums, "order": order}
    course = Course(tensors, generator, bounds, options.epochs, lambda: sums[0].item(), checkpoint)
    position = course.position
    while position.epoch < options.epochs and position.status == "ok":
        optimizer.param_groups[0]["lr"].fill_(learning_rate(options.learning_rate, position.epoch))
        if position.batches == 0:
            sums.zero_()
            order.copy_(torch.randperm(len(data), generator=generator, device=device))
        for start, stop in bounds[position.batches :]:
            step(order[start:stop])
            course.end_batch()
        means = dict(zip(columns, (sums / len(data)).tolist(), strict=True))
        numbers = {"epoch": position.epoch, "learning_rate": learning_rate(options.learning_rate, position.epoch)}
        course.end_epoch(numbers | means, divergence(network, means))
    return result(course, precision)


def tell_small_batches(terms: Mapping[str, Term], sizes: Sequence[int]) -> None:
    """Log which of an epoch's batches are too small for a penalty. The others have the penalty's full weight."""
    for name, term in terms.items():
        if small := [size for size in sizes if size < term.min_batch]:
            logger.warning(
                "%d of the %d batches of an epoch are trained without the penalty %s: they have %d images, it needs %d",
                *(len(small), len(sizes), name, small[-1], term.min_batch),
            )


def column(penalty: str) -> str:
    """A penalty's column in the history; the suffix keeps names such as "loss" apart from the other columns."""
    return penalty if penalty == KL else f"{penalty}_penalty"


def result(course: Course, precision: str) -> TrainingResult:
    end = course.end()
    return TrainingResult(
        end.status,
        end.history,
        precision,
        seconds=end.seconds,
        images_per_second=course.progress.done / end.seconds,
        energy_joules=end.energy_joules,
        earlier_seconds=course.earlier_seconds,
        resumed=end.resumed,
        trained_on=end.trained_on,
    )
