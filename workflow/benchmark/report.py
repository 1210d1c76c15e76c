"""The table of a benchmark, as parquet and as a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from autoencoders.jobs.files import atomic
from autoencoders.jobs.parquet_tables import write_parquet

EXPLANATION = """\
"Ratio" is a value divided by this pipeline's (with the config's precision) in the same case and unit: a contender is
slower than this pipeline if its ratio is below 1 for images/s, or above 1 for seconds. Training rates are those of
steady steps: without start-up, reading data, warm-up, recording CUDA graphs, or compilation. The plain loop and Pythae
compute in float32 with PyTorch's default flags (on a GPU, convolutions then round to TF32). TFLOP/s count training's
convolutions and matrix products, forward and backward. Cited methods train on one CPU thread, or on the GPU, and take
turns step by step: read the ratio in the note, which other work on the machine disturbs less than that of medians. The
numbers hold for an idle machine: "load before" is how many processes were busy when the benchmark began.
"""


def with_ratios(rows: Sequence[dict]) -> pd.DataFrame:
    """The rows as a table, with ``ratio``: the value divided by ours of the same section, case and unit, else NaN."""
    columns = ["section", "case", "contender", "value", "unit", "ours", "note", "failed"]
    table, keys = pd.DataFrame(rows)[columns], ["section", "case", "unit"]
    ours = table[table["ours"]].set_index(keys)["value"].rename("reference")
    table.insert(5, "ratio", table["value"] / table.join(ours, on=keys)["reference"])
    return table


def rounded(number: float) -> str:
    """Three significant digits, or the whole number if it has more: 0.123, 12.3, 12,345."""
    if pd.isna(number):
        return ""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def markdown(table: pd.DataFrame, circumstances: Mapping[str, str]) -> str:
    """A page: the circumstances, and a table for each section, in the order of measurement."""
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
    """Write benchmark.parquet, with the circumstances in every row, and benchmark.md; return the page."""
    write_parquet(folder / "benchmark.parquet", table.assign(**circumstances))
    page = markdown(table, circumstances)
    with atomic(folder / "benchmark.md") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return page
