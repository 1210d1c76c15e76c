"""Rows of images made elsewhere, beside those of cells.

In the table of all scores and in figures' scores, such a row has the setting and comparison EXTERNAL, the images' name
as its model, and nothing where a cell's row describes its network. Whatever is about networks takes ``of_cells``.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from autoencoders.config.grid import EXTERNAL
from autoencoders.evidence.display_names import model_label
from autoencoders.evidence.measure_texts import FRECHET, measure_text
from autoencoders.jobs.parquet_tables import read_parquet

# Columns that describe a network: whole numbers, which are missing in these rows, and text, which is empty.
NUMBERS, TEXTS = ("filters", "latent", "seed", "steps"), ("depth", "precision")
# The number of these images, in tables that show their scores beside cells'.
IMAGES = f"{EXTERNAL}_images"


def with_external(scores: pd.DataFrame, paths: Iterable[str | Path]) -> pd.DataFrame:
    """The scores of cells and, below them, those in the files ``paths`` of rule score_external.

    If there are any, the columns NUMBERS are Int64.
    """
    frames = [read_parquet(path) for path in paths]
    if not frames:
        return scores
    types = {**scores.dtypes, **dict.fromkeys(NUMBERS, "Int64")}
    rows = pd.concat(frames).assign(setting=EXTERNAL, **dict.fromkeys(TEXTS, "")).reindex(columns=scores.columns)
    return pd.concat([scores.astype(types), rows.astype(types)], ignore_index=True)


def of_cells(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of cells, with the types that they have without images made elsewhere."""
    cells = scores[scores["setting"] != EXTERNAL]
    return scores if len(cells) == len(scores) else cells.astype(dict.fromkeys(NUMBERS, "int64"))


def of_external(scores: pd.DataFrame) -> pd.DataFrame:
    """The rows of images made elsewhere."""
    return scores[scores["setting"] == EXTERNAL]


def add_external(table: pd.DataFrame, external: pd.DataFrame) -> pd.DataFrame:
    """``table`` with a row for each of ``external``, which are scores of one measure; last, and with the source
    EXTERNAL if the table has sources.

    ``table`` is Table 2, or has a row for each cell (``evidence.score_tables``). The value is in the column EXTERNAL,
    and the number of images in IMAGES, both before the columns seeds and status. A measure with errors has the column
    <EXTERNAL>_error.
    """
    if external.empty:
        return table
    rows = external[["dataset", "setting", "extractor", "model", "value", "images", "error", "status"]]
    rows = rows.rename(columns={"value": EXTERNAL, "images": IMAGES, "error": f"{EXTERNAL}_error"})
    columns, place = list(table), min(table.columns.get_loc(name) for name in ("seeds", "status") if name in table)
    columns[place:place] = [EXTERNAL, IMAGES]
    columns += [f"{EXTERNAL}_error"] * bool(rows[f"{EXTERNAL}_error"].notna().any())
    whole = dict.fromkeys([name for name in (*NUMBERS, "seeds") if name in table], "Int64")
    rows = rows.assign(source=EXTERNAL).reindex(columns=columns)
    found = pd.concat([table.reindex(columns=columns).astype(whole), rows.astype(whole)], ignore_index=True)
    return found.astype({IMAGES: "Int64"})


def without_empty(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one section of such a table, without the columns of ``add_external`` if none is external."""
    empty = EXTERNAL in rows and rows[IMAGES].isna().all()
    return rows.drop(columns=[EXTERNAL, IMAGES, f"{EXTERNAL}_error"], errors="ignore") if empty else rows


def external_label(name: str, images: int) -> str:
    return f"{model_label(name)} (external, {images:,} images)"


def external_text(rows: pd.DataFrame, compared: pd.DataFrame, measure: str) -> str:
    """What the external rows of a section are; "" if it has none. ``compared`` are the scores of its cells."""
    if EXTERNAL not in rows:
        return ""
    found, usual = rows.dropna(subset=IMAGES), usual_images(compared)
    against = measure_text(measure).against
    how = f"compared with the same {against}" if against else "measured"
    text = f"External: images made elsewhere, {how} in the same way."
    few = [model_label(row["model"]) for row in found.to_dict("records") if row[IMAGES] < usual]
    if few:
        text += (
            f" {', '.join(few)}: fewer images than the {usual:,} of a sample, and scores of different numbers do not "
            f"compare{': of fewer images, a Fréchet distance is higher' * (measure == FRECHET)}."
        )
    return text


def usual_images(scores: pd.DataFrame) -> int:
    """The number of images in a sample of those cells that did not diverge; 0 if there are none."""
    return int(scores["images"].max()) if len(scores) else 0
