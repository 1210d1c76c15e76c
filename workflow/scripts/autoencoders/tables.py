"""The tables: all scores in one, Table 2 and Table 3 of the paper, and their Markdown for people.

Scores are long tables, one row a cell, extractor and metric: dataset, model, filters, depth, latent, seed, setting
("paper" or "own", see ``autoencoders.published.setting``), extractor, metric, frechet_distance (NaN unless status is
"ok"), images, status ("ok" or "diverged"), and after ``merge_published`` published, published_source and
published_confidence.
"""

import html
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pandas as pd

from autoencoders.files import atomic, write_parquet
from autoencoders.labels import (
    CELL_KEYS,
    METRICS,
    RECONSTRUCTIONS,
    dataset_label,
    metric_label,
    metric_order,
    model_label,
    model_order,
)
from autoencoders.published import CITED, comparable

CELL = list(CELL_KEYS)
GROUP = ["dataset", "setting", "extractor", "filters"]
NO_VALUE = "–"
EMPTY = "No cell belongs in this table: it shows depth 1, and Table 2 each dataset's comparison_latent alone."
TEXT_COLUMNS = ("Model", "Prior", "Status")
HTML_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25em 0.9em; text-align: right; border-bottom: 1px solid #ddd; }
th { border-bottom: 2px solid #444; }
</style>
"""
HEADERS = {"frechet_distance": "FD", "latent": "Latent units", **METRICS}


def collect_scores(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all cells' score tables in one long table, sorted."""
    scores = pd.concat(frames, ignore_index=True).astype({"depth": str})
    return scores.sort_values(
        [*CELL, "extractor", "metric"],
        key=lambda column: column.map(metric_order) if column.name == "metric" else column,
        ignore_index=True,
    )


def select_cells(scores: pd.DataFrame, cells: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """The rows of those cells, each given as a dict with the keys ``CELL``."""
    wanted = pd.DataFrame([{**cell, "depth": str(cell["depth"])} for cell in cells], columns=CELL)
    return scores.merge(wanted.drop_duplicates(), on=CELL)


def table2(scores: pd.DataFrame, published: pd.DataFrame, comparison_latent: Mapping[str, int]) -> pd.DataFrame:
    """Table 2 of the paper: every model at depth 1 and its dataset's comparison latent size, means over seeds.

    One row a dataset, extractor, filters and model, with columns latent, source ("ours" or "cited"), a column a
    metric, seeds (how many did not diverge) and status ("ok", "partly diverged" or "diverged"). Where any row is
    ``comparable`` with the paper: <metric>_published and <metric>_confidence too, and the rows that the paper cites.
    """
    at_comparison = scores["latent"] == scores["dataset"].map(comparison_latent)
    table = by_metric(scores[at_comparison & (scores["depth"] == "1")], [*GROUP, "model", "latent"])
    table.insert(table.columns.get_loc("latent") + 1, "source", "ours")
    cited = cited_rows(table, published)
    # Int64: a cited row has no number of seeds. An empty table would change the types of the others' columns.
    table = pd.concat([table.astype({"seeds": "Int64"}), cited], ignore_index=True) if len(cited) else table
    return sort_table(table)


def by_metric(scores: pd.DataFrame, index: list[str]) -> pd.DataFrame:
    """One row for each value of the columns ``index``, one column a metric: the mean over the seeds that are "ok".

    Then seeds and status; and <metric>_published, <metric>_confidence where any row is ``comparable``.
    """
    if scores.empty:
        return pd.DataFrame(columns=[*index, "seeds", "status"])
    ok = scores["status"] == "ok"
    scores = scores.assign(frechet_distance=scores["frechet_distance"].where(ok), finished=scores["seed"].where(ok))
    cells = scores.groupby([*index, "metric"])
    names = sorted(scores["metric"].unique(), key=metric_order)
    parts = [cells["frechet_distance"].mean().unstack("metric")[names]]
    if comparable(scores).any():
        parts.append(cells["published"].first().unstack("metric")[names].add_suffix("_published"))
        parts.append(cells["published_confidence"].first().unstack("metric")[names].add_suffix("_confidence"))
    seeds = scores.groupby(index)["finished"].nunique().rename("seeds")
    status = ok.groupby([scores[name] for name in index]).agg(describe_status).rename("status")
    parts[1:1] = [seeds, status]
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
    are "ok" (the smaller one of equals), that frechet_distance, every metric at the same latent, seeds there, and
    status, "diverged" where no cell has a value. Where any row is ``comparable`` with the paper:
    frechet_distance_published, the lowest value in the paper's Table 3, frechet_distance_confidence and
    latent_published.
    """
    cells = by_metric(scores[scores["depth"] == "1"], [*GROUP, "model", "latent"])
    metrics, rows = metric_columns(cells), []
    for prior in metrics:
        if prior in RECONSTRUCTIONS:
            continue
        for key, group in cells.groupby([*GROUP, "model"]):
            row = dict(zip([*GROUP, "model"], key, strict=True)) | {"prior": prior}
            finite = group[group[prior].notna()].sort_values([prior, "latent"])
            if finite.empty:
                rows.append(row | {"seeds": 0, "status": "diverged"})
                continue
            best = finite.iloc[0]
            value = {"latent": best["latent"], "frechet_distance": best[prior], **best[metrics]}
            rows.append(row | value | {"seeds": best["seeds"], "status": "ok"})
    columns = [*GROUP, "model", "prior", "latent", "frechet_distance", *metrics, "seeds", "status"]
    floats = dict.fromkeys(["frechet_distance", *metrics], "float64")
    table = pd.DataFrame(rows, columns=columns).astype({"latent": "Int64", **floats})
    if comparable(table).any():
        table = add_published_best(table, published)
    return sort_table(table)


def add_published_best(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """``table`` of ``table3`` with the lowest value that the paper's Table 3 has for the same row."""
    keys = ["dataset", "filters", "model", "prior"]
    best = published[published["source"] == "Table 3"].rename(
        columns={
            "metric": "prior",
            "latent": "latent_published",
            "fid": "frechet_distance_published",
            "confidence": "frechet_distance_confidence",
        }
    )
    added = ["frechet_distance_published", "frechet_distance_confidence", "latent_published"]
    best = best.sort_values(["frechet_distance_published", "latent_published"]).drop_duplicates(keys)
    merged = table.merge(best[[*keys, *added]], on=keys, how="left").astype({"latent_published": "Int64"})
    merged.loc[~comparable(merged), added] = None
    return merged


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


def sections(table: pd.DataFrame, bold: pd.DataFrame | None = None) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """A heading, a line that says what the numbers are, and the texts of the rows, for every dataset and extractor.

    Published values stand in parentheses behind ours, those that are doubtful with a question mark. ``bold`` is a
    mask of the values between two asterisks.
    """
    for (dataset, extractor), rows in table.groupby(["dataset", "extractor"]):
        marks = None if bold is None else bold.loc[rows.index]
        cells = text_cells(rows.drop(columns=["dataset", "setting", "extractor"]), marks)
        cells = cells.rename(columns={"FD": "FID" if extractor == "inception" else "FD"})
        yield f"{dataset_label(dataset)}, {extractor}", introduction(rows, extractor, bold), cells


def to_markdown(table: pd.DataFrame, bold: pd.DataFrame | None = None) -> str:
    """The ``sections`` as Markdown."""
    texts = []
    for heading, what, cells in sections(table, bold):
        align = ["left" if name in TEXT_COLUMNS else "right" for name in cells]
        body = cells.to_markdown(index=False, disable_numparse=True, colalign=align)
        texts.append(f"## {heading}\n\n{what}\n\n{body}\n")
    return "\n".join(texts) or f"{EMPTY}\n"


def to_html(title: str, table: pd.DataFrame, bold: pd.DataFrame | None = None) -> str:
    """The ``sections`` as a page of its own."""
    texts = []
    for heading, what, cells in sections(table, bold):
        rows = cells.map(html.escape).replace(r"\*\*(.+?)\*\*", r"<b>\1</b>", regex=True)
        body = rows.to_html(index=False, escape=False, border=0)
        texts.append(f"<h2>{html.escape(heading)}</h2>\n<p>{html.escape(what)}</p>\n{body}\n")
    body = "".join(texts) or f"<p>{EMPTY}</p>\n"
    return f"<!doctype html>\n<meta charset='utf-8'>\n<title>{title}</title>\n{HTML_STYLE}<h1>{title}</h1>\n{body}"


def introduction(rows: pd.DataFrame, extractor: str, bold: pd.DataFrame | None) -> str:
    """What the numbers of a section are, and what its marks mean."""
    if extractor == "inception":
        sentences = ["FID (pytorch-fid's Inception); lower is better."]
    else:
        what = f"Fréchet distance in {extractor} features (not FID; not comparable with the paper)"
        sentences = [f"{what}; lower is better."]
    if bold is not None:
        sentences.append("Bold: the lowest of ours for each width.")
    if rows.filter(regex="_published$").notna().any(axis=None):
        sentences.append("In parentheses: the value that the paper prints; with a ? where it is doubtful.")
    return " ".join(sentences)


def text_cells(rows: pd.DataFrame, bold: pd.DataFrame | None) -> pd.DataFrame:
    """The text of every cell under names for people; published columns are folded into the columns they belong to."""
    shown = {}
    for name in rows:
        if name.endswith(("_published", "_confidence")) or name == "source":
            continue
        if name == "status" and (rows[name] == "ok").all():
            continue
        if name == "model":
            cited = rows["source"] == "cited" if "source" in rows else pd.Series(False, index=rows.index)
            shown["Model"] = [model_label(m) + " (cited)" * c for m, c in zip(rows[name], cited, strict=True)]
        elif name == "prior":
            shown["Prior"] = rows[name].map(metric_label)
        elif pd.api.types.is_float_dtype(rows[name]) or name == "latent":
            texts = [value_text(row, name) for row in rows.to_dict("records")]
            if bold is not None:
                texts = [f"**{t}**" if mark else t for t, mark in zip(texts, bold[name], strict=True)]
            texts = [t + published_text(row, name) for t, row in zip(texts, rows.to_dict("records"), strict=True)]
            shown[HEADERS.get(name, name)] = [text.strip() or NO_VALUE for text in texts]
        else:
            shown[HEADERS.get(name, name.capitalize())] = rows[name].astype("string").fillna(NO_VALUE)
    return pd.DataFrame(shown)


def value_text(row: Mapping, name: str) -> str:
    """Four significant digits, "diverged" where training diverged, nothing where there is no value."""
    value = row[name]
    if pd.isna(value):
        return "diverged" if row["status"] == "diverged" and name != "latent" else ""
    return str(int(value)) if name == "latent" else significant(value)


def published_text(row: Mapping, name: str) -> str:
    value = row.get(f"{name}_published")
    if pd.isna(value):
        return ""
    # The paper prints two decimals at most: a third would claim more than it does.
    text = str(int(value)) if name == "latent" else min(significant(value), f"{value:.2f}", key=len)
    doubt = row.get(f"{name}_confidence", "high") != "high"
    return f" ({text}{'?' * doubt})"


def significant(value: float, digits: int = 4) -> str:
    """``value`` with so many significant digits, never in powers of ten: 8.07 as 8.070, 12346 as 12350."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{digits}g}")
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{min(max(decimals, 0), digits)}f}"


def by_cell(scores: pd.DataFrame) -> pd.DataFrame:
    """All scores for people: a row a cell and a column a metric."""
    return by_metric(scores, ["dataset", "setting", "extractor", "model", "filters", "depth", "latent", "seed"]).drop(
        columns="seeds"
    )


def write_table(
    table: pd.DataFrame,
    title: str,
    paths: Mapping[str, str | Path],
    shown: pd.DataFrame | None = None,
    bold: pd.DataFrame | None = None,
) -> None:
    """The table for machines (parquet) and spreadsheets (CSV), and for people as Markdown and HTML.

    ``paths`` has the keys parquet, csv, md and html. People see ``shown`` where it is given, with ``bold`` marks.
    """
    shown = table if shown is None else shown
    write_parquet(paths["parquet"], table)
    with atomic(paths["csv"]) as temporary:
        table.to_csv(temporary, index=False)
    for key, text in (("md", to_markdown(shown, bold)), ("html", to_html(title, shown, bold))):
        with atomic(paths[key]) as temporary:
            temporary.write_text(text, encoding="utf-8")
