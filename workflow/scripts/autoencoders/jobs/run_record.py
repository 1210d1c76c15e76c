"""What a run is about, in a file of its results folder, from which others see how far it has come and whether it lives.

Snakemake's main process and `make status` import this module, so it needs the standard library only.
"""

import contextlib
import json
import math
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import write_json
from autoencoders.jobs.job import job_name

# The runs' files, below the results folder, beside the logs that they lead to.
FOLDER = Path("logs", "runs")
# A run touches its file every half minute, and shared disks show that to others a while later.
DEAD = 180


@dataclass(frozen=True)
class Job:
    """A job of a run; ``due`` where it has to run, or else its output is there already.

    ``variant`` sets apart the jobs of a rule that are not alike: a prior's or an extractor's name, or "". ``dataset``
    is "" and ``cell``, a cell's folder, None where a job has none. ``work`` is what its time grows with, for each
    training image: for train `workload.training_flops`, for a mixture its components times the square of its units. It
    is 0 for others, whose time is mostly their start.
    """

    rule: str
    variant: str
    dataset: str
    cell: Path | None
    benchmark: Path
    log: Path
    work: int
    due: bool = True

    @property
    def name(self) -> str:
        """As its lines on the terminal begin."""
        return job_name(self.log)

    def has_ended(self, since: float) -> bool:
        """Whether it was done before, or has ended well since then.

        Snakemake writes the benchmark of a job that has ended well, after the last line of its log. It lets it stand
        where the job is done again, as one is whose group failed on a cluster: its log is newer then, or missing.
        """
        return not self.due or since <= written(self.benchmark) >= written(self.log) > -math.inf


PATHS = ("cell", "benchmark", "log")


@dataclass(frozen=True)
class Run:
    """A run with results in ``folder`` that began at ``started`` (seconds since the epoch, by the disk's clock) as the
    process ``pid`` of the machine ``host``, by ``command``.
    """

    folder: Path
    jobs: tuple[Job, ...]
    started: float
    host: str
    pid: int
    command: str

    @property
    def path(self) -> Path:
        """Its file, which the run's main process touches again and again, as a sign of life.

        Each run has one of its own: several may go on in a results folder that make different things.
        """
        return self.folder / FOLDER / f"{int(self.started)}-{self.pid}.json"

    @property
    def datasets(self) -> Path:
        """The folder of the prepared datasets."""
        return self.folder / "datasets"

    def goes_on(self, now: float) -> bool:
        """Whether the run's main process lives: it has given a sign of that a short while ago, and where it is this
        machine's, there is a process of its number.
        """
        if now - written(self.path) > DEAD:
            return False
        if self.host != socket.gethostname():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # Somebody else's.
        return True


def write(run: Run) -> None:
    """Write the run's file, in which all paths are relative to the results folder: it can be read from anywhere.

    Runs in the same results folder that go on no more are forgotten. Raises UserError where the disk is full or the
    folder can't be written to.
    """

    def relative(job: Job) -> dict:
        paths = {key: getattr(job, key) for key in PATHS}
        return asdict(job) | {key: path and os.path.relpath(path, run.folder) for key, path in paths.items()}

    facts = {"started": run.started, "host": run.host, "pid": run.pid, "command": run.command}
    write_json(run.path, facts | {"jobs": [relative(job) for job in run.jobs]})
    for path in run_files(run.folder):
        if path != run.path and not _lives(path, run.started):
            # Another may do so too, and it may be somebody else's.
            with contextlib.suppress(OSError):
                path.unlink()


def _lives(path: Path, now: float) -> bool:
    try:
        return read(path).goes_on(now)
    except UserError:
        # A shared disk may fail for a moment.
        return now - written(path) <= DEAD


def run_files(folder: Path) -> list[Path]:
    """The files of the runs with results in ``folder``; hidden ones are still being written."""
    return sorted(path for path in (folder / FOLDER).glob("*.json") if not path.name.startswith("."))


def read(path: Path) -> Run:
    """The run of a file, one of ``run_files``. Raises UserError where that is damaged or can't be read."""
    folder = path.parents[len(FOLDER.parts)]
    try:
        facts = json.loads(path.read_text())
        run = Run(
            folder,
            tuple(_job(entry, folder) for entry in facts["jobs"]),
            float(facts["started"]),
            str(facts["host"]),
            int(facts["pid"]),
            str(facts["command"]),
        )
        if not (0 <= run.started < 1e11 and 0 < run.pid < 1 << 31):
            raise ValueError(f"started {run.started}, pid {run.pid}")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{path} does not say what a run is about ({reason}). The next run deletes it.") from None
    return run


def _job(entry: Mapping, folder: Path) -> Job:
    def path(key: str) -> Path:
        text = entry[key]
        if not text.isprintable():
            raise ValueError(f"the path {text!r}")
        return Path(os.path.normpath(folder / text))

    return Job(
        *(str(entry[key]) for key in ("rule", "variant", "dataset")),
        cell=None if entry["cell"] is None else path("cell"),
        **{key: path(key) for key in PATHS[1:]},
        work=int(entry["work"]),
        due=bool(entry["due"]),
    )


def written(path: Path) -> float:
    """When a file was last written, in seconds since the epoch; -inf where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return -math.inf
