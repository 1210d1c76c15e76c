"""What every rule's script does before and after its work: logging, and errors that people can read."""

import atexit
import contextlib
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
    """On a full disk it is silent: its errors are on the terminal too, where a traceback for each would bury them."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not no_room(sys.exception()):
            super().handleError(record)


def job_name(log_file: Path) -> str:
    """A job's name by its log: its path below logs/, such as train/cifar10/dae/f32-d1-z64-s0."""
    _, _, name = f"/{log_file.with_suffix('').as_posix()}".partition("/logs/")
    return name or log_file.stem


@contextlib.contextmanager
def job(log_file: str | Path) -> Iterator[None]:
    """Log to the rule's ``log_file`` and, but for lines of progress, to the terminal; end with a readable message on an
    error.

    Lines on the terminal begin with the job's name, since several jobs may share it.
    """
    log_file = Path(log_file)
    name = job_name(log_file)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter(f"[%(asctime)s] {name}: %(message)s", datefmt="%H:%M:%S"))
    # Where many jobs run at once these would flood it: Snakemake's main process tells how far they are.
    terminal.addFilter(lambda record: record.name != "autoencoders.jobs.progress")
    file = LogFile(log_file, mode="w")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[terminal, file], force=True)
    # Libraries' chatter stays out of the logs; their warnings belong there.
    for library in ("matplotlib", "PIL", "fontTools"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    # `make status` sees by this whether the job was killed.
    tell("process %d on %s", os.getpid(), socket.gethostname())
    # What a cluster sends at the end of a job's time ends it as Ctrl-C does, so that half-written files are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # It asks for a checkpoint: a job that has none goes on.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        yield
    except UserError as error:
        logger.error("%s", error)
    except KeyboardInterrupt as error:
        again = "interrupted; the next run does this job again, from its last checkpoint if it has one"
        logger.error("%s", str(error) or again)
    except Exception as error:
        if no_room(error):
            logger.error("%s", room_needed(getattr(error, "filename", None) or "a file", error))
        elif out_of_memory(error):
            logger.error(
                "out of memory (%s). %s; or lower a batch size: scoring.batch_size, or, which changes results, "
                "training.batch_size or that of an extractor.",
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
    """Of a kind from elsewhere (`jobs.kinds`) where the error comes from one, with its line."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_globals.get("__name__", "").startswith(OWN_MODULE):
            return f"this is a fault of {frame.f_code.co_filename}, line {line}"
    return "this is a fault of the pipeline, not of your input"


def leave(code: int) -> NoReturn:
    """End the process at once. Taking PyTorch's modules apart first would take half a second, all files are closed, and
    a traceback would hide the message.
    """
    # What libraries do at the end, such as removing temporary folders, and the closing of the log.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
