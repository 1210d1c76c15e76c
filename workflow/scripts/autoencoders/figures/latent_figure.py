"""Whether larger encoders have more Gaussian codes (hypothesis 2 of the paper)."""

from collections.abc import Mapping
from string import ascii_lowercase

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autoencoders.evidence.display_names import dataset_label
from autoencoders.figures.line_looks import (
    GREY,
    Channel,
    Encoding,
    add_legend,
    channel,
    colour_entries,
    depth_order,
    heading,
    line_entries,
    width_looks,
)
from autoencoders.figures.score_curves import (
    LEGEND_WIDTH,
    PAGE_WIDTH,
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
MODEL_LINES = {("dae",): (":", "."), ("vae",): ("-", None)}
WIDTHS = Encoding("Filters", ("filters",), width_looks)
MODELS = Encoding("Model", ("model",), lambda keys: {key: MODEL_LINES[key] for key in keys})


@styled
def latent_statistics_figure(table: pd.DataFrame, comparison_latent: Mapping[str, int]) -> Figure:
    """Statistics of the codes against the encoder's size: a row of panels per statistic, columns per dataset.

    ``table`` has a row per cell: dataset, model, filters, depth, latent, seed, status and the statistics. The figure
    shows the cells with the dataset's latent size in ``comparison_latent``: DAE and VAE of depth 1 against the width
    and, if a dataset has several depths, DAEs against the depth. Lines are means over the seeds with status "ok", bands
    their range.
    """
    at_comparison = table["latent"] == table["dataset"].map(comparison_latent)
    rows = table[at_comparison & ((table["model"] == "dae") | ((table["model"] == "vae") & (table["depth"] == "1")))]
    rows = rows.assign(gap_per_unit=rows["log_likelihood_gap"] / rows["latent"]).reset_index(drop=True)
    columns = [column for dataset in ordered_datasets(rows) for column in columns_of(rows[rows["dataset"] == dataset])]
    if not columns:
        return message_figure("no DAE or VAE of depth 1, nor DAEs of several depths, at a dataset's comparison_latent")
    widths, models = channel(WIDTHS, rows), channel(MODELS, rows)

    size = min(PAGE_WIDTH, LEGEND_WIDTH + 0.6 + 2.2 * len(columns)), 0.3 + 1.6 * len(STATISTICS)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(STATISTICS), len(columns), squeeze=False, sharex="col", sharey="row")
    for axes_row, (statistic, (name, gaussian)) in zip(grid, STATISTICS.items(), strict=True):
        for axes, (axis, shown) in zip(axes_row, columns, strict=True):
            axes.axhline(gaussian, color=GREY, linewidth=0.8, zorder=1)
            draw_statistic(axes, shown, statistic, axis, widths, models)
            axes.grid(axis="y")
            axes.set_axisbelow(True)
        axes_row[0].set_ylabel(name)
    for axes, letter, (_, shown) in zip(grid[0], ascii_lowercase, columns, strict=False):
        dataset = shown["dataset"].iloc[0]
        axes.set_title(f"({letter}) {dataset_label(dataset)}, {comparison_latent[dataset]} units", loc="left")
    for axes, (axis, shown) in zip(grid[-1], columns, strict=True):
        places = ordered(shown, axis)
        axes.set_xticks(range(len(places)), places)
        axes.set_xlim(-0.4, len(places) - 0.6)
        axes.set_xlabel({"filters": "filters (depth 1)", "depth": "depth (DAE)"}[axis])
    sns.despine(figure)
    gaussian = [heading("Gaussian codes"), (Line2D([], [], color=GREY, linewidth=0.8), "their value")]
    add_legend(figure, [*colour_entries(widths), *line_entries(models), *seed_entries(rows), *gaussian])
    return figure


def columns_of(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The x axes of a dataset's panels, "filters" and "depth", each with the rows to show."""
    of_depth_1, deterministic = rows[rows["depth"] == "1"], rows[rows["model"] == "dae"]
    columns = [("filters", of_depth_1)] if len(of_depth_1) else []
    return [*columns, ("depth", deterministic)] if deterministic["depth"].nunique() > 1 else columns


def ordered(rows: pd.DataFrame, axis: str) -> list:
    return sorted(set(rows[axis]), key=depth_order if axis == "depth" else None)


def draw_statistic(axes: Axes, rows: pd.DataFrame, statistic: str, axis: str, widths: Channel, models: Channel) -> None:
    """Against the width, a line per model with markers coloured by width; against the depth, a line per width."""
    place = rows[axis].map({value: place for place, value in enumerate(ordered(rows, axis))})
    values = rows[statistic].where(rows["status"] == "ok")
    for (model, filters), line in rows.groupby(["model", "filters"]):
        style, glyph = models.looks[(model,)]
        seeds = values[line.index].groupby(place[line.index])
        draw_line(axes, seeds, *widths.looks[(filters,)], style, glyph, f"{filters}; {models.names[(model,)]}")
    if axis == "filters":
        for model, line in rows.groupby("model"):
            means = values[line.index].groupby(place[line.index]).mean()
            style, _ = models.looks[(model,)]
            axes.plot(means.index, means, color=GREY, linestyle=style, linewidth=1.2, zorder=1.5, label=model)
