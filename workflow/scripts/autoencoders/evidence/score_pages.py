"""The tables of ``evidence.score_tables`` for people, with a section for each dataset and extractor."""

from collections.abc import Iterator, Mapping

import pandas as pd

from autoencoders.config.grid import EXTERNAL, TEST_IMAGES
from autoencoders.evidence.display_names import COMPARISONS, comparison_label, dataset_label, model_label
from autoencoders.evidence.external_rows import (
    IMAGES,
    add_external,
    external_label,
    external_text,
    of_cells,
    of_external,
    without_empty,
)
from autoencoders.evidence.measure_texts import FRECHET, measure_text
from autoencoders.evidence.paper_values import CITED, PRECISION, comparable
from autoencoders.evidence.score_tables import best, best_of_table3, by_cell, of_measure
from autoencoders.evidence.short_trainings import short_training_note
from autoencoders.evidence.table_files import DIVERGED, NO_VALUE, Section, decimals, rounded, significant

EMPTY = "No cell belongs in this table. It shows depth 1; Table 2 shows each dataset's comparison_latent only."
# The columns that a section's heading gives, and those that are merged into others.
NOT_SHOWN = ["dataset", "setting", "extractor", "source", "untuned", IMAGES]
FOLDED = ("_sd", "_error", "_published", "_difference", "_confidence")
UNTUNED = " (untuned)"
HEADERS = {"latent": "Latent units", **COMPARISONS, EXTERNAL: "External", "native_prior": "Native prior"}


def table2_sections(
    table: pd.DataFrame, scores: pd.DataFrame, published: pd.DataFrame, noise: pd.DataFrame, measure: str = FRECHET
) -> Iterator[Section]:
    """``table`` of ``evidence.score_tables.table2`` with the columns of ``evidence.methods``, computed from ``scores``.

    The ``noise`` of drawing again is known of the Fréchet distance alone.
    """
    legend = "Depth 1, at the dataset's comparison latent size."
    if "native_prior" in table:
        legend += " Native prior: the one that the method is made for."
    legend += untuned_legend(table)
    what = {"published": published, "noise": noise if measure == FRECHET else None}
    if better := measure_text(measure).better:
        what["bold_is"] = f"{'lowest' if better == 'lower' else 'highest'} value for each width"
    bold = best(table, measure=measure)
    for prior in set(table.get("native_prior", [])) & set(table):
        # Where it runs for no other model, its values have no rivals.
        bold[prior] &= not (table.loc[table[prior].notna(), "native_prior"] == prior).all()
    return score_sections(in_units(table, measure), scores, bold, legend, measure, **what)


def table3_sections(
    table: pd.DataFrame, scores: pd.DataFrame, published: pd.DataFrame, noise: pd.DataFrame
) -> Iterator[Section]:
    """``table`` of ``evidence.score_tables.table3``, computed from ``scores``."""
    legend = (
        "Depth 1 only. Each row shows the latent size with the lowest mean score (first score column) of those that "
        "ran, by the seeds that ran with the most sizes. Only that score has its ± over seeds. A lowest score was "
        "chosen from many, which flatters it."
    ) + untuned_legend(table)
    what = {"bold_is": "lowest model for each width and prior", "published": published, "noise": noise}
    return score_sections(table, scores, best_of_table3(table), legend, **what)


def untuned_legend(table: pd.DataFrame) -> str:
    """What the mark of models with untuned weights (``evidence.methods.with_untuned``) means; "" if none has it."""
    marked = "untuned" in table and table["untuned"].any()
    return f" {UNTUNED.strip()}: with weights that were not chosen on this dataset." if marked else ""


def bold_text(rows: pd.DataFrame, what: str) -> str:
    """Which numbers of a section are bold (`score_tables.best`): ``what`` begins with "lowest" or "highest"."""
    if rows["seeds"].max() > 1:
        return (
            f"Bold: our {what}, if its 95 % interval over seeds (mean ± t · s / √n) overlaps no other's there. "
            f"One seed has no interval; of one run each, the {what.split()[0]} is bold."
        )
    return f"One run: bold is our {what}, and another seed may change it."


