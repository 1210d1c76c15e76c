"""Running comparisons one after the other, with a line for each and an estimate of what is left."""

import time
from collections.abc import Sequence
from datetime import timedelta

from benchmark.comparison import Comparison, Row


def run(comparisons: Sequence[Comparison]) -> list[Row]:
    """The rows of all comparisons, in their order."""
    rows: list[Row] = []
    expected, done = sum(comparison.seconds for comparison in comparisons), 0.0
    started = time.monotonic()
    for index, comparison in enumerate(comparisons, start=1):
        # What is done says how fast this machine is; before that, the expected seconds are all there is.
        pace = (time.monotonic() - started) / done if done else 1.0
        left = timedelta(seconds=round(pace * (expected - done)))
        what = f"{comparison.section}, {comparison.case}, {comparison.contender}"
        print(f"[{index}/{len(comparisons)}] {what} (about {left} left)", flush=True)
        rows += comparison.rows()
        done += comparison.seconds
    return rows
