"""Training one cell (section 3): the whole data set on the device, shuffled, sliced and scaled there."""

import contextlib
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor

from autoencoders.adam import Adam
from autoencoders.checkpoints import Checkpoint
from autoencoders.device import describe, energy
from autoencoders.graphs import graphed, side_stream
from autoencoders.network import Autoencoder, to_unit_interval
from autoencoders.objective import Objective, kl_divergence, normal_like, reconstruction_loss, sample_code
from autoencoders.precision import autocast, usable
from autoencoders.progress import Progress
from autoencoders.seeds import stream_seed

logger = logging.getLogger(__name__)

ADAM = {"betas": (0.9, 0.999), "eps": 1e-7}


@dataclass(frozen=True)
class TrainingOptions:
    """``learning_rate`` is piecewise constant: (first epoch, rate) pairs, the first at epoch 0.

    With ``frozen_latent`` the encoder's dense layer to z stays at its initial weights (section 4, Figure 3).
    ``precision`` is one of `autoencoders.precision`.
    """

    epochs: int
    batch_size: int
    learning_rate: tuple[tuple[int, float], ...]
    frozen_latent: bool = False
    precision: str = "fp32"


@dataclass(frozen=True)
class TrainingResult:
    """``status`` is "ok" or "diverged"; ``history`` has one entry an epoch, the diverged one included: epoch,
    learning_rate, and the means over the epoch's images of loss, reconstruction_loss and kl.

    ``precision`` is the one that was used: the one asked for, or "fp32" where the device has not got it. ``seconds``
    and ``energy_joules`` (the whole device's, None where it is not known) are those of all jobs that trained it,
    ``earlier_seconds`` those of all but the last, ``resumed`` how many went on from a checkpoint, and ``trained_on``
    says what all of them ran on.
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


@dataclass
class Position:
    """Where a training stands: ``batches`` batches of epoch ``epoch`` (from 0) are done; ``status`` and ``history`` are
    as in the result. The rest is about the jobs that brought it there.
    """

    epoch: int = 0
    batches: int = 0
    status: str = "ok"
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    energy_joules: float | None = 0.0
    resumed: int = 0
    trained_on: list[str] = field(default_factory=list)


def learning_rate(schedule: tuple[tuple[int, float], ...], epoch: int) -> float:
    """The rate of an epoch (counted from 0): that of the last pair that has begun."""
    return max((start, rate) for start, rate in schedule if start <= epoch)[1]


def weights_finite(network: Autoencoder) -> bool:
    """Whether the epoch's last step, whose effect no loss has shown yet, left every weight finite."""
    # One answer from the device, not one for each tensor.
    return bool(torch.stack([tensor.isfinite().all() for tensor in network.state_dict().values()]).all())


