"""A training across jobs: its position, progress and checkpoint, and the time and energy that it uses."""

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from autoencoders.jobs.checkpoints import Checkpoint
from autoencoders.jobs.device import describe, energy
from autoencoders.jobs.progress import Progress

logger = logging.getLogger(__name__)


@dataclass
class Position:
    """The position of a training: ``batches`` batches of epoch ``epoch`` (from 0) are done; ``status`` is "ok" or
    "diverged", and ``history`` has an entry for each epoch.

    ``seconds`` and ``energy_joules`` (of the whole device, None if unknown) are sums over all jobs of this training,
    ``resumed`` is how many of them resumed from a checkpoint, and ``trained_on`` lists the devices that they ran on.
    """

    epoch: int = 0
    batches: int = 0
    status: str = "ok"
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    energy_joules: float | None = 0.0
    resumed: int = 0
    trained_on: list[str] = field(default_factory=list)


class Course:
    """A training that resumes from ``checkpoint`` if there is one; ``position`` advances with it.

    ``tensors`` and ``generator`` hold all state that changes from step to step; both are restored from the checkpoint.
    ``bounds`` are the (start, stop) of the batches of each of the ``epochs`` epochs. ``loss`` returns the sum of the
    loss over the epoch's images so far.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        generator: torch.Generator,
        bounds: list[tuple[int, int]],
        epochs: int,
        loss: Callable[[], float],
        checkpoint: Checkpoint | None,
    ) -> None:
        self.tensors, self.generator, self.checkpoint, self.loss = tensors, generator, checkpoint, loss
        self.bounds, self.epochs, self.device = bounds, epochs, generator.device
        self.position = self._resume()
        self.earlier_seconds, self.earlier_joules = self.position.seconds, self.position.energy_joules
        threads = f", {torch.get_num_threads()} thread(s)" if self.device.type == "cpu" else ""
        trained_on = dict.fromkeys([*self.position.trained_on, describe(self.device) + threads])
        self.position.trained_on = list(trained_on)
        if len(trained_on) > 1:
            logger.warning("trained on %s in turn: the last digits may match neither", " and ".join(trained_on))
        seen = self.position.epoch * bounds[-1][1] + self._images_of_epoch()
        self.progress = Progress("training", total=bounds[-1][1] * epochs, done=seen)
        self.joules_before = energy(self.device)

    def _resume(self) -> Position:
        found = self.checkpoint.load() if self.checkpoint is not None else None
        if found is None:
            return Position()
        arrays, progress = found
        for name, tensor in self.tensors.items():
            tensor.copy_(torch.tensor(arrays[name]))
        self.generator.set_state(torch.tensor(arrays["generator"]))
        position = Position(**progress)
        position.resumed += 1
        logger.info("resuming from the checkpoint: epoch %d, after batch %d", position.epoch + 1, position.batches)
        return position

    def _images_of_epoch(self) -> int:
        """How many of the epoch's images are done."""
        return self.bounds[self.position.batches - 1][1] if self.position.batches else 0

    def end_batch(self) -> None:
        """Log progress and write a checkpoint when these are due. The log's last line of progress is no older than the
        checkpoint: `make status` shows both.
        """
        before = self._images_of_epoch()
        self.position.batches += 1
        self.progress.advance(self._images_of_epoch() - before)
        # A checkpoint waits for all work queued on the GPU: this limits the queue.
        if self.device.type == "cuda" and self.position.batches % 100 == 0:
            torch.cuda.synchronize(self.device)
        save = self.checkpoint is not None and self.checkpoint.due
        if save or self.progress.due:
            self._report(self.position.epoch + 1, self.loss() / self._images_of_epoch())
        if save:
            self.save()

    def end_epoch(self, losses: dict[str, float], diverged: str) -> None:
        """Add ``losses`` to the history. ``diverged`` says why the training ends here; "" if it does not."""
        self.position.history.append(losses)
        self.position.epoch, self.position.batches = self.position.epoch + 1, 0
        if diverged:
            self.position.status = "diverged"
            logger.warning("epoch %d: %s; this cell ends as diverged", self.position.epoch, diverged)

    def end(self) -> Position:
        """The final position. The checkpoint keeps it too: Snakemake may be killed before it sees this job end."""
        position = self.position
        if position.status == "ok":
            self._report(position.epoch, position.history[-1]["loss"])
        if self.checkpoint is not None:
            self.save()
        self._measure()
        return position

    def _report(self, epoch: int, loss: float) -> None:
        self.progress.line(f"epoch {epoch}/{self.epochs}, loss {loss:.4f}")

    def _measure(self) -> None:
        self.position.seconds = self.earlier_seconds + self.progress.seconds
        joules = self.earlier_joules, energy(self.device), self.joules_before
        self.position.energy_joules = None if None in joules else joules[0] + joules[1] - joules[2]

    def save(self) -> None:
        self._measure()
        arrays = {name: tensor.numpy(force=True) for name, tensor in self.tensors.items()}
        self.checkpoint.save({**arrays, "generator": self.generator.get_state().numpy()}, asdict(self.position))


def listening(checkpoint: Checkpoint | None) -> contextlib.AbstractContextManager:
    """Inside, the checkpoint, if there is one, handles signals."""
    return contextlib.nullcontext() if checkpoint is None else checkpoint.listening()
