"""What a run is about, in a file of its results folder, and what its jobs say of themselves in their logs: from these
others see how far it has come, and whether it lives.

It works on every machine that sees the files: a job's log, as `jobs.job` writes it, is all that there is of it while it
runs. Snakemake's main process and `make status` import this module, so it needs the standard library only.
"""

import contextlib
import json
import math
import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import write_json
from autoencoders.jobs.job import job_name
from autoencoders.jobs.progress import Point, read_point

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


RECORD = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d{3} ([A-Z]+) (.*)")
TRACEBACK = "Traceback (most recent call last):"
# Seconds after which a job that has told how far it is, as it does every ten seconds, is taken for dead.
SILENT = 300
# So many bytes at the end of a log are read.
TAIL = 65_536


@dataclass(frozen=True)
class Log:
    """A job's log: when it was ``begun`` and last ``written`` (seconds since the epoch), whether it ends with an error
    or with an interruption, its ``last`` line (or the message of several lines that it ends with), and the last
    ``point`` that it tells of, if any.
    """

    begun: float
    written: float
    failed: bool
    interrupted: bool
    last: str
    point: Point | None

    @property
    def open(self) -> bool:
        """Whether it has no end. The job may be under way, or was killed without a word: how long it has been silent
        is all that its log tells of that.
        """
        return not self.failed and not self.interrupted

    def goes_on(self, now: float) -> bool:
        """Whether the job may be under way: open, and not silent for too long for one that tells how far it is."""
        return self.open and (self.point is None or now - self.written < SILENT)


def read_log(path: Path) -> Log | None:
    """None where there is no log, or it can't be read."""
    at = written(path)
    try:
        # Not what would never end, such as a pipe.
        if not path.is_file():
            return None
        with path.open("rb") as file:
            first = file.readline(TAIL)
            file.seek(max(os.fstat(file.fileno()).st_size - TAIL, 0))
            lines = file.read(TAIL).decode(errors="replace").splitlines()
    except OSError:
        return None
    records = [found for found in map(RECORD.fullmatch, lines) if found]
    level, text = (records[-1][2], records[-1][3]) if records else ("", "")
    points = [point for point in (read_point(record[3]) for record in records) if point is not None]
    interrupted = level == "ERROR" and text.startswith("interrupted")
    said = next((line for line in reversed(lines) if line.strip()), "")
    record = RECORD.fullmatch(said)
    last = record[3] if record else said
    if level == "ERROR" and not record:
        more = lines[len(lines) - lines[::-1].index(records[-1][0]) :]
        # A message of several lines; of a traceback the last one says what happened.
        last = last if TRACEBACK in more else " ".join([text, *more])
    return Log(
        begun=at - _seconds_between(first.decode(errors="replace").rstrip(), records[-1][0] if records else ""),
        written=at,
        failed=level == "ERROR" and not interrupted,
        interrupted=interrupted,
        last=last,
        point=points[-1] if points else None,
    )


def _seconds_between(first: str, last: str) -> float:
    """By the clock of the job's machine, whose time zone may be another; 0 where a line is no record."""
    records = [RECORD.fullmatch(line) for line in (first, last)]
    try:
        begun, ended = (datetime.fromisoformat(record[1]) for record in records if record)
    except ValueError:
        return 0.0
    return max((ended - begun).total_seconds(), 0.0)


def read_logs(jobs: Iterable[Job], since: float) -> dict[Job, Log]:
    """The logs of those of ``jobs`` that have begun since then, and not ended well."""
    found = {}
    for job in jobs:
        if since <= written(job.log) and not job.has_ended(since):
            log = read_log(job.log)
            if log is not None:
                found[job] = log
    return found
