"""The table of a benchmark, for machines and for people."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from benchmark.comparison import Row

from autoencoders.jobs.files import atomic
from autoencoders.jobs.parquet_tables import write_parquet

EXPLANATION = """\
"Ratio" is a row's value divided by this pipeline's in the same case and unit, with the config's precision: images a
second below 1 are slower than it, seconds above 1 too. Training is timed without start-up and without reading data. A
plain loop and Pythae compute in float32 as PyTorch does by default (on a GPU its convolutions then round to TF32).
The arithmetic of training counts convolutions and matrix products, forward and backward. All of it holds for a machine
that does nothing else: "load before" is how many processes were busy when the benchmark began.
"""


def with_ratios(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows as a table, with ``ratio``: the value by ours of the same section, case and unit, NaN without one."""
    table = pd.DataFrame(rows)
    keys = ["section", "case", "unit"]
    ours = table[table["ours"]].set_index(keys)["value"].rename("reference")
    ratio = table["value"] / table.join(ours, on=keys)["reference"]
    table.insert(table.columns.get_loc("unit") + 1, "ratio", ratio)
    return table


def rounded(number: float) -> str:
    """Three significant digits, or the whole number where it has more: 0.123, 12.3, 12,345."""
    if pd.isna(number):
        return ""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def markdown(table: pd.DataFrame, circumstances: Mapping[str, str]) -> str:
    """A page: the circumstances, and one table a section, in the order in which they were measured."""
    lines = ["# Benchmark", "", EXPLANATION]
    lines += [f"- {key}: {value}" for key, value in circumstances.items()]
    for section, rows in table.groupby("section", sort=False):
        shown = rows[["case", "contender", "value", "unit", "ratio", "note"]].astype(object)
        for column in ("value", "ratio"):
            shown[column] = rows[column].map(rounded)
        alignment = ("left", "left", "right", "left", "right", "left")
        page = shown.to_markdown(index=False, disable_numparse=True, colalign=alignment)
        lines += ["", f"## {section[0].upper()}{section[1:]}", "", page]
    return "\n".join(lines) + "\n"


def save(folder: Path, table: pd.DataFrame, circumstances: Mapping[str, str]) -> str:
    """Write benchmark.parquet, whose every row names the circumstances, and benchmark.md; return the page."""
    write_parquet(folder / "benchmark.parquet", table.assign(**circumstances))
    page = markdown(table, circumstances)
    with atomic(folder / "benchmark.md") as temporary:
        temporary.write_text(page)
    return page