def in_units(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """A table of scores of one measure in the units that they are shown in."""
    factor = measure_text(measure).factor
    return table if factor == 1 else table.assign(**factor * table.select_dtypes("float"))


def all_scores_sections(scores: pd.DataFrame) -> Iterator[Section]:
    """All scores with ``merge_published`` and ``with_external``: a row per cell and for each of the images made
    elsewhere, a column per comparison, and sections for every measure.
    """
    for measure in sorted(scores["measure"].unique(), key=lambda name: (name != FRECHET, name)):
        rows = of_measure(scores, measure)
        table = in_units(add_external(by_cell(of_cells(rows)), of_external(rows)), measure)
        yield from score_sections(table, of_cells(scores), bold=best(table, columns=[]), measure=measure)


def score_sections(
    table: pd.DataFrame,
    scores: pd.DataFrame,
    bold: pd.DataFrame,
    legend: str = "",
    measure: str = FRECHET,
    bold_is: str = "",
    published: pd.DataFrame | None = None,
    noise: pd.DataFrame | None = None,
) -> Iterator[Section]:
    """``scores`` are those of cells; ``bold`` is a mask of ``table``'s shape; ``legend`` explains the rows; ``bold_is``
    says what is bold. With ``published`` (``read_published``) the paper's doubtful values are explained; with ``noise``
    (``redraw_noise``), that of drawing samples again is given.
    """
    if table.empty:
        yield Section("No rows", EMPTY, pd.DataFrame())
    for (dataset, extractor), rows in table.groupby(["dataset", "extractor"]):
        rows = without_empty(rows)
        shown = (
            (scores["dataset"] == dataset)
            & (scores["extractor"] == extractor)
            & (scores["measure"] == measure)
            & scores["comparison"].isin(rows.columns)
        )
        compared = scores[shown]
        texts = [
            introduction(rows, extractor, measure),
            what_was_compared(compared),
            short_training_note(compared["steps"]),
            "" if noise is None else redraw_text(noise, dataset, extractor),
            legend,
            external_text(rows, compared, measure),
            bold_text(rows, bold_is) if bold_is and rows["seeds"].notna().any() else "",
            explanation_of_published(rows, compared),
        ]
        text = " ".join(filter(None, texts))
        if published is not None:
            text = "\n".join([text, *notes(rows, published)])
        heading = f"{dataset_label(dataset)}, {extractor}" + f", {measure}" * (measure != FRECHET)
        yield Section(heading, text, row_texts(rows, bold.loc[rows.index], extractor))


def introduction(rows: pd.DataFrame, extractor: str, measure: str) -> str:
    """What the numbers mean."""
    what = "FID (pytorch-fid's Inception); lower is better"
    if measure != FRECHET:
        text = measure_text(measure).explanation
        what = f"In {extractor} features: {text[0].lower()}{text[1:]}"
    elif extractor != "inception":
        what = f"Fréchet distance in {extractor} features (not FID; not comparable with the paper); lower is better"
    against = ""
    if "train_recon_vs_train" in rows and measure_text(measure).against == "test images":
        label = comparison_label("train_recon_vs_train")
        against = f" {label} compares with the training images, every other column with the test images."
    spread = rows.filter(regex="_sd$").notna().any(axis=None)
    means = " Means over seeds ± their sample standard deviation." if spread else ""
    baseline = " Test images: the value of the test images themselves." if TEST_IMAGES in rows else ""
    midpoints = f" {comparison_label('interpolation')}: images decoded halfway between the codes of two test images."
    return f"{what}.{means}{against}{baseline}{midpoints if 'interpolation' in rows else ''}"


def what_was_compared(scores: pd.DataFrame) -> str:
    """The numbers of images, on which a Fréchet distance depends, and the accuracy of the classifier for features."""
    finished = scores[scores["status"] == "ok"]
    if finished.empty:
        return ""
    comparisons = finished.groupby("comparison", sort=False)[["images", "reference_images"]].agg(number_range)
    numbers = comparisons.groupby(["images", "reference_images"], sort=False).groups
    counts = [
        (", ".join(map(comparison_label, names)), f"{images} images with {references}")
        for (images, references), names in numbers.items()
    ]
    several = len(counts) > 1
    text = (
        "; ".join(f"{names}: {count}" if several else f"Every score compares {count}" for names, count in counts) + "."
    )
    accuracy, chance = finished[["extractor_accuracy", "extractor_chance"]].min()
    if pd.isna(accuracy):
        return (
            f"{text} The classifier's test accuracy is unknown." if "classifier" in set(finished["extractor"]) else text
        )
    text += (
        f" The classifier's test accuracy is {accuracy:.1%} (always guessing the most frequent class: {chance:.1%})."
    )
    return text if not accuracy <= chance else f"{text} It is no better than guessing: these scores rank nothing."


def number_range(numbers: pd.Series) -> str:
    """10,000, or 500 to 10,000."""
    return " to ".join(f"{number:,}" for number in sorted({numbers.min(), numbers.max()}))


def explanation_of_published(rows: pd.DataFrame, scores: pd.DataFrame) -> str:
    if not rows.filter(regex="_published$").notna().any(axis=None):
        return ""
    what = "lowest value in the paper's Table 3, which lists few latent sizes" if "prior" in rows else "paper's value"
    cited = (
        "Of methods that it cites, the value that it cites: of other code, another schedule and a squared error. "
        if rows["model"].isin(CITED).any()
        else ""
    )
    return (
        f'Columns "paper": the {what} as printed, with a ? if it is doubtful, and (ours minus the paper\'s). {cited}'
        f"{precision_text(scores[comparable(scores)])}"
    )


def precision_text(scores: pd.DataFrame) -> str:
    """The number formats that ours were trained in, beside the paper's."""
    formats = " and ".join(sorted(scores["precision"].unique()))
    return f"Ours were trained in {formats}, the paper's in float32 ({PRECISION})."


def redraw_text(noise: pd.DataFrame, dataset: str, extractor: str) -> str:
    """The noise of drawing samples again, by which no difference can be told."""
    found = noise[(noise["dataset"] == dataset) & (noise["extractor"] == extractor)].dropna(subset="sd_of_log")
    if found.empty:
        return ""
    by_prior = ", ".join(
        f"{comparison_label(row['comparison'])} {100 * row['sd_of_log']:.2g} %" for row in found.to_dict("records")
    )
    cell = found.iloc[0]
    return (
        f"Drawing the samples again changes a score by about {by_prior} (standard deviation over {cell['draws']} draws "
        f"from one cell: {model_label(cell['model'])}, {cell['filters']} filters, {cell['latent']} latent units); "
        "smaller differences are ties."
    )


def notes(rows: pd.DataFrame, published: pd.DataFrame) -> list[str]:
    """What ``published`` notes about the paper's values that stand in the rows of Table 2 or 3, each note once."""
    if not rows.filter(regex="_published$").notna().any(axis=None):
        return []
    table, latent = ("Table 3", "latent_published") if "prior" in rows else ("Table 2", "latent")
    shown = rows.rename(columns={latent: "shown"})[["dataset", "filters", "model", "shown"]].drop_duplicates()
    noted = published[(published["source"] == table) & published["note"].notna()]
    noted = noted.merge(shown, on=["dataset", "filters", "model"])
    noted = noted[noted["latent"] == noted["shown"]]
    found = {}
    for row in noted.to_dict("records"):
        model = model_label(row["model"]) + " (cited)" * (row["model"] in CITED)
        subject = f"{model}, {row['filters']} filters, {row['latent']} latent units"
        found.setdefault((subject, row["note"]), []).append(comparison_label(row["comparison"]))
    return [f"{subject} ({', '.join(columns)}): {note}." for (subject, note), columns in found.items()]


def row_texts(rows: pd.DataFrame, bold: pd.DataFrame, extractor: str) -> pd.DataFrame:
    """The rows as text under headers for people, with published values in separate columns beside ours.

    All scores have the same number of decimals: two, as most in the paper, or more if they are small.
    """
    headers = {**HEADERS, "frechet_distance": "FID" if extractor == "inception" else "FD"}
    ours = [name for name in rows.select_dtypes("float") if not name.endswith(FOLDED)]
    shown, places = {}, max(2, decimals(rows[ours].to_numpy().ravel(), digits=3))
    for name in rows.columns.drop(NOT_SHOWN, errors="ignore"):
        if name.endswith(FOLDED) or (name == "status" and (rows[name] == "ok").all()):
            continue
        # A user's own prior keeps its name.
        header = headers.get(name, name if pd.api.types.is_float_dtype(rows[name]) else name.capitalize())
        texts = column_texts(rows, name, places)
        shown[header] = [f"**{text}**" if mark else text for text, mark in zip(texts, bold[name], strict=True)]
        if f"{name}_published" in rows and rows[f"{name}_published"].notna().any():
            shown[f"{header}, paper"] = [published_text(row, name) for row in rows.to_dict("records")]
    return pd.DataFrame(shown)


def column_texts(rows: pd.DataFrame, name: str, places: int) -> list[str]:
    """A column as text, with so many decimals if it holds scores."""
    if name == "model":
        cited = rows["source"] == "cited" if "source" in rows else [False] * len(rows)
        images = rows[IMAGES] if IMAGES in rows else [pd.NA] * len(rows)
        untuned = rows["untuned"] if "untuned" in rows else [False] * len(rows)
        return [
            model_label(model) + " (cited)" * mark + UNTUNED * is_untuned
            if pd.isna(count)
            else external_label(model, count)
            for model, mark, is_untuned, count in zip(rows[name], cited, untuned, images, strict=True)
        ]
    if name in ("prior", "native_prior"):
        return [NO_VALUE if pd.isna(prior) else comparison_label(prior) for prior in rows[name]]
    if pd.api.types.is_float_dtype(rows[name]):
        beside = [f"{name}{ending}" for ending in ("_sd", "_error") if f"{name}{ending}" in rows]
        spread = rows[beside[0]] if beside else [float("nan")] * len(rows)
        # No network has images made elsewhere, whether it diverged or not.
        status = ["ok"] * len(rows) if name == EXTERNAL else rows["status"]
        return [value_text(*value, places) for value in zip(rows[name], status, spread, strict=True)]
    return rows[name].astype("string").fillna(NO_VALUE).tolist()


def value_text(value: float, status: str, spread: float, places: int) -> str:
    """82.49, or 82.49 ± 1.23 with its spread over seeds or the measure's error, with so many decimals."""
    if pd.isna(value):
        return DIVERGED if status == DIVERGED else NO_VALUE
    text = rounded(value, places)
    return text if pd.isna(spread) else f"{text} ± {rounded(spread, places)}"


def published_text(row: Mapping, name: str) -> str:
    """The paper's value: 82.49 (+1.23), 98.00? (-0.40) if it is doubtful, 80.80 if there is none of ours."""
    value = row[f"{name}_published"]
    if pd.isna(value):
        return NO_VALUE
    if name == "latent":
        return str(value)
    # The paper prints at most two decimals.
    text = min(significant(value), f"{value:.2f}", key=len)
    doubt = "?" * (row[f"{name}_confidence"] != "high")
    difference = row[f"{name}_difference"]
    return f"{text}{doubt}" + ("" if pd.isna(difference) else f" ({difference:+.2f})")
