"""Table 1 of the paper, the list of experiments, written from the config."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from autoencoders.labels import CELL_KEYS, dataset_label, model_label, model_order
from autoencoders.rendering import Section

CELL = list(CELL_KEYS)
COLUMNS = ["experiment", "dataset", "filters", "depth", "models", "latent", "seeds", "cells", "first"]


def table1(experiments: Mapping[str, Sequence[Mapping]]) -> pd.DataFrame:
    """One row an experiment, dataset, filters and depth, in the order of ``experiments``: lists of cells by name.

    Columns: models and latent (sizes) as comma-separated text, seeds, cells (how many) and first: how many of them no
    earlier row has, since a cell that several experiments share is trained once. Models of one row have the same
    latent sizes and number of seeds; others stand in a row of their own.
    """
    named = [{"experiment": experiment, **cell} for experiment, cells in experiments.items() for cell in cells]
    cells = pd.DataFrame(named, columns=["experiment", *CELL]).drop_duplicates()
    cells["first"] = ~cells.duplicated(CELL)
    place = ["experiment", "dataset", "filters", "depth"]
    of_model = cells.groupby([*place, "model"], sort=False).agg(
        latent=("latent", join_sorted), seeds=("seed", "nunique"), cells=("seed", "size"), first=("first", "sum")
    )
    rows = of_model.reset_index().groupby([*place, "latent", "seeds"], sort=False)
    table = rows.agg(models=("model", join_models), cells=("cells", "sum"), first=("first", "sum"))
    return table.reset_index()[COLUMNS]


def join_sorted(latents: pd.Series) -> str:
    return ", ".join(map(str, sorted(latents.unique())))


def join_models(models: pd.Series) -> str:
    return ", ".join(sorted(models, key=model_order))


def table1_sections(table: pd.DataFrame) -> Iterator[Section]:
    """``table`` of ``table1``."""
    text = (
        f"{table['cells'].sum()} cells are named; {table['first'].sum()} distinct networks are trained: a cell that "
        "several experiments share is trained once, and counts as new in the first row that has it."
    )
    rows = {
        "Experiment": table["experiment"],
        "Dataset": table["dataset"].map(dataset_label),
        "Filters": table["filters"].astype(str),
        "Depth": table["depth"],
        "Models": [", ".join(map(model_label, models.split(", "))) for models in table["models"]],
        "Latent units": table["latent"],
        "Seeds": table["seeds"].astype(str),
        "Cells": table["cells"].astype(str),
        "New cells": table["first"].astype(str),
    }
    yield Section("Experiments", text, pd.DataFrame(rows))
