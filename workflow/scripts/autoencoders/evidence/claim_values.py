"""The values by which the paper's claims are judged: ours and the published ones, in one form.

Values are a long table with one row for each cell, seeds included, and quantity. A quantity is the Fréchet distance of
a comparison, by the comparison's name, or one of ``LATENT_STATISTICS``. Columns: model, filters, depth, latent, seed,
quantity, value (float64, NaN if the cell diverged) and diverged (boolean; missing if the paper does not say). The
paper prints one value for each cell, which counts as one seed. Results that the paper cites have model names such as
"eae (cited)", and those of another dataset "dae (cifar10)": never those of models trained here.

One number is a series by seed. A curve is a frame of latent sizes (ascending) by seed.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from autoencoders.config.grid import CELL_KEYS
from autoencoders.evidence.paper_values import CITED, one_a_cell
from autoencoders.evidence.score_tables import of_measure
from autoencoders.evidence.seed_statistics import MIN_SEEDS

CELL = list(CELL_KEYS)
GROUP = ["dataset", "setting", "extractor"]
LATENT_STATISTICS = [
    *("mardia_kurtosis_ratio", "mardia_skewness_ratio", "log_likelihood_gap"),
    *("mean_abs_mean", "mean_deviation", "deviation_spread"),
]
FITTED = ("mvg", "gmm")
DAE, VAE = "dae", "vae"
# The methods that the paper cites, and controls: models that it did not train.
METHODS = ("wae", "ae-l2", "rae", "rae-l2", "rae-sn", "rae-gp", "eae", "dae-bn0", "gmm-dae")
# A curve of fewer latent sizes has no shape, and its lowest value is no optimum.
MIN_SIZES = 3


def elsewhere(model: str, where: str) -> str:
    """The name, in values, of a model that was not trained here: "eae (cited)", or "dae (cifar10)"."""
    return f"{model} ({where})"


def cited(model: str) -> str:
    return elsewhere(model, "cited")


CITED_MODELS = [cited(model) for model in CITED]


def our_values(scores: pd.DataFrame, latent_statistics: pd.DataFrame) -> pd.DataFrame:
    """Our values, with the columns dataset, setting and extractor before the others.

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
    values = values.assign(value=values["value"].where(finished), diverged=(~finished).astype("boolean"))
    return values[[*GROUP, *CELL[1:], "quantity", "value", "diverged"]]


def published_values(published: pd.DataFrame) -> pd.DataFrame:
    """The values of ``read_published``, including those the paper cites, with the column dataset before the others."""
    values = one_a_cell(published).rename(columns={"fid": "value", "comparison": "quantity"}).assign(seed=0)
    values["model"] = values["model"].mask(values["model"].isin(CITED), values["model"].map(cited))
    # The paper does not print which cells or seeds diverged.
    values["diverged"] = pd.array([pd.NA] * len(values), "boolean")
    return values[["dataset", *CELL[1:], "quantity", "value", "diverged"]].reset_index(drop=True)


def select(values: pd.DataFrame, **keys: object) -> pd.DataFrame:
    """The rows that have these values in these columns."""
    chosen = np.ones(len(values), dtype=bool)
    for name, key in keys.items():
        chosen &= (values[name] == key).to_numpy(bool)
    return values[chosen]


def value(values: pd.DataFrame, **keys: object) -> pd.Series:
    """The finite values of the one network and quantity with these keys, by seed."""
    return by_seed(select(values, **keys))


def by_seed(rows: pd.DataFrame) -> pd.Series:
    found = rows.dropna(subset="value").set_index("seed")["value"].sort_index()
    if not found.index.is_unique:
        raise ValueError(f"several rows have the same seed:\n{rows}")
    return found


def curve(values: pd.DataFrame, model: str, filters: int, depth: str, quantity: str) -> pd.DataFrame:
    """The finite values by latent size, ascending, and seed; NaN where a seed has none."""
    found = select(values, model=model, filters=filters, depth=depth, quantity=quantity).dropna(subset="value")
    return found.pivot(index="latent", columns="seed", values="value").sort_index()


