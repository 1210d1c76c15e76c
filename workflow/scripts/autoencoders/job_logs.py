"""What the jobs of a run say of themselves in their logs, as `autoencoders.job` writes them: whether they are under
way, where they stand, and what they failed of.

It works on every machine that sees the files, and for jobs on others: a job's log is all that there is of it while it
runs. Standard library only, for Snakemake's main process and `make status`.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from autoencoders.progress import Point, read_point
from autoencoders.run_record import Job, written

RECORD = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d{3} ([A-Z]+) (.*)")
# So many bytes at the end of a log are read.
TAIL = 65_536


@dataclass(frozen=True)
class Log:
    """A job's log: when it was ``begun`` and last ``written`` (seconds since the epoch), whether it ends with an error
    or with an interruption, its ``last`` line, and the last ``point`` that it tells of, if any.
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
    return Log(
        begun=_time_of(first.decode(errors="replace").rstrip(), otherwise=at),
        written=at,
        failed=level == "ERROR" and not interrupted,
        interrupted=interrupted,
        last=record[3] if record else said,
        point=points[-1] if points else None,
    )


def _time_of(line: str, otherwise: float) -> float:
    record = RECORD.fullmatch(line)
    try:
        return datetime.fromisoformat(record[1]).timestamp() if record else otherwise
    except (ValueError, OverflowError, OSError):
        return otherwise


def read_logs(jobs: Iterable[Job], since: float) -> dict[Job, Log]:
    """The logs of those of ``jobs`` that have begun since then, and not ended well."""
    found = {}
    for job in jobs:
        # Snakemake writes the benchmark of a job that has ended well. One that failed before has a new log by now.
        if job.due and written(job.benchmark) < since <= written(job.log):
            log = read_log(job.log)
            if log is not None:
                found[job] = log
    return found
