"""The tables of scores: all scores, and Tables 2 and 3 of the paper.

Scores are one long table with a row for each cell, extractor, comparison and measure. Columns: dataset, model, filters,
depth, latent, seed, setting ("paper" or "own"), steps and precision (see ``paper_values.with_setting``), extractor,
extractor_accuracy, extractor_chance, comparison, measure, value and error (NaN unless status is "ok"; many measures
have no error), images, reference_images and status ("ok" or "diverged"). ``merge_published`` adds published,
difference, published_source and published_confidence. Tables 2 and 3, figures and claims use the measure "frechet"
only. Images made elsewhere have rows too (`evidence.external_rows`), of which the functions here know nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from autoencoders.config.grid import CELL_KEYS, EXTERNAL, NOT_PRIORS, TEST_IMAGES, tested_datasets
from autoencoders.evidence.display_names import comparison_order, model_order
from autoencoders.evidence.external_rows import IMAGES
from autoencoders.evidence.measure_texts import FRECHET, measure_text
from autoencoders.evidence.paper_values import CITED, comparable, with_setting
from autoencoders.evidence.seed_statistics import half_width
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import read_json
from autoencoders.jobs.parquet_tables import read_parquet

CELL = list(CELL_KEYS)
GROUP = ["dataset", "setting", "extractor", "filters"]
# Only in the table of all scores: the paper's tables have no such column.
NOT_IN_PAPER = "interpolation"


def read_scores(path: str | Path, config: Mapping) -> pd.DataFrame:
    """The scores in a cell's folder, with the setting by its cell.json and the resolved config."""
    scores = read_parquet(path)
    if "measure" not in scores:
        raise UserError(
            f"{path} has the columns of version 0.9, which are no longer supported. Add --forcerun reference to your "
            "command to compute all scores again. Nothing is trained, encoded or fitted for this."
        )
    return with_setting(scores, read_json(Path(path).parents[1] / "cell.json"), config)


