"""How much of a GPU a job takes, and which one where there are several.

A rule's resource ``gpu`` counts slots, of which each GPU has as many as its smallest cells fit in (config key
``cells_per_gpu``). Snakemake counts how many are taken, but not on which GPU: each job locks its own on one of them.
Locks are one user's on one machine, and runs at the same time have to agree on ``cells_per_gpu``.

Snakemake's own process imports this module, so it needs nothing but the standard library.
"""

import contextlib
import fcntl
import itertools
import logging
import os
import random
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from autoencoders.jobs.errors import UserError

logger = logging.getLogger(__name__)

# Seconds from one look for free slots to the next: drawn at random, so that waiting jobs take turns.
PAUSE = (0.2, 1.0)
# Seconds from one line in the log to the next while a job waits.
REMINDER = 60


def slots_per_gpu(cells_per_gpu: Mapping[int, int]) -> int:
    """How many slots a GPU has: one for each of its smallest cells, and one without any entry."""
    return max(cells_per_gpu.values(), default=1)


def training_slots(cells_per_gpu: Mapping[int, int], filters: int) -> int:
    """How many slots the training of a cell takes; all of a GPU's where it is wider than every entry."""
    slots = slots_per_gpu(cells_per_gpu)
    widths = [width for width in cells_per_gpu if width >= filters]
    return slots // cells_per_gpu[min(widths)] if widths else slots


def candidates(visible: str | None, count: Callable[[], int]) -> list[str]:
    """The GPUs that a job may use, in the words of CUDA_VISIBLE_DEVICES.

    ``visible`` is that variable's value, or None where it is not set. ``count`` tells how many GPUs CUDA sees: those
    named before the first that does not exist.
    """
    if visible is None:
        return [str(index) for index in range(count())]
    names = [name.strip() for name in visible.split(",") if name.strip()]
    return list(dict.fromkeys(names[: count()]))


def lock_folder() -> Path:
    """This user's folder of locks on this machine, made if missing. Raises UserError if it could be another's."""
    folder = Path(tempfile.gettempdir()) / f"autoencoders-gpus-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UserError(
            f"{folder} has to be a folder that is yours and closed to others: jobs lock their GPUs there. Remove it, "
            "or set TMPDIR to a folder of your own."
        )
    return folder


def lock(file: Path) -> int | None:
    """A descriptor that holds the lock of a file until it is closed; None where another has it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    # Else the file stays as old as it is, and what is old is removed from folders for temporary files: the next job
    # would lock a new file beside this one.
    os.utime(descriptor)
    return descriptor


def try_claim(names: list[str], wanted: int, slots: int, folder: Path) -> tuple[str, list[int]] | None:
    """``claim`` if there is room right now, else None. One process looks at a time, so that none sees half a claim."""
    with open(folder / "turn", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        free = {}
        for name in names:
            files = [folder / f"{name.replace('/', '_')}-{slot}" for slot in range(slots)]
            free[name] = [descriptor for file in files if (descriptor := lock(file)) is not None]
        roomy = [name for name in names if len(free[name]) >= wanted]
        # The fullest one, so that a wide cell finds another one empty.
        chosen = min(roomy, key=lambda name: len(free[name]), default=None)
        kept = free[chosen][:wanted] if roomy else []
        for descriptor in itertools.chain.from_iterable(free.values()):
            if descriptor not in kept:
                os.close(descriptor)
    return (chosen, kept) if roomy else None


def claim(names: list[str], wanted: int, slots: int) -> tuple[str, list[int]]:
    """Wait until one of the GPUs has ``wanted`` of its ``slots`` free, and take these: its name, and the open locks.

    The locks are never closed: the kernel frees them when the process ends, however it ends.
    """
    folder = lock_folder()
    reminded = -REMINDER
    while (found := try_claim(names, wanted, slots, folder)) is None:
        if time.monotonic() - reminded >= REMINDER:
            reminded = time.monotonic()
            logger.info("waiting for %d of the %d slots of a GPU (%s)", wanted, slots, ", ".join(names))
        time.sleep(random.uniform(*PAUSE))
    logger.info("taking %d of the %d slots of GPU %s", wanted, slots, found[0])
    return found
