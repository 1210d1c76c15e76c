"""Rows of the check: what was measured, and whether a check passed. Those of `make bench` with an outcome."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict

from benchmark.comparison import Row
from benchmark.report import rounded

# A dry run on a CPU passes nothing: its checks ran.
PASS, RAN, FAIL, NOT_RUN = "pass", "ran", "FAIL", "not run"
# A line of a section's output that begins with this is a row; all others are for people.
MARK = "@row "


def measured(section: str, case: str, contender: str, found: Iterable[Row]) -> list[dict]:
    """Rows of the benchmark's section of this name, from which `benchmark.projection` projects."""
    labels = {"section": section, "case": case, "outcome": ""}
    return [labels | asdict(row) | {"contender": row.contender or contender} for row in found]


def value(section: str, case: str, contender: str, number: float, unit: str, note: str = "") -> dict:
    """A single measured value."""
    return measured(section, case, contender, [Row(number, unit, note)])[0]


def outcome(section: str, check: str, passed: bool | None, note: str = "") -> dict:
    """Whether a check passed; None: it was not run, as ``note`` explains."""
    word = NOT_RUN if passed is None else PASS if passed else FAIL
    return value(section, check, "", math.nan, "", note) | {"outcome": word}


def line(row: dict) -> str:
    """A row as a line for people."""
    number = "" if math.isnan(row["value"]) else f"{rounded(row['value'])} {row['unit']}".strip()
    labels = ", ".join(filter(None, (row["case"], row["contender"])))
    return f"{row['section']}: {labels}: " + "; ".join(filter(None, (row["outcome"], number, row["note"])))


def without_a_gpu(row: dict) -> dict:
    """The row as a dry run has it."""
    return row | {"outcome": RAN} if row["outcome"] == PASS else row


def written(row: dict) -> str:
    return MARK + json.dumps(row)


def read(text: str) -> dict | None:
    """The row in a line of a section's output; None if it is for people."""
    return json.loads(text.removeprefix(MARK)) if text.startswith(MARK) else None


def number(rows: Iterable[dict], **wanted: object) -> float:
    """The value of the first measured row with these fields; NaN if there is none."""
    found = (row["value"] for row in rows if all(row[key] == wanted[key] for key in wanted))
    return next((each for each in found if not math.isnan(each)), math.nan)
