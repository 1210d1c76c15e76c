"""Whether larger encoders have more Gaussian codes (hypothesis 2 of the paper)."""

from collections.abc import Mapping
from itertools import cycle
from string import ascii_lowercase

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autoencoders.evidence.display_names import dataset_label
from autoencoders.evidence.short_trainings import short_training_note
from autoencoders.figures.line_looks import (
    GREY,
    OTHER_LINES,
    SOLID,
    Channel,
    Encoding,
    add_legend,
    channel,
    colour_entries,
    depth_order,
    heading,
    known_or_other,
    legend_height,
    line_entries,
)
from autoencoders.figures.model_looks import model_looks
from autoencoders.figures.page_style import WIDTH, add_note, wrapped
from autoencoders.figures.score_curves import (
    axes_width,
    draw_line,
    message_figure,
    ordered_datasets,
    seed_entries,
    styled,
)

# Column of the table -> axis label, and the value for Gaussian codes (in the limit of many codes).
STATISTICS = {
    "mardia_kurtosis_ratio": ("Mardia's kurtosis,\nratio to a Gaussian's", 1),
    "mean_abs_skewness": ("|skewness|,\nmean over units", 0),
    "mean_excess_kurtosis": ("excess kurtosis,\nmean over units", 0),
    "gap_per_unit": ("log-likelihood of GMM\n− MVG (nats per unit)", 0),
}
MODELS = Encoding("Model", ("model",), model_looks(()))
# In panels against the depth.
WIDTHS = Encoding("Filters", ("filters",), known_or_other({}, [SOLID, *OTHER_LINES]))


@styled
def latent_statistics_figure(table: pd.DataFrame, comparison_latent: Mapping[str, int]) -> Figure:
    """Statistics of the codes against the encoder's size: a row of panels per statistic, columns per dataset.

    ``table`` has a row per cell: dataset, model, filters, depth, latent, seed, status, steps (of its training) and the
    statistics. The figure shows the cells with the dataset's latent size in ``comparison_latent``: DAE and VAE of
    depth 1 against the width and, if a dataset has several depths, DAEs against the depth, one line per width. Lines
    are means over the seeds with status "ok", bands or bars their range. A note above says so if a cell was trained for
    too few steps.
    """
    at_comparison = table["latent"] == table["dataset"].map(comparison_latent)
    rows = table[at_comparison & ((table["model"] == "dae") | ((table["model"] == "vae") & (table["depth"] == "1")))]
    rows = rows.assign(gap_per_unit=rows["log_likelihood_gap"] / rows["latent"]).reset_index(drop=True)
    columns = [column for dataset in ordered_datasets(rows) for column in columns_of(rows[rows["dataset"] == dataset])]
    if not columns:
        return message_figure("no DAE or VAE of depth 1, nor DAEs of several depths, at a dataset's comparison_latent")
    by_depth = [shown for axis, shown in columns if axis == "depth"]
    models = channel(MODELS, rows)
    widths = channel(WIDTHS, pd.concat(by_depth) if by_depth else rows)
    connected = any(shown[axis].nunique() > 2 for axis, shown in columns)
    reference = [heading("Gaussian"), (Line2D([], [], color=GREY, linewidth=0.8), "its value")]
    entries = [*colour_entries(models), *seed_entries(rows, connected), *reference]
    if by_depth:
        entries += line_entries(widths, pd.concat(by_depth), connected)

    size = WIDTH, max(0.5 + 1.5 * len(STATISTICS), legend_height(entries))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(STATISTICS), len(columns), squeeze=False, sharex="col", sharey="row")
    letters = cycle(ascii_lowercase)
    for axes_row, (statistic, (name, gaussian)) in zip(grid, STATISTICS.items(), strict=True):
        for axes, (axis, shown) in zip(axes_row, columns, strict=True):
            axes.axhline(gaussian, color=GREY, linewidth=0.8, zorder=1)
            draw_statistic(axes, shown, statistic, axis, models, widths)
            axes.margins(y=0.15)
            axes.grid(axis="y")
            axes.set_axisbelow(True)
            title = f"({next(letters)}) {dataset_label(shown['dataset'].iloc[0])}"
            axes.set_title(wrapped(title, axes_width(len(columns))), loc="left")
        axes_row[0].set_ylabel(name)
    for axes, (axis, shown) in zip(grid[-1], columns, strict=True):
        places = ordered(shown, axis)
        axes.set_xticks(range(len(places)), places)
        axes.set_xlim(-0.4, len(places) - 0.6)
        held = {"filters": "depth 1", "depth": "DAE"}[axis]
        axes.set_xlabel(f"{axis}\n({held}, z = {comparison_latent[shown['dataset'].iloc[0]]})")
    sns.despine(figure)
    add_legend(figure, entries)
    add_note(figure, short_training_note(rows["steps"]))
    return figure


def columns_of(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The x axes of a dataset's panels, "filters" and "depth", each with the rows to show."""
    of_depth_1, deterministic = rows[rows["depth"] == "1"], rows[rows["model"] == "dae"]
    columns = [("filters", of_depth_1)] if len(of_depth_1) else []
    return [*columns, ("depth", deterministic)] if deterministic["depth"].nunique() > 1 else columns


def ordered(rows: pd.DataFrame, axis: str) -> list:
    return sorted(set(rows[axis]), key=depth_order if axis == "depth" else None)


def draw_statistic(axes: Axes, rows: pd.DataFrame, statistic: str, axis: str, models: Channel, widths: Channel) -> None:
    """Against the width, a line per model; against the depth, a line per width."""
    place = rows[axis].map({value: place for place, value in enumerate(ordered(rows, axis))})
    values = rows[statistic].where(rows["status"] == "ok")
    lines = list(rows.groupby(["model"] if axis == "filters" else ["model", "filters"]))
    for number, ((model, *filters), line) in enumerate(lines):
        # A little apart, so that points at the same place do not hide each other.
        shift = 0.12 * (number - (len(lines) - 1) / 2)
        look = widths.looks[tuple(filters)] if filters else SOLID
        name = "; ".join([models.names[(model,)], *map(str, filters)])
        draw_line(
            axes,
            values[line.index].groupby(place[line.index]),
            *models.looks[(model,)],
            *look,
            name,
            lambda x, by=shift: x + by,
        )
