"""Only one job at a time uses a checkpoint: if Snakemake alone is killed, its jobs continue, and the next run starts
them again.

Two such jobs would overwrite each other's checkpoints, and Snakemake would delete the outputs of one for the other.

The lock is the kernel's, on a file beside the checkpoint: it ends with its process, however that ends. On NFS it also
holds between machines. filelock, which locks GPUs, does not tell which file it has locked, and removing the file safely
needs that.
"""

import atexit
import contextlib
import fcntl
import logging
import os
import socket
from pathlib import Path

from autoencoders.jobs.errors import UserError

logger = logging.getLogger(__name__)

# The checkpoints that this process has locked, and the open lock file of each; None where files can't be locked.
HELD: dict[Path, int | None] = {}


def lock_file(checkpoint: Path) -> Path:
    return checkpoint.with_suffix(".lock")


def lock(checkpoint: Path) -> None:
    """Lock a checkpoint until ``unlock`` or the end of this process. Raises UserError if another process has it."""
    if checkpoint in HELD:
        return
    file = lock_file(checkpoint)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        HELD[checkpoint] = opened = open_locked(file)
    except BlockingIOError:
        raise UserError(refusal(checkpoint)) from None
    except OSError as error:
        logger.warning("%s can't be locked (%s): make sure that no other job runs in its place.", checkpoint, error)
        HELD[checkpoint] = None
    else:
        with contextlib.suppress(OSError):  # On a full disk the lock has no name on it.
            os.truncate(opened, 0)
            os.write(opened, f"process {os.getpid()} on {socket.gethostname()}\n".encode())


def open_locked(file: Path) -> int:
    """The file, open and locked. Raises BlockingIOError if another process has locked it."""
    while True:
        try:
            opened = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:  # Another user's file, which can still be locked.
            opened = os.open(file, os.O_RDONLY)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have removed it in between. Its name may then be that of another file.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(opened), os.stat(file)):
                    return opened
        except BaseException:
            os.close(opened)
            raise
        os.close(opened)


def refusal(checkpoint: Path) -> str:
    try:
        holder = lock_file(checkpoint).read_text(encoding="utf-8").strip()
    except OSError:
        holder = ""
    kill = f" (kill {holder.split()[1]})" if holder else ""
    return (
        f"{holder or 'another process'} is still doing this job: it holds {checkpoint}. A run of Snakemake that was "
        f"killed may have left it behind. Wait until it has ended, or end it there{kill}. Then run the same command "
        "again."
    )


@atexit.register
def unlock_all() -> None:
    for checkpoint in list(HELD):
        unlock(checkpoint)


def unlock(checkpoint: Path) -> None:
    """The file is removed while it is still locked: whoever has opened it already finds that it has no name."""
    opened = HELD.pop(checkpoint, None)
    if opened is not None:
        with contextlib.suppress(OSError):
            lock_file(checkpoint).unlink()
        os.close(opened)
