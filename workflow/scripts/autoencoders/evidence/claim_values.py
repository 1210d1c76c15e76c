"""The values by which the paper's claims are judged: ours and the published ones, in one form.

Values are a long table with one row for each cell (over all seeds) and quantity. A quantity is the Fréchet distance of
a comparison, by the comparison's name, or one of ``LATENT_STATISTICS``. Columns: model, filters, depth, latent,
quantity, value (float64, NaN if no seed finished) and diverged (Int64: how many seeds; missing if the paper does not
say). Results that the paper cites have model names such as "eae (cited)", never those of models trained here.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from autoencoders.config.grid import CELL_KEYS
from autoencoders.evidence.paper_values import CITED, KEYS, one_a_cell
from autoencoders.evidence.score_tables import of_measure

CELL = list(CELL_KEYS)
GROUP = ["dataset", "setting", "extractor"]
LATENT_STATISTICS = ["mardia_kurtosis_ratio", "mardia_skewness_ratio", "log_likelihood_gap"]
FITTED = ("mvg", "gmm")
DAE, VAE = "dae", "vae"


def cited(model: str) -> str:
    """The name, in values, of a model that the paper cites."""
    return f"{model} (cited)"


CITED_MODELS = [cited(model) for model in CITED]


def our_values(scores: pd.DataFrame, latent_statistics: pd.DataFrame) -> pd.DataFrame:
    """Values as means over the seeds that are "ok", with the columns dataset, setting and extractor before them, and
    seeds (how many were averaged) after them.

    ``scores`` is a table of ``evidence.score_tables.collect_scores``; ``latent_statistics`` has one row per cell. Its
    ``LATENT_STATISTICS`` become further quantities under every extractor that the cell is scored with.
    """
    scored = of_measure(scores).astype({"depth": str}).rename(columns={"comparison": "quantity"})
    statistics = latent_statistics.astype({"depth": str}).melt(
        [*CELL, "status"], LATENT_STATISTICS, var_name="quantity", value_name="value"
    )
    statistics = statistics.merge(scored[[*CELL, "setting", "extractor"]].drop_duplicates(), on=CELL)
    values = pd.concat([scored, statistics], join="inner", ignore_index=True)
    finished = values["status"] == "ok"
    values = values.assign(value=values["value"].where(finished), diverged=(~finished).astype("Int64"))
    keys = [*GROUP, "model", "filters", "depth", "latent", "quantity"]
    return (
        values.assign(seeds=values["seed"].where(finished))
        .groupby(keys, as_index=False)
        .agg({"value": "mean", "diverged": "sum", "seeds": "nunique"})
    )


def published_values(published: pd.DataFrame) -> pd.DataFrame:
    """The values of ``read_published``, including those the paper cites, with the column dataset before the others."""
    values = one_a_cell(published).rename(columns={"fid": "value", "comparison": "quantity"})
    values["model"] = [cited(model) if model in CITED else model for model in values["model"]]
    # The paper does not print which cells or seeds diverged.
    values["diverged"] = pd.array([pd.NA] * len(values), "Int64")
    keys = [*KEYS[:-1], "quantity"]
    return values[[*keys, "value", "diverged"]].reset_index(drop=True)


def select(values: pd.DataFrame, **keys: object) -> pd.DataFrame:
    """The rows that have these values in these columns."""
    chosen = np.ones(len(values), dtype=bool)
    for name, key in keys.items():
        chosen &= (values[name] == key).to_numpy(bool)
    return values[chosen]


def value(values: pd.DataFrame, **keys: object) -> float:
    """The value of the one row with these keys; NaN if there is none."""
    found = select(values, **keys)["value"]
    if len(found) > 1:
        raise ValueError(f"{len(found)} rows have {keys}")
    return float(found.iloc[0]) if len(found) else float("nan")


def curve(values: pd.DataFrame, model: str, filters: int, depth: str, quantity: str) -> pd.Series:
    """The finite values by latent size, ascending."""
    found = select(values, model=model, filters=filters, depth=depth, quantity=quantity).dropna(subset="value")
    return found.set_index("latent")["value"].sort_index()


def aligned(*curves: pd.Series) -> pd.DataFrame:
    """The curves as columns 0, 1, ..., at the latent sizes that all of them have."""
    return pd.concat(curves, axis=1, join="inner", keys=range(len(curves)))


def best(over_latents: pd.Series) -> tuple[float, float]:
    """The latent size with the lowest value (the smallest such size) and that value; NaN and NaN for an empty curve."""
    if over_latents.empty:
        return float("nan"), float("nan")
    return int(over_latents.idxmin()), float(over_latents.min())


def sensitivity(over_latents: pd.Series) -> float:
    """How far a curve rises above its lowest value, relative to that: (max − min) / min."""
    return float(over_latents.max() / over_latents.min() - 1)


def trained(values: pd.DataFrame) -> pd.DataFrame:
    """The rows of networks that were trained for these values, without the cited ones."""
    return values[~values["model"].isin(CITED_MODELS)]


def priors(values: pd.DataFrame, quantities: Iterable[str] = FITTED) -> list[str]:
    """Those of ``quantities``, by default the fitted priors, for which there are values that are not cited."""
    measured = set(trained(values)["quantity"])
    return [quantity for quantity in quantities if quantity in measured]


def networks(values: pd.DataFrame, *models: str) -> list[tuple[int, str]]:
    """The pairs of filters and depth that all of ``models`` have."""
    each = [select(values, model=model) for model in models]
    return sorted(set.intersection(*(set(zip(part["filters"], part["depth"], strict=True)) for part in each)))


def widths(values: pd.DataFrame, *models: str) -> list[int]:
    """The filters that all of ``models`` have at depth 1."""
    return [filters for filters, depth in networks(values, *models) if depth == "1"]


def deeper(values: pd.DataFrame) -> list[tuple[int, str]]:
    """The pairs of filters and depth of DAEs for which there is also a DAE of depth 1 with as many filters."""
    return [
        (filters, depth) for filters, depth in networks(values, DAE) if depth != "1" and filters in widths(values, DAE)
    ]
