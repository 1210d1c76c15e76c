"""A comparison: one contender in one case, measured in a separate process, and the rows that it adds to the table."""

import math
import multiprocessing
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """A value with its unit, or NaN with a note that says why nothing was measured.

    Values of the same section, case and unit are divided by that of the row that is ``ours``. An empty ``contender``
    stands for the comparison's.
    """

    value: float
    unit: str = ""
    note: str = ""
    ours: bool = False
    contender: str = ""
    failed: bool = False


@dataclass(frozen=True)
class Comparison:
    """``measure(*arguments)`` returns the rows. If it is ``optional``, the benchmark may succeed without it."""

    section: str
    case: str
    contender: str
    measure: Callable[..., list[Row]]
    arguments: tuple = ()
    optional: bool = False

    def rows(self) -> list[dict]:
        """The measured rows, or one that says why there are none, with the comparison's section and case."""
        try:
            found = isolated(self.measure, *self.arguments)
        except Exception as error:
            # Whatever stops one contender (a missing package, full memory), the others are still measured.
            why = textwrap.shorten(f"not measured: {type(error).__name__}: {error}", 300)
            found = [Row(math.nan, note=why, failed=not self.optional)]
        labels = {"section": self.section, "case": self.case}
        return [labels | asdict(row) | {"contender": row.contender or self.contender} for row in found]


def measure_all(comparisons: Sequence[Comparison]) -> list[dict]:
    """The rows of all comparisons, measured one by one; prints a line for each."""
    rows = []
    for number, comparison in enumerate(comparisons, start=1):
        labels = filter(None, (comparison.section, comparison.case, comparison.contender))
        print(f"[{number}/{len(comparisons)}] {', '.join(labels)}", flush=True)
        rows += comparison.rows()
    return rows


def isolated(function: Callable, *arguments: object) -> object:
    """The result of ``function`` in a new process, without the threads, flags and memory of other measurements."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
