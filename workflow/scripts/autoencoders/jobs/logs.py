"""What the jobs of a run say of themselves in their logs, as `jobs.job` writes them: whether they are under
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

from autoencoders.jobs.progress import Point, read_point
from autoencoders.jobs.run_record import Job, written

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