def collect_scores(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """All cells' score tables as one long table, sorted."""
    scores = pd.concat(frames, ignore_index=True).astype({"depth": str})
    return scores.sort_values(
        [*CELL, "extractor", "comparison", "measure"],
        key=lambda column: column.map(comparison_order) if column.name == "comparison" else column,
        ignore_index=True,
    )


def of_measure(scores: pd.DataFrame, measure: str = FRECHET) -> pd.DataFrame:
    return scores[scores["measure"] == measure]


def on_test_images(scores: pd.DataFrame, config: Mapping) -> pd.DataFrame:
    """Scores without those of validation datasets of the resolved config, which no other table shows than that of all
    scores and that of tuning.
    """
    return scores[scores["dataset"].isin(tested_datasets(config))]


def table2(
    scores: pd.DataFrame, published: pd.DataFrame, comparison_latent: Mapping[str, int], measure: str = FRECHET
) -> pd.DataFrame:
    """Table 2 of the paper: every model at depth 1 and its dataset's comparison latent size, as means over seeds.

    Of a ``measure`` other than the Fréchet distance, the paper has no values.

    One row for each dataset, extractor, filters and model. Columns: latent, source ("ours" or "cited"), one for each
    comparison, seeds (how many did not diverge), status ("ok", "partly diverged" or "diverged") and, with several
    seeds, <comparison>_sd. If any row is ``comparable`` with the paper, also <comparison>_published,
    <comparison>_difference (ours minus published) and <comparison>_confidence: of methods that the paper cites, what it
    cites (``add_cited``).
    """
    scores = of_measure(scores, measure)
    at_comparison = scores["latent"] == scores["dataset"].map(comparison_latent)
    chosen = at_comparison & (scores["depth"] == "1") & (scores["comparison"] != NOT_IN_PAPER)
    table = by_comparison(scores[chosen], [*GROUP, "model", "latent"])
    table.insert(table.columns.get_loc("latent") + 1, "source", "ours")
    table = add_cited(table, published) if measure == FRECHET else table
    return sort_table(table, [*GROUP, "source", "model"])


def by_comparison(scores: pd.DataFrame, index: list[str]) -> pd.DataFrame:
    """One row for each value of the columns ``index``, one column per comparison: the mean over seeds that are "ok".

    Further columns: seeds and status. If any row has several such seeds, <comparison>_sd, their sample standard
    deviation (n - 1). If any row is ``comparable``, <comparison>_published, <comparison>_difference (the mean minus the
    published value) and <comparison>_confidence. ``scores`` contain one measure.
    """
    if scores.empty:
        return pd.DataFrame(columns=[*index, "seeds", "status"])
    ok = scores["status"] == "ok"
    scores = scores.assign(value=scores["value"].where(ok), finished=scores["seed"].where(ok))
    cells = scores.groupby([*index, "comparison"])
    names = sorted(scores["comparison"].unique(), key=comparison_order)
    means = cells["value"].mean().unstack("comparison")[names]
    seeds = scores.groupby(index)["finished"].nunique().rename("seeds")
    status = ok.groupby([scores[name] for name in index]).agg(describe_status).rename("status")
    parts = [means, seeds, status]
    if seeds.max() > 1:
        parts.append(cells["value"].std().unstack("comparison")[names].add_suffix("_sd"))
    if comparable(scores).any() and (scores["measure"] == FRECHET).all():
        published = cells["published"].first().unstack("comparison")[names]
        confidence = cells["published_confidence"].first().unstack("comparison")[names]
        parts += [published.add_suffix("_published"), (means - published).add_suffix("_difference")]
        parts.append(confidence.add_suffix("_confidence"))
    return pd.concat(parts, axis=1).rename_axis(columns=None).reset_index()


def describe_status(ok: pd.Series) -> str:
    return "ok" if ok.all() else "partly diverged" if ok.any() else "diverged"


def comparison_columns(table: pd.DataFrame) -> list[str]:
    """The comparisons of a table of ``by_comparison``: the columns before seeds that do not identify a row."""
    identity = {*CELL, "setting", "extractor", "source", EXTERNAL, IMAGES}
    columns = list(table.columns[: table.columns.get_loc("seeds")])
    return [name for name in columns if name not in identity]


def add_cited(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """``table`` of ``table2`` with the results of others that the paper cites: beside ours if the method was trained
    here with that network, and otherwise in a row of their own.
    """
    cited = cited_rows(table, published)
    if cited.empty:
        return table
    place = ["dataset", "filters", "model", "latent"]
    trained = table[comparable(table)].reset_index().merge(cited, on=place, suffixes=("", "_cited")).set_index("index")
    for name in (column for column in cited if column.endswith(("_published", "_confidence"))):
        table.loc[trained.index, name] = trained[f"{name}_cited"]
        if name.endswith("_published"):
            comparison = name.removesuffix("_published")
            table.loc[trained.index, f"{comparison}_difference"] = trained[comparison] - trained[f"{name}_cited"]
    of_trained = pd.MultiIndex.from_frame(cited[place]).isin(pd.MultiIndex.from_frame(trained[place]))
    others = cited[~of_trained]
    # Int64: a cited row has no number of seeds. Concatenating an empty table would change the columns' types.
    return pd.concat([table.astype({"seeds": "Int64"}), others], ignore_index=True) if len(others) else table


def cited_rows(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """The results of others that the paper's Table 2 cites, for those datasets of ``table`` that are comparable.

    Their values are in the columns <comparison>_published, since none of them is ours.
    """
    comparisons = comparison_columns(table)
    datasets = table.loc[comparable(table), "dataset"].unique()
    rows = published[
        published["model"].isin(CITED)
        & (published["source"] == "Table 2")
        & published["dataset"].isin(datasets)
        & published["comparison"].isin(comparisons)
    ]
    if rows.empty:
        return pd.DataFrame()
    values = rows.set_index(["dataset", "filters", "model", "latent", "comparison"])[["fid", "confidence"]].unstack()
    kinds = {"fid": "published", "confidence": "confidence"}
    values.columns = [f"{comparison}_{kinds[kind]}" for kind, comparison in values.columns]
    return values.reset_index().assign(
        setting="paper",
        extractor="inception",
        source="cited",
        seeds=pd.array([pd.NA] * len(values), "Int64"),
        status="ok",
    )


def sort_table(table: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """The rows by the columns ``order``: ours before cited, and models and priors in the paper's order."""
    keys = {
        # "ours" sorts after "cited"
        "source": lambda column: column != "ours",
        "model": lambda column: column.map(model_order),
        "prior": lambda column: column.map(comparison_order),
    }
    return table.sort_values(
        list(order), key=lambda column: keys.get(column.name, lambda same: same)(column), ignore_index=True
    )


def table3(scores: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Table 3 of the paper: the best latent size in our grid of every width, model and prior at depth 1.

    One row for each dataset, extractor, model, filters and prior, in this order: latent (Int64), the best size
    (``best_latent``); that frechet_distance; every comparison and seeds at this size; status, "diverged" if no cell has
    a value; and, with several seeds, frechet_distance_sd. If any row is ``comparable`` with the paper, also
    frechet_distance_published, the lowest value in the paper's Table 3, frechet_distance_difference (ours minus
    published), frechet_distance_confidence and latent_published.
    """
    scores = of_measure(scores)
    chosen_scores = scores[(scores["depth"] == "1") & (scores["comparison"] != NOT_IN_PAPER)]
    cells = by_comparison(chosen_scores, [*GROUP, "model", "latent"])
    comparisons, rows = comparison_columns(cells), []
    for prior in comparisons:
        if prior in NOT_PRIORS:
            continue
        for key, group in cells.groupby([*GROUP, "model"]):
            row = dict(zip([*GROUP, "model"], key, strict=True)) | {"prior": prior}
            of_row = chosen_scores[(chosen_scores[[*GROUP, "model"]] == list(key)).all(axis=1)]
            of_prior = of_row[of_row["comparison"] == prior]
            if of_prior.empty:
                continue  # Another model's native prior.
            latent = best_latent(of_prior)
            if latent is None:
                rows.append(row | {"seeds": 0, "status": "diverged"})
                continue
            chosen = group[group["latent"] == latent].iloc[0]
            value = {"latent": chosen["latent"], "frechet_distance": chosen[prior], **chosen[comparisons]}
            spread = {"frechet_distance_sd": chosen[f"{prior}_sd"]} if f"{prior}_sd" in cells else {}
            rows.append(row | value | {"seeds": chosen["seeds"], "status": "ok"} | spread)
    # All rows of a model are together.
    keys = ["dataset", "setting", "extractor", "model", "filters", "prior"]
    columns = [*keys, "latent", "frechet_distance", *comparisons, "seeds", "status"]
    columns += ["frechet_distance_sd"] * any("frechet_distance_sd" in row for row in rows)
    floats = dict.fromkeys(["frechet_distance", *comparisons], "float64")
    table = pd.DataFrame(rows, columns=columns).astype({"latent": "Int64", **floats})
    if comparable(table).any():
        table = add_published_best(table, published)
    return sort_table(table, keys)


def best_latent(scores: pd.DataFrame) -> int | None:
    """The latent size with the lowest mean over those seeds that have the most sizes (the smallest such size), for the
    scores of one network and prior; None if no seed finished.

    More seeds at one size than at the others would give it another chance, or take one away.
    """
    finished = scores[scores["status"] == "ok"]
    if finished.empty:
        return None
    by_seed = finished.pivot(index="latent", columns="seed", values="value").sort_index()
    sizes = by_seed.notna().sum()
    return int(by_seed.loc[:, sizes == sizes.max()].mean(axis=1).idxmin())


def add_published_best(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """``table`` of ``table3`` with the lowest value in the paper's Table 3 for the same row."""
    keys = ["dataset", "filters", "model", "prior"]
    found = published[published["source"] == "Table 3"].rename(columns={"comparison": "prior"})
    found = found.sort_values(["fid", "latent"]).drop_duplicates(keys)[[*keys, "latent", "fid", "confidence"]]
    merged = table.merge(found, on=keys, how="left", suffixes=("", "_published"))
    merged.loc[~comparable(merged), ["latent_published", "fid", "confidence"]] = None
    return table.assign(
        frechet_distance_published=merged["fid"],
        frechet_distance_difference=merged["frechet_distance"] - merged["fid"],
        frechet_distance_confidence=merged["confidence"],
        latent_published=merged["latent_published"].astype("Int64"),
    )


def best(
    table: pd.DataFrame, columns: list[str] | None = None, within: list[str] = GROUP, measure: str = FRECHET
) -> pd.DataFrame:
    """A mask of the table's shape: the best mean of each of ``columns`` among rows with the same ``within``, the lowest
    or the highest by the ``measure``; none of a measure of which this is unknown.

    If any of these rows has several seeds, it is marked only if its 95 % interval over seeds (mean ± t · s / √n)
    overlaps no other row's: a single seed has no interval, and overlaps all. The defaults suit Table 2: every
    comparison, for each dataset, extractor and width. Cited rows are never marked, since they have no value of ours.
    """
    better = measure_text(measure).better
    columns = [name for name in comparison_columns(table) if name != TEST_IMAGES] if columns is None else columns
    mask = pd.DataFrame(False, index=table.index, columns=table.columns)
    for column in columns if better else []:
        for _, rows in table.dropna(subset=column).groupby(within):
            mask.loc[rows.index, column] = best_rows(rows, column, sign=-1 if better == "higher" else 1)
    return mask


def best_rows(rows: pd.DataFrame, column: str, sign: int) -> pd.Series:
    """Which of the rows of one group are marked: those of the lowest value times ``sign``."""
    values, seeds = sign * rows[column].astype(float), rows["seeds"]
    first = values == values.min()
    if len(rows) == 1 or seeds.max() == 1:
        return first
    widths = pd.Series(
        [half_width(deviation, count) for deviation, count in zip(rows[f"{column}_sd"], seeds, strict=True)],
        rows.index,
    )
    first_end, other_ends = (values + widths)[first].max(), (values - widths)[~first].min()
    return first & (first.sum() == 1) & (first_end < other_ends)


def best_of_table3(table: pd.DataFrame) -> pd.DataFrame:
    """The mask of ``best`` for Table 3: the best model for each width and prior."""
    return best(table, ["frechet_distance"], [*GROUP, "prior"])


def by_cell(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of one measure for people: a row per cell, a column per comparison and, if the measure has errors,
    <comparison>_error.
    """
    index = ["dataset", "setting", "extractor", "model", "filters", "depth", "latent", "seed"]
    table = by_comparison(scores, index).drop(columns="seeds")
    if scores["error"].isna().all():
        return table
    errors = scores.set_index([*index, "comparison"])["error"].unstack("comparison").add_suffix("_error")
    return table.merge(errors.reset_index(), on=index)