def complete(*curves: pd.DataFrame) -> list[pd.DataFrame]:
    """The curves with those seeds only that have a value at every size of each of them.

    A size that few seeds have, since it diverged or was run with fewer, would cost the others: such sizes are left out
    as long as that leaves more seeds, and ``MIN_SIZES`` sizes of the curve.
    """
    curves = list(curves)
    best = _with_common_seeds(curves)
    while longer := [index for index, each in enumerate(curves) if len(each) > MIN_SIZES]:
        fewest = min(longer, key=lambda index: curves[index].notna().sum(axis=1).min())
        curves[fewest] = curves[fewest].drop(curves[fewest].notna().sum(axis=1).idxmin())
        found = _with_common_seeds(curves)
        if found[0].shape[1] > best[0].shape[1]:
            best = found
    return best


def _with_common_seeds(curves: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    seeds = sorted(set.intersection(*(set(each.columns[each.notna().all()]) for each in curves)))
    return [each[seeds] for each in curves]


def aligned(*curves: pd.DataFrame) -> list[pd.DataFrame]:
    """The curves at the latent sizes that all of them have, with those seeds only that have all these values."""
    sizes = sorted(set.intersection(*(set(each.index) for each in curves)))
    seeds = sorted(set.intersection(*(set(each.columns) for each in curves)))
    curves = [each.loc[sizes, seeds] for each in curves]
    # A value that one of them lacks counts as missing in all, so that they keep the same sizes.
    everywhere = pd.concat([each.notna() for each in curves]).groupby(level=0).all()
    return complete(*(each.where(everywhere) for each in curves))


class Optimum(NamedTuple):
    """The latent size chosen for a curve (None for an empty one), and the values there by seed."""

    latent: int | None
    scores: pd.Series


def optima(*curves: pd.DataFrame) -> list[Optimum]:
    """The best latent size of each curve, and the values there of the seeds on which the curves are compared.

    A size that is chosen and scored on the same seeds flatters the curve that varies more. So the two smallest seeds
    that have all sizes choose, and all others are scored, if there are ``MIN_SEEDS`` of them (they need no other
    sizes). Otherwise the size with the lowest mean over all seeds that have all sizes is scored on these same seeds. Of
    equally good sizes, the smallest is taken.
    """
    whole = complete(*curves)
    if any(each.empty for each in whole):
        return [Optimum(None, pd.Series(dtype=float)) for _ in curves]
    kept = whole[0].columns[:2]
    sizes = [each[kept].mean(axis=1).idxmin() for each in whole]
    scored = [each.loc[size].drop(kept).dropna() for each, size in zip(curves, sizes, strict=True)]
    common = sorted(set.intersection(*(set(each.index) for each in scored)))
    if len(common) >= MIN_SEEDS:
        return [Optimum(int(size), each[common]) for size, each in zip(sizes, scored, strict=True)]
    sizes = [each.mean(axis=1).idxmin() for each in whole]
    return [Optimum(int(size), each.loc[size]) for size, each in zip(sizes, whole, strict=True)]


def sensitivities(*curves: pd.DataFrame) -> list[pd.Series]:
    """How far each curve rises above its lowest value, relative to that: (max − min) / min, by seed.

    Both sizes are chosen as in ``optima``: each seed's own extremes would count its noise as sensitivity.
    """
    lowest, highest = optima(*curves), optima(*(-each for each in curves))
    return [-high.scores / low.scores - 1 for low, high in zip(lowest, highest, strict=True)]


def geometric_mean(over_latents: pd.DataFrame) -> pd.Series:
    """exp of the mean of ln over latent sizes, by seed."""
    return np.exp(np.log(over_latents).mean())


def trained(values: pd.DataFrame) -> pd.DataFrame:
    """The rows of networks that were trained here."""
    return values[~values["model"].str.endswith(")")]


def priors(values: pd.DataFrame, quantities: Iterable[str] = FITTED) -> list[str]:
    """Those of ``quantities``, by default the fitted priors, that networks trained here have values of."""
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
