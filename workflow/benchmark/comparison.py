"""What every comparison of `make bench` has: rows for the table, measured in a process of its own."""

import math
import multiprocessing
import textwrap
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

Row = dict[str, object]


def row(
    section: str,
    case: str,
    contender: str,
    value: float,
    unit: str,
    *,
    ours: bool = False,
    note: str = "",
    failed: bool = False,
) -> Row:
    """One line of the table. ``ours`` marks what the others of the same section, case and unit are held against;
    ``failed`` one that ended in an error, and not for want of what this device has not got.
    """
    return {
        "section": section,
        "case": case,
        "contender": contender,
        "value": float(value),
        "unit": unit,
        "ours": ours,
        "note": note,
        "failed": failed,
    }


@dataclass(frozen=True)
class Comparison:
    """``measure(*arguments)`` returns rows. ``seconds`` is what it takes about, for the estimate of what is left."""

    section: str
    case: str
    contender: str
    seconds: float
    measure: Callable[..., list[Row]]
    arguments: tuple = ()

    def rows(self) -> list[Row]:
        """The measured rows; one without a value that says why where a contender can't run here."""
        try:
            return isolated(self.measure, *self.arguments)
        except Exception as error:
            # Whatever ends one contender (a missing package, too little memory), the others are measured.
            why = textwrap.shorten(f"not measured: {type(error).__name__}: {error}", 200)
            return [row(self.section, self.case, self.contender, math.nan, "", note=why, failed=True)]


def failures(rows: Iterable[Row]) -> list[str]:
    """The comparisons that ended in an error. Pythae's may: it need not be there."""
    return [
        f"{row['section']}, {row['case']}, {row['contender']}: {row['note']}"
        for row in rows
        if row["failed"] and row["contender"] != "Pythae"
    ]


def isolated(function: Callable, *arguments: object) -> object:
    """What ``function`` returns in a fresh Python process: threads, flags and memory of others do not reach it."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
