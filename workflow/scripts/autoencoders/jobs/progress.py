"""Lines of progress that jobs write to their logs: how much is done, the rate, and the time left.

`jobs.run_status` reads them again. Snakemake's main process imports this module, so it needs the standard library only.
"""

import logging
import time

logger = logging.getLogger(__name__)


def tell(text: str, *arguments: object) -> None:
    """Log a line of progress: unlike other lines it goes into the job's log only, not to the terminal."""
    logger.info(text, *arguments)


class Progress:
    """Logs at most one line every ``interval`` seconds, and one at the end.

    ``what`` is the work ("training"), ``unit`` what is counted ("images"), ``done`` how much of the ``total`` an
    earlier job did.
    """

    def __init__(self, what: str, total: float, unit: str = "images", interval: float = 10.0, done: float = 0) -> None:
        self.what, self.total, self.unit, self.interval = what, total, unit, interval
        self.done = self.before = done
        self.logged = None
        self.started = self.last_line = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time for the next line. Compute what the line needs, such as a loss on the GPU, only then."""
        return time.monotonic() - self.last_line >= self.interval

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def advance(self, count: float) -> None:
        self.done += count

    def line(self, detail: str = "") -> None:
        """Log a line with a ``detail`` such as "epoch 3/100, loss 0.5821", unless nothing has changed since the last.

        training: epoch 3/100, loss 0.5821, 2%, 12,345 images/s, 0:12:00 left
        """
        if self.done == self.logged:
            return
        self.logged, self.last_line = self.done, time.monotonic()
        left, rate = self.total - self.done, (self.done - self.before) / max(self.seconds, 1e-9)
        share = f"{100 * self.done / (self.total or 1):.0f}%"
        # There is no rate yet if an earlier job did everything so far.
        clock = _clock(round(left / rate) if left > 0 else 0) if rate or left <= 0 else "unknown time"
        parts = [detail, share, f"{rate:,.0f} {self.unit}/s", f"{clock} left"]
        tell("%s: %s", self.what, ", ".join(filter(None, parts)))

    def step(self, count: float) -> None:
        """Advance, and log a line if one is due."""
        self.advance(count)
        if self.due:
            self.line()


def _clock(seconds: int) -> str:
    """0:00:16, 27:03:04."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
