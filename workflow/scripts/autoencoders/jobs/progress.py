"""Progress lines with a rate and an estimate of what is left: written by jobs, and read again from their logs.

Snakemake's main process reads them, so this needs the standard library only.
"""

import logging
import re
import time
from dataclasses import dataclass

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Point:
    """Where some work stands: ``what`` it is ("training"), a ``detail`` that may be "" ("epoch 3/100, loss 0.5821"),
    how many ``percent`` are done, at which ``pace`` ("874 images/s"), and the seconds ``left``, None where not known.
    """

    what: str
    detail: str
    percent: int
    pace: str
    left: int | None

    def __str__(self) -> str:
        detail = f"{self.detail}, " if self.detail else ""
        left = "unknown time" if self.left is None else clock(self.left)
        return f"{self.what}: {detail}{self.percent}%, {self.pace}, {left} left"


# What Point's __str__ writes.
LINE = re.compile(
    r"(?P<what>.+?): ((?P<detail>.+), )?(?P<percent>\d{1,3})%, (?P<pace>[\d,]+ [^\s,]+/s), "
    r"(unknown time|(?P<hours>\d{1,9}):(?P<minutes>\d\d):(?P<seconds>\d\d)) left"
)


def read_point(line: str) -> Point | None:
    """The point that a line tells of; None where it is no progress line."""
    found = LINE.fullmatch(line)
    if not found:
        return None
    hours, minutes, seconds = found["hours"], found["minutes"], found["seconds"]
    left = None if hours is None else 3600 * int(hours) + 60 * int(minutes) + int(seconds)
    return Point(found["what"], found["detail"] or "", int(found["percent"]), found["pace"], left)


def clock(seconds: int) -> str:
    """0:00:16, 27:03:04."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def tell(text: str, *arguments: object) -> None:
    """Log a line of progress: it goes into the job's log and, unlike others, not to the terminal."""
    logger.info(text, *arguments)


class Progress:
    """Logs at most one line every ``interval`` seconds, and one at the end.

    ``what`` is the work ("training"), ``unit`` what is counted ("images"), ``done`` what an earlier job has done of it.
    """

    def __init__(self, what: str, total: int, unit: str = "images", interval: float = 10.0, done: int = 0) -> None:
        self.what, self.total, self.unit, self.interval = what, total, unit, interval
        self.done = self.before = done
        self.logged = None
        self.started = self.last_line = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether the next line's time has come: compute what it needs (a device sync, say) only then."""
        return time.monotonic() - self.last_line >= self.interval

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        """Units a second since the start."""
        return (self.done - self.before) / max(self.seconds, 1e-9)

    def advance(self, count: int) -> None:
        self.done += count

    def point(self, detail: str = "") -> Point:
        """Where the work stands."""
        left, rate = self.total - self.done, self.rate
        # Without a rate where an earlier job did all that was done.
        seconds = 0 if left <= 0 else round(left / rate) if rate else None
        percent = round(100 * self.done / (self.total or 1))
        return Point(self.what, detail, percent, f"{rate:,.0f} {self.unit}/s", seconds)

    def line(self, detail: str = "") -> None:
        """Log where the work stands, unless the last line has said just that."""
        if self.done == self.logged:
            return
        self.logged, self.last_line = self.done, time.monotonic()
        tell("%s", self.point(detail))

    def step(self, count: int) -> None:
        """Advance, and log where a line is due."""
        self.advance(count)
        if self.due:
            self.line()
