"""The seconds in Snakemake's benchmark files. Its main process asks too, so this needs the standard library only."""

import math
from pathlib import Path


def read_seconds(path: Path) -> float:
    """Wall seconds of the job that wrote a benchmark file; NaN where it is missing or can't be read."""
    try:
        header, values = (line.split("\t") for line in path.read_text().splitlines())
        return float(dict(zip(header, values, strict=True))["s"])
    except (OSError, ValueError, LookupError):
        return math.nan
