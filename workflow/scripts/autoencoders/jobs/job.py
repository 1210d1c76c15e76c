"""What every rule's script does around its work: logging, and readable errors."""

import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from autoencoders.jobs.errors import MORE_MEMORY, UserError, no_room, out_of_memory, room_needed
from autoencoders.jobs.kinds import OWN_MODULE
from autoencoders.jobs.progress import tell

logger = logging.getLogger(__name__)


class LogFile(logging.FileHandler):
    """Ignores a full disk: the terminal has the same messages, and a traceback for each would bury them."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not no_room(sys.exception()):
            super().handleError(record)


def job_name(log_file: Path) -> str:
    """A job's name from its log: the path below logs/, such as train/cifar10/dae/f32-d1-z64-s0."""
    _, _, name = f"/{log_file.with_suffix('').as_posix()}".partition("/logs/")
    return name or log_file.stem


@contextlib.contextmanager
def job(log_file: str | Path) -> Iterator[None]:
    """Log to the rule's ``log_file`` and to the terminal, and end the process with a readable message on an error.

    Lines on the terminal begin with the job's name, since several jobs may share it. Progress is only in the file.
    """
    log_file = Path(log_file)
    name = job_name(log_file)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter(f"[%(asctime)s] {name}: %(message)s", datefmt="%H:%M:%S"))
    # Many jobs at once would flood the terminal: Snakemake's main process reports progress there.
    terminal.addFilter(lambda record: record.name != "autoencoders.jobs.progress")
    file = LogFile(log_file, mode="w", encoding="utf-8", errors="backslashreplace")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[terminal, file], force=True)
    # Only libraries' warnings belong in the logs.
    for library in ("matplotlib", "PIL", "fontTools"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    # `make status` recognises a killed job by this.
    tell("process %d on %s", os.getpid(), socket.gethostname())
    # A cluster sends SIGTERM at the end of a job's time. As after Ctrl-C, half-written files are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # SIGUSR1 asks for a checkpoint; a job without one ignores it.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        yield
    except UserError as error:
        logger.error("%s", error)
    except KeyboardInterrupt as error:
        again = "interrupted; the next run repeats this job, from its last checkpoint if it has one"
        logger.error("%s", str(error) or again)
    except Exception as error:
        if no_room(error):
            logger.error("%s", room_needed(getattr(error, "filename", None) or "a file", error))
        elif out_of_memory(error):
            logger.error(
                "out of memory (%s). %s; or lower a batch size: scoring.batch_size, or training.batch_size "
                "or an extractor's, which changes results.",
                *(str(error) or type(error).__name__, MORE_MEMORY),
            )
        elif isinstance(error, OSError):
            logger.exception("%s", error)
        else:
            logger.exception("%s", whose_fault(error))
    else:
        leave(os.EX_OK)
    leave(os.EX_SOFTWARE)


def whose_fault(error: BaseException) -> str:
    """Whose fault an unexpected error is: a file of the user's own kind (`jobs.kinds`), with its line, or ours."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_globals.get("__name__", "").startswith(OWN_MODULE):
            return f"this is a bug in {frame.f_code.co_filename}, line {line}"
    return "this is a bug in the pipeline, not a fault of your input"


def leave(code: int) -> NoReturn:
    """End the process without a traceback, which would hide the message."""
    # Python's last collection would search all of PyTorch's objects for cycles, which takes about a second.
    gc.freeze()
    sys.exit(code)
