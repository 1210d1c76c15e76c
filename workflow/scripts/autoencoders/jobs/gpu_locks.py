"""Which GPU a job uses if there are several: it locks slots of one of them until it ends.

The locks belong to one user on one machine. Simultaneous runs must have the same ``cells_per_gpu``.
"""

import contextlib
import itertools
import logging
import os
import random
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from autoencoders.jobs.errors import UserError

logger = logging.getLogger(__name__)

# Seconds between two attempts to find free slots, drawn at random, so that waiting jobs take turns.
PAUSE = (0.2, 1.0)
# Seconds between two lines in the log while a job waits.
REMINDER = 60
# A lock is released when its object is deleted: these live as long as the process.
HELD: list[FileLock] = []


def candidates(visible: str | None, count: Callable[[], int]) -> list[str]:
    """The GPUs that a job may use, as CUDA_VISIBLE_DEVICES names them.

    ``visible`` is the value of that variable, or None if it is not set. ``count`` returns how many GPUs CUDA sees:
    those named before the first that does not exist. Of several slices of GPUs (MIG), CUDA sees only the first one, and
    PyTorch can count none without using CUDA, so all that are named are candidates.
    """
    if visible is None:
        return [str(index) for index in range(count())]
    names = [name.strip() for name in visible.split(",") if name.strip()]
    if names and names[0].startswith("MIG-"):
        found = [name for name in names if name.startswith("MIG-")]
    else:
        found = names[: count()]
    return list(dict.fromkeys(found))


def lock_folder() -> Path:
    """This user's folder of lock files, created if missing. Raises UserError if another user could write to it."""
    folder = Path(tempfile.gettempdir()) / f"autoencoders-gpus-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UserError(
            f"{folder} must be a folder that only you can read and write: jobs lock their GPUs there. Remove it, or "
            "set TMPDIR to your own folder."
        )
    return folder


def new_lock(file: Path) -> FileLock:
    # The kernel frees such a lock when its process ends, however it ends; a soft lock would outlive a killed job.
    return FileLock(file, mode=0o600, fallback_to_soft=False)


def lock_slot(file: Path) -> FileLock | None:
    """The lock of a slot, or None if another job holds it."""
    lock = new_lock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    # Cleaners remove old files from temporary folders. The next job would then lock a new file beside this one.
    try:
        os.utime(file)
    except FileNotFoundError:
        lock.release()  # A cleaner was faster.
        return None
    return lock


def try_claim(names: list[str], wanted: int, slots: int, folder: Path) -> tuple[str, list[FileLock]] | None:
    """As ``claim``, but None if there is no room now. One process looks at a time, so that none sees half a claim."""
    with new_lock(folder / "turn"):
        free = {}
        for name in names:
            files = [folder / f"{name.replace('/', '_')}-{slot}" for slot in range(slots)]
            free[name] = [lock for file in files if (lock := lock_slot(file)) is not None]
        # The fullest GPU with enough room, so that a wide cell finds another one empty.
        roomy = [name for name in names if len(free[name]) >= wanted]
        chosen = min(roomy, key=lambda name: len(free[name]), default=None)
        kept = free[chosen][:wanted] if roomy else []
        for lock in itertools.chain.from_iterable(free.values()):
            if lock not in kept:
                lock.release()
    return (chosen, kept) if roomy else None


def claim(names: list[str], wanted: int, slots: int) -> str:
    """Wait until one of the GPUs has ``wanted`` of its ``slots`` free, lock these until the process ends, and return
    the GPU's name.
    """
    folder = lock_folder()
    reminded = -REMINDER
    while (found := try_claim(names, wanted, slots, folder)) is None:
        if time.monotonic() - reminded >= REMINDER:
            reminded = time.monotonic()
            logger.info("waiting for %d of the %d slots of a GPU (%s)", wanted, slots, ", ".join(names))
        time.sleep(random.uniform(*PAUSE))
    name, locks = found
    HELD.extend(locks)
    logger.info("taking %d of the %d slots of GPU %s", wanted, slots, name)
    return name
