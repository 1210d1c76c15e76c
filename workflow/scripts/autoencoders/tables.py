"""The tables of scores: all of them in one, Table 2 and Table 3 of the paper.

Scores are long tables, one row a cell, extractor and metric: dataset, model, filters, depth, latent, seed, setting
("paper" or "own", see ``autoencoders.published.setting``), extractor, metric, frechet_distance (NaN unless status is
"ok"), images, status ("ok" or "diverged"), and after ``merge_published`` published, difference, published_source and
published_confidence.
"""

from collections.abc import Iterable, Mapping

import pandas as pd

from autoencoders.labels import CELL_KEYS, NOT_PRIORS, metric_order, model_order
from autoencoders.published import CITED, comparable

CELL = list(CELL_KEYS)
GROUP = ["dataset", "setting", "extractor", "filters"]
# It is in the table of all scores; the paper's tables have nothing of the kind.
NOT_IN_PAPER = "interpolation"


def collect_scores(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all cells' score tables in one long table, sorted."""
    scores = pd.concat(frames, ignore_index=True).astype({"depth": str})
    return scores.sort_values(
        [*CELL, "extractor", "metric"],
        key=lambda column: column.map(metric_order) if column.name == "metric" else column,
        ignore_index=True,
    )


def table2(scores: pd.DataFrame, published: pd.DataFrame, comparison_latent: Mapping[str, int]) -> pd.DataFrame:
    """Table 2 of the paper: every model at depth 1 and its dataset's comparison latent size, means over seeds.

    One row a dataset, extractor, filters and model, with columns latent, source ("ours" or "cited"), a column a
    metric, seeds (how many did not diverge) and status ("ok", "partly diverged" or "diverged"), and with several seeds
    <metric>_sd. Where any row is ``comparable`` with the paper: <metric>_published, <metric>_difference (ours minus it)
    and <metric>_confidence too, and the rows that the paper cites.
    """
    at_comparison = scores["latent"] == scores["dataset"].map(comparison_latent)
    chosen = at_comparison & (scores["depth"] == "1") & (scores["metric"] != NOT_IN_PAPER)
    table = by_metric(scores[chosen], [*GROUP, "model", "latent"])
    table.insert(table.columns.get_loc("latent") + 1, "source", "ours")
    cited = cited_rows(table, published)
    # Int64: a cited row has no number of seeds. An empty table would change the types of the others' columns.
    table = pd.concat([table.astype({"seeds": "Int64"}), cited], ignore_index=True) if len(cited) else table
    return sort_table(table)


def by_metric(scores: pd.DataFrame, index: list[str]) -> pd.DataFrame:
    """One row for each value of the columns ``index``, one column a metric: the mean over the seeds that are "ok".

    Then seeds and status; where any row has several of these seeds, <metric>_sd, the standard deviation over them (of a
    sample, with n - 1); where any row is ``comparable``, <metric>_published, <metric>_difference (that mean minus the
    published value) and <metric>_confidence.
    """
    if scores.empty:
        return pd.DataFrame(columns=[*index, "seeds", "status"])
    ok = scores["status"] == "ok"
    scores = scores.assign(frechet_distance=scores["frechet_distance"].where(ok), finished=scores["seed"].where(ok))
    cells = scores.groupby([*index, "metric"])
    names = sorted(scores["metric"].unique(), key=metric_order)
    means = cells["frechet_distance"].mean().unstack("metric")[names]
    seeds = scores.groupby(index)["finished"].nunique().rename("seeds")
    status = ok.groupby([scores[name] for name in index]).agg(describe_status).rename("status")
    parts = [means, seeds, status]
    if seeds.max() > 1:
        parts.append(cells["frechet_distance"].std().unstack("metric")[names].add_suffix("_sd"))
    if comparable(scores).any():
        published = cells["published"].first().unstack("metric")[names]
        confidence = cells["published_confidence"].first().unstack("metric")[names]
        parts += [published.add_suffix("_published"), (means - published).add_suffix("_difference")]
        parts.append(confidence.add_suffix("_confidence"))
    return pd.concat(parts, axis=1).rename_axis(columns=None).reset_index()


def describe_status(ok: pd.Series) -> str:
    return "ok" if ok.all() else "partly diverged" if ok.any() else "diverged"


def metric_columns(table: pd.DataFrame) -> list[str]:
    """The metrics of a table of ``by_metric``: the columns between those that identify a row and seeds."""
    identity = {*CELL, "setting", "extractor", "source"}
    columns = list(table.columns[: table.columns.get_loc("seeds")])
    return [name for name in columns if name not in identity]


def cited_rows(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """The results of others that the paper's Table 2 repeats, for those datasets of ``table`` that are comparable.

    Their values stand in the columns <metric>_published: none of them is ours.
    """
    metrics = metric_columns(table)
    datasets = table.loc[comparable(table), "dataset"].unique()
    rows = published[
        published["model"].isin(CITED)
        & (published["source"] == "Table 2")
        & published["dataset"].isin(datasets)
        & published["metric"].isin(metrics)
    ]
    if rows.empty:
        return pd.DataFrame()
    values = rows.set_index(["dataset", "filters", "model", "latent", "metric"])[["fid", "confidence"]].unstack()
    kinds = {"fid": "published", "confidence": "confidence"}
    values.columns = [f"{metric}_{kinds[kind]}" for kind, metric in values.columns]
    return values.reset_index().assign(
        setting="paper",
        extractor="inception",
        source="cited",
        seeds=pd.array([pd.NA] * len(values), "Int64"),
        status="ok",
    )


def sort_table(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by dataset, extractor and filters, ours before cited, then the models in the paper's order."""
    order = [name for name in (*GROUP, "source", "model", "prior") if name in table]
    keys = {
        # "ours" sorts after "cited"
        "source": lambda column: column != "ours",
        "model": lambda column: column.map(model_order),
        "prior": lambda column: column.map(metric_order),
    }
    return table.sort_values(
        order, key=lambda column: keys.get(column.name, lambda same: same)(column), ignore_index=True
    )


def table3(scores: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Table 3 of the paper: the best latent size of every width, model and prior at depth 1, found in our grid.

    One row a dataset, extractor, filters, model and prior: latent (Int64) with the lowest mean over the seeds that
    are "ok" (the smaller one of equals), that frechet_distance, every metric at the same latent, seeds there, status,
    "diverged" where no cell has a value, and with several seeds frechet_distance_sd. Where any row is ``comparable``
    with the paper: frechet_distance_published, the lowest value in the paper's Table 3, frechet_distance_difference
    (ours minus it), frechet_distance_confidence and latent_published.
    """
    chosen = (scores["depth"] == "1") & (scores["metric"] != NOT_IN_PAPER)
    cells = by_metric(scores[chosen], [*GROUP, "model", "latent"])
    metrics, rows = metric_columns(cells), []
    for prior in metrics:
        if prior in NOT_PRIORS:
            continue
        for key, group in cells.groupby([*GROUP, "model"]):
            row = dict(zip([*GROUP, "model"], key, strict=True)) | {"prior": prior}
            finite = group[group[prior].notna()].sort_values([prior, "latent"])
            if finite.empty:
                rows.append(row | {"seeds": 0, "status": "diverged"})
                continue
            best = finite.iloc[0]
            value = {"latent": best["latent"], "frechet_distance": best[prior], **best[metrics]}
            spread = {"frechet_distance_sd": best[f"{prior}_sd"]} if f"{prior}_sd" in cells else {}
            rows.append(row | value | {"seeds": best["seeds"], "status": "ok"} | spread)
    columns = [*GROUP, "model", "prior", "latent", "frechet_distance", *metrics, "seeds", "status"]
    columns += ["frechet_distance_sd"] * any("frechet_distance_sd" in row for row in rows)
    floats = dict.fromkeys(["frechet_distance", *metrics], "float64")
    table = pd.DataFrame(rows, columns=columns).astype({"latent": "Int64", **floats})
    if comparable(table).any():
        table = add_published_best(table, published)
    return sort_table(table)


def add_published_best(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """``table`` of ``table3`` with the lowest value that the paper's Table 3 has for the same row."""
    keys = ["dataset", "filters", "model", "prior"]
    best = published[published["source"] == "Table 3"].rename(columns={"metric": "prior"})
    best = best.sort_values(["fid", "latent"]).drop_duplicates(keys)[[*keys, "latent", "fid", "confidence"]]
    merged = table.merge(best, on=keys, how="left", suffixes=("", "_published"))
    merged.loc[~comparable(merged), ["latent_published", "fid", "confidence"]] = None
    return table.assign(
        frechet_distance_published=merged["fid"],
        frechet_distance_difference=merged["frechet_distance"] - merged["fid"],
        frechet_distance_confidence=merged["confidence"],
        latent_published=merged["latent_published"].astype("Int64"),
    )


def lowest(table: pd.DataFrame, columns: list[str] | None = None, within: list[str] = GROUP) -> pd.DataFrame:
    """A mask of the table's shape: the lowest value of each of ``columns`` among the rows that agree in ``within``.

    By default for Table 2: every metric, for each dataset, extractor and width. Rows that the paper cites have no
    value of ours, so none of them is marked.
    """
    columns = metric_columns(table) if columns is None else columns
    mask = pd.DataFrame(False, index=table.index, columns=table.columns)
    for column in columns:
        values = pd.to_numeric(table[column])
        mask[column] = values.notna() & (values == values.groupby([table[name] for name in within]).transform("min"))
    return mask


def lowest_of_table3(table: pd.DataFrame) -> pd.DataFrame:
    """The mask of ``lowest`` for Table 3: the best model for each width and prior."""
    return lowest(table, ["frechet_distance"], [*GROUP, "prior"])


def by_cell(scores: pd.DataFrame) -> pd.DataFrame:
    """All scores for people: a row a cell and a column a metric."""
    index = ["dataset", "setting", "extractor", "model", "filters", "depth", "latent", "seed"]
    return by_metric(scores, index).drop(columns="seeds")
