"""Checkpoints: the whole state of a job in one file beside its outputs, from which an interrupted job resumes.

The file is not declared as an output, since Snakemake deletes the outputs of a job that fails.
"""

import contextlib
import functools
import hashlib
import json
import logging
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError

from autoencoders.jobs.checkpoint_locks import lock, unlock
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import FORMAT, file_sha256, remove_unfinished
from autoencoders.jobs.tensor_files import read_tensors, write_tensors

logger = logging.getLogger(__name__)


class Checkpoint:
    """The state of one job: arrays, and ``progress``, a dict of numbers, strings and lists.

    A file with another ``key`` is never used. If ``key`` is a function, it is called when a file is first read or
    written. A checkpoint is due every ``minutes`` minutes, and when a signal asks for one. ``load`` and ``save`` lock
    it, and raise UserError if another process has it.
    """

    def __init__(self, path: Path, key: str | Callable[[], str], minutes: float) -> None:
        self.path, self._key, self.seconds = path, key, 60 * minutes
        self.written = time.monotonic()
        self.asked_by: signal.Signals | None = None

    @functools.cached_property
    def key(self) -> str:
        return self._key() if callable(self._key) else self._key

    def load(self) -> tuple[dict[str, np.ndarray], dict] | None:
        """The arrays and the progress of the last ``save``; None if there is no file, or none that can be used."""
        lock(self.path)
        if not self.path.exists():
            return None
        try:
            arrays, metadata = read_tensors(self.path, "checkpoint")
            if metadata["key"] != self.key:
                logger.warning(
                    "%s is not used: it was written with other settings, images, code, PyTorch or kind of device. "
                    "This job starts over.",
                    self.path,
                )
                return None
            return arrays, metadata["progress"]
        except (SafetensorError, OSError, LookupError, TypeError, ValueError, RecursionError) as error:
            logger.warning("%s is not a readable checkpoint (%s). This job starts over.", self.path, error)
            return None

    @property
    def due(self) -> bool:
        return self.asked_by is not None or time.monotonic() - self.written >= self.seconds

    def save(self, arrays: Mapping[str, np.ndarray], progress: Mapping) -> None:
        """Write the state. Raises KeyboardInterrupt if the signal that asked for it ends the job.

        If writing fails, the job continues: it may still end before the next interruption.
        """
        lock(self.path)
        try:
            write_tensors(self.path, "checkpoint", arrays, {"key": self.key, "progress": progress})
            kept = "the next run resumes from here"
        except (OSError, SafetensorError, UserError) as error:
            kept = "this state could not be saved"
            logger.warning("no checkpoint is written: %s", error)
        self.written = time.monotonic()
        asked_by, self.asked_by = self.asked_by, None
        if asked_by in (signal.SIGTERM, signal.SIGINT):
            raise KeyboardInterrupt(f"interrupted by {asked_by.name}; {kept}")

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, SIGTERM and SIGINT ask for a checkpoint and then end the job; SIGUSR1 asks only for a checkpoint."""

        def ask(number: int, _: object) -> None:
            # The second Ctrl-C does not wait for the current step.
            if number == self.asked_by == signal.SIGINT:
                raise KeyboardInterrupt
            # SIGUSR1 does not replace a signal that ends the job.
            if number != signal.SIGUSR1 or self.asked_by is None:
                self.asked_by = signal.Signals(number)

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def remove_checkpoint(path: Path) -> None:
    """Call this once the job's outputs are safe. A file that can't be deleted only wastes space."""
    try:
        path.unlink(missing_ok=True)
        remove_unfinished(path)
    except OSError as error:
        logger.warning("%s is no longer needed, but can't be deleted: %s", path, error)
    unlock(path)


def training_checkpoint(weights: str | Path) -> Path:
    """The path of the checkpoint of a cell's training: beside the weights."""
    return Path(weights).with_name("checkpoint.safetensors")


def checkpoint_key(settings: Mapping, files: Iterable[str | Path]) -> str:
    """A hash of everything that a job's state depends on: ``settings``, the contents of ``files`` (data and code), and
    the format of checkpoints.
    """
    contents = sorted(file_sha256(path) for path in files)
    return hashlib.sha256(json.dumps([FORMAT, settings, contents], sort_keys=True).encode()).hexdigest()
