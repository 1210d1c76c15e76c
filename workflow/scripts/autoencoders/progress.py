"""Progress lines with a rate and an estimate of what is left."""

import logging
import time
from datetime import timedelta

logger = logging.getLogger(__name__)


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

    def line(self, detail: str = "") -> None:
        """Log where the work stands, unless the last line has said just that."""
        if self.done == self.logged:
            return
        self.logged, self.last_line = self.done, time.monotonic()
        left = self.total - self.done
        # Without a rate where an earlier job did all that was done.
        time_left = "unknown time" if left and not self.rate else timedelta(seconds=round(left / (self.rate or 1)))
        logger.info(
            "%s: %s%.0f%%, %s %s/s, %s left",
            self.what,
            f"{detail}, " if detail else "",
            100 * self.done / max(self.total, 1),
            f"{self.rate:,.0f}",
            self.unit,
            time_left,
        )

    def step(self, count: int) -> None:
        """Advance, and log where a line is due."""
        self.advance(count)
        if self.due:
            self.line()