def batch_bounds(count: int, batch_size: int) -> list[tuple[int, int]]:
    """(start, stop) of every batch of ``count`` images; the last one may be smaller.

    A single image that is left over joins the batch before it: batch normalisation of codes needs two.
    """
    bounds = [(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]
    if len(bounds) > 1 and count - bounds[-1][0] == 1:
        bounds[-2:] = [(bounds[-2][0], count)]
    return bounds


def batch_losses(
    network: Autoencoder, images: Tensor, objective: Objective, generator: torch.Generator, precision: str = "fp32"
) -> tuple[Tensor, Tensor, Tensor]:
    """The objective of one batch and its two terms: (loss, reconstruction, kl), in float32. The kl of a DAE is 0."""
    with autocast(precision, images.device):
        mean, log_variance = network.encoder(images)
    code = mean if log_variance is None else sample_code(mean, log_variance, generator)
    if objective.noise:
        code = code + objective.noise * normal_like(code, generator)
    with autocast(precision, images.device):
        logits = network.decoder(code)
    reconstruction = reconstruction_loss(logits.float(), images)
    if log_variance is None:
        return reconstruction, reconstruction.detach(), torch.zeros_like(reconstruction)
    kl = kl_divergence(mean, log_variance, objective.kl_reduction)
    return reconstruction + objective.beta * kl, reconstruction.detach(), kl.detach()


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

    Ends at the end of the first epoch whose loss is not finite, as "diverged". Every random number comes from
    ``seed``: the order of the images, the variational noise and the noise on codes. With a ``checkpoint``, goes on
    where an interrupted training stood, and ends with the same bits as if it had not been interrupted.
    """
    with side_stream(device), contextlib.nullcontext() if checkpoint is None else checkpoint.listening():
        return _train(network, images, options, objective, seed, device, checkpoint)


def resume(
    tensors: Mapping[str, Tensor], generator: torch.Generator, arrays: Mapping[str, np.ndarray], progress: Mapping
) -> Position:
    """Fill the state of a training from its checkpoint; where that stood."""
    for name, tensor in tensors.items():
        tensor.copy_(torch.tensor(arrays[name]))
    generator.set_state(torch.tensor(arrays["generator"]))
    position = Position(**progress)
    position.resumed += 1
    logger.info("going on from the checkpoint: epoch %d, after batch %d", position.epoch + 1, position.batches)
    return position


def _train(network, images, options, objective, seed, device, checkpoint) -> TrainingResult:
    precision = usable(options.precision, device)
    network.to(device, memory_format=torch.channels_last).train()
    data = torch.from_numpy(images).to(device)
    for dense in network.encoder.dense_layers():
        dense.requires_grad_(not options.frozen_latent)
    learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
    # A tensor on the device, where a recorded step finds its present value.
    rate = torch.zeros((), device=device)
    optimizer = Adam(learnt, rate, **ADAM)
    generator = torch.Generator(device).manual_seed(stream_seed(seed, "training"))
    # Sums stay on the device: reading a loss every step would make it wait for the host.
    sums = torch.zeros(3, device=device)
    order = torch.arange(len(data), device=device)
    # All that changes from step to step, but for the generator and the position.
    tensors = {**network.state_dict(prefix="network."), **optimizer.state_dict(), "sums": sums, "order": order}
    begun = Position()
    if checkpoint is not None and (found := checkpoint.load()) is not None:
        begun = resume(tensors, generator, *found)
    threads = f", {torch.get_num_threads()} thread(s)" if device.type == "cpu" else ""
    trained_on = list(dict.fromkeys([*begun.trained_on, describe(device) + threads]))
    if len(trained_on) > 1:
        logger.warning("trained on %s in turn: the last digits are those of none alone", " and ".join(trained_on))

    def step(indices: Tensor) -> None:
        batch = to_unit_interval(data[indices])
        losses = batch_losses(network, batch, objective, generator, precision)
        optimizer.zero_grad()
        losses[0].backward()
        optimizer.step()
        sums.add_(torch.stack([losses[0].detach(), losses[1], losses[2]]), alpha=len(indices))

    step = graphed(step, generator)
    bounds = batch_bounds(len(data), options.batch_size)
    epoch, batches, history, status = begun.epoch, begun.batches, list(begun.history), begun.status
    seen = epoch * len(data) + (bounds[batches - 1][1] if batches else 0)
    progress = Progress("training", total=len(data) * options.epochs, done=seen)
    joules_before = energy(device)

    def position() -> Position:
        joules = begun.energy_joules, energy(device), joules_before
        return Position(
            epoch,
            batches,
            status,
            history,
            seconds=begun.seconds + progress.seconds,
            energy_joules=None if None in joules else joules[0] + joules[1] - joules[2],
            resumed=begun.resumed,
            trained_on=trained_on,
        )

    def save() -> None:
        arrays = {name: tensor.numpy(force=True) for name, tensor in tensors.items()}
        checkpoint.save({**arrays, "generator": generator.get_state().numpy()}, asdict(position()))

    while epoch < options.epochs and status == "ok":
        rate.fill_(learning_rate(options.learning_rate, epoch))
        if batches == 0:
            sums.zero_()
            order.copy_(torch.randperm(len(data), generator=generator, device=device))
        for start, stop in bounds[batches:]:
            step(order[start:stop])
            batches += 1
            progress.advance(stop - start)
            if progress.due:
                progress.line(f"epoch {epoch + 1}/{options.epochs}, loss {sums[0].item() / stop:.4f}")
            # A signal is answered when the GPU has done all that it has been given, which is at most so much.
            if device.type == "cuda" and batches % 100 == 0:
                torch.cuda.synchronize(device)
            if checkpoint is not None and checkpoint.due:
                save()
        loss, reconstruction, kl = (sums / len(data)).tolist()
        history.append(
            {
                "epoch": epoch,
                "learning_rate": learning_rate(options.learning_rate, epoch),
                "loss": loss,
                "reconstruction_loss": reconstruction,
                "kl": kl,
            }
        )
        if not (math.isfinite(loss) and weights_finite(network)):
            status = "diverged"
            what = "the weights are not finite after the last step" if math.isfinite(loss) else f"the loss is {loss}"
            logger.warning("epoch %d: %s; this cell ends as diverged", epoch + 1, what)
        epoch, batches = epoch + 1, 0
    if status == "ok":
        progress.line(f"epoch {len(history)}/{options.epochs}, loss {history[-1]['loss']:.4f}")
    if checkpoint is not None:
        save()
    end = position()
    return TrainingResult(
        status,
        history,
        precision,
        seconds=end.seconds,
        images_per_second=progress.done / end.seconds,
        energy_joules=end.energy_joules,
        earlier_seconds=begun.seconds,
        resumed=end.resumed,
        trained_on=trained_on,
    )
