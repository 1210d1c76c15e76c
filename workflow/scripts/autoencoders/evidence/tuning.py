"""The table of tuning: each method's weights times several factors, and the factor that validation images choose.

A setting is a model with its weights times one factor. A method is a described model on one dataset and network, by one
extractor: the settings that compete.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from autoencoders.evidence.display_names import (
    comparison_label,
    dataset_label,
    distance_label,
    model_label,
    model_order,
)
from autoencoders.evidence.score_pages import value_text, what_was_compared
from autoencoders.evidence.score_tables import of_measure
from autoencoders.evidence.short_trainings import short_training_note
from autoencoders.evidence.table_files import DIVERGED, NO_VALUE, Section, decimals

FEWER = "fewer seeds"
NETWORK = ["filters", "depth", "latent"]
METHOD = ["dataset", "extractor", "model", *NETWORK]
HEADERS = {"filters": "Filters", "depth": "Depth", "latent": "Latent units"}


def native_scores(scores: pd.DataFrame, settings: Iterable[Mapping]) -> pd.DataFrame:
    """The Fréchet distances of each setting's own prior: a row for each cell and extractor.

    ``scores`` is a table of ``evidence.score_tables.collect_scores``; ``settings`` are those of
    `config.tuning.described_settings`. Their columns replace the column model; settings is its old content.
    """
    named = of_measure(scores).rename(columns={"model": "settings"})
    described = pd.DataFrame(list(settings)).rename(columns={"setting": "settings"})
    rows = named.merge(described, on=["dataset", "settings"], validate="many_to_one")
    return rows[rows["comparison"] == rows["prior"]].reset_index(drop=True)


def tuning_table(scores: pd.DataFrame, settings: Iterable[Mapping]) -> pd.DataFrame:
    """One row for each method and factor, with arguments as in ``native_scores``.

    Columns: dataset, extractor, model (as described), filters, depth, latent, prior, factor, weights (text),
    frechet_distance and frechet_distance_sd (mean and sample standard deviation over the seeds that finished), seeds
    (their number), status ("diverged" if a seed did with this factor, "fewer seeds" if others ran with more, otherwise
    "ok"), chosen (boolean: the lowest mean of those that are ok; of equal ones, the nearest to 1) and line (of config,
    which writes these weights).
    """
    rows = native_scores(scores, settings)
    rows = rows.assign(value=rows["value"].where(rows["status"] == "ok"))
    found = []
    for method, tried in rows.groupby(METHOD):
        of_method, seeds = [], tried["seed"].nunique()
        for factor, cells in tried.groupby("factor"):
            values = cells["value"].dropna()
            first = cells.iloc[0]
            of_method.append(
                {
                    **dict(zip(METHOD, method, strict=True)),
                    **{"prior": first["prior"], "factor": factor, "weights": first["weights"]},
                    **{"frechet_distance": values.mean(), "frechet_distance_sd": values.std(), "seeds": len(values)},
                    **{"status": status_of(cells, seeds), "chosen": False, "line": first["line"]},
                }
            )
        finished = [row for row in of_method if row["status"] == "ok"]
        if finished:
            min(finished, key=lambda row: (row["frechet_distance"], abs(np.log(row["factor"]))))["chosen"] = True
        found += of_method
    table = pd.DataFrame(found)
    return table.sort_values(
        [*METHOD, "factor"],
        key=lambda column: column.map(model_order) if column.name == "model" else column,
        ignore_index=True,
    )


def status_of(cells: pd.DataFrame, seeds: int) -> str:
    """Of the cells of one factor, given the number of seeds of the method."""
    if (cells["status"] != "ok").any():
        return DIVERGED
    return "ok" if len(cells) == seeds else FEWER


def tuning_sections(table: pd.DataFrame, scores: pd.DataFrame, settings: Iterable[Mapping]) -> Iterator[Section]:
    """``table`` of ``tuning_table``, computed from the other arguments: for each dataset and extractor, a row for each
    method.
    """
    every = native_scores(scores, settings)
    for (dataset, extractor), rows in table.groupby(["dataset", "extractor"]):
        compared = every[(every["dataset"] == dataset) & (every["extractor"] == extractor)]
        counted = what_was_compared(compared.assign(comparison="samples"))
        several = rows["seeds"].max() > 1
        text = [
            f"{distance_label(extractor)} of samples from each method's own prior, against images held out of the "
            "training images; lower is better. Columns: all weights of the method times a factor.",
            "Means over seeds ± their sample standard deviation." if several else "One run each.",
            counted,
            short_training_note(compared["steps"]),
            f"Bold: chosen, the lowest mean of the factors that ran with all seeds and with which none {DIVERGED}. A "
            "lowest value of several is flattered by its choice: compare methods on test images, with these weights.",
        ]
        yield Section(f"{dataset_label(dataset)}, {extractor}", " ".join(filter(None, text)), method_rows(rows))


def method_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one dataset and extractor as text: one for each method."""
    factors, places = sorted(rows["factor"].unique()), max(2, decimals(rows["frechet_distance"], digits=3))
    shown = []
    for _, tried in rows.groupby([*METHOD], sort=False):
        first, by_factor = tried.iloc[0], tried.set_index("factor")
        recipe, chosen = by_factor.loc[1.0], tried[tried["chosen"]]
        row = {"Method": model_label(first["model"]), **{HEADERS[key]: str(first[key]) for key in NETWORK}}
        row["Prior"] = comparison_label(first["prior"])
        for factor in factors:
            row[f"×{factor:g}"] = score_text(by_factor.loc[factor], places) if factor in by_factor.index else NO_VALUE
        row["Chosen"] = f"×{chosen['factor'].iloc[0]:g}" if len(chosen) else NO_VALUE
        row["Weights of the recipe"] = recipe["weights"]
        tuned = len(chosen) and chosen["factor"].iloc[0] != 1
        row["To write"] = chosen["line"].iloc[0] if tuned else NO_VALUE
        row["Note"] = "; ".join(notes(tried)) or NO_VALUE
        shown.append(row)
    return pd.DataFrame(shown)


def score_text(row: pd.Series, places: int) -> str:
    if row["status"] == DIVERGED:
        return DIVERGED
    text = value_text(row["frechet_distance"], "ok", row["frechet_distance_sd"], places)
    if row["status"] == FEWER:
        return f"{text} (n = {row['seeds']})"
    return f"**{text}**" if row["chosen"] else text


def notes(tried: pd.DataFrame) -> Iterator[str]:
    """What is doubtful about the choice of one method, whose rows of ``tuning_table`` these are."""
    chosen, recipe = tried[tried["chosen"]], tried[tried["factor"] == 1].iloc[0]
    if chosen.empty:
        yield "nothing to choose from"
        return
    chosen = chosen.iloc[0]
    if chosen["factor"] in (tried["factor"].min(), tried["factor"].max()):
        yield "at the grid's edge: extend the grid"
    if chosen["factor"] == 1:
        return
    spread = max(chosen["frechet_distance_sd"], recipe["frechet_distance_sd"])
    if recipe["status"] == DIVERGED:
        yield "the recipe's own weights diverged"
    elif recipe["status"] == FEWER:
        yield "the recipe's own weights have fewer seeds"
    elif np.isnan(spread):
        yield "one seed: its spread is unknown"
    elif recipe["frechet_distance"] - chosen["frechet_distance"] <= spread:
        yield "no further from ×1 than seeds are from each other"
