"""Learning curves: the loss of every epoch, one line per cell."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from autoencoders.config.grid import CELL_KEYS
from autoencoders.evidence.cell_tables import at_nearest_latent
from autoencoders.evidence.display_names import model_label, model_order
from autoencoders.evidence.short_trainings import short_training_note, steps_of
from autoencoders.evidence.table_files import DIVERGED
from autoencoders.figures.line_looks import (
    GREY,
    Channel,
    Encoding,
    add_legend,
    channel,
    colour_entries,
    constant_entries,
    heading,
    legend_height,
    line_entries,
    marker_size,
    symbol,
    width_looks,
)
from autoencoders.figures.page_style import add_note
from autoencoders.figures.paper_figures import DEPTH
from autoencoders.figures.score_curves import LEGEND_WIDTH, PAGE_WIDTH, styled

CELL = list(CELL_KEYS)
WIDTHS = Encoding("Filters", ("filters",), width_looks)
# Column of history.parquet -> axis label.
LOSSES = {"reconstruction_loss": "reconstruction loss", "kl": "KL divergence"}
COLUMNS = 3
PANEL_HEIGHT = 1.75
PALE = {"linewidth": 0.6, "alpha": 0.3}
DIVERGED_MARK = {"marker": "x", "markersize": 5, "markeredgewidth": 1.2}


def learning_curves(cells: Iterable[tuple[Mapping, pd.DataFrame]]) -> pd.DataFrame:
    """The contents of cell.json and history.parquet of several cells, as one table with a row per epoch.

    Columns: the cell's keys, status, variational, steps (optimiser steps of its training), epoch (from 0),
    learning_rate and ``LOSSES``.
    """
    shown = ["epoch", "learning_rate", *LOSSES]
    parts = [
        history[shown].assign(
            **record["cell"],
            status=record["status"],
            variational=record["network"]["variational"],
            steps=steps_of(record),
        )
        for record, history in cells
    ]
    return pd.concat(parts, ignore_index=True).astype({"depth": str})


@styled
def learning_curves_figure(curves: pd.DataFrame, comparison_latent: int) -> Figure:
    """A panel per model with the reconstruction loss of every cell, and one per VAE with its KL divergence.

    ``curves`` is a table from ``learning_curves`` for one dataset. Cells with the latent size nearest to
    ``comparison_latent`` are highlighted. A note below says so if a cell was trained for too few steps.
    """
    curves = curves.assign(compared=at_nearest_latent(curves, comparison_latent))
    models = sorted(curves["model"].unique(), key=model_order)
    variational = set(curves.loc[curves["variational"], "model"])
    panels = [(model, "reconstruction_loss") for model in models]
    panels += [(model, "kl") for model in models if model in variational]
    widths, depths = channel(WIDTHS, curves), channel(DEPTH, curves)
    entries = legend(curves, widths, depths, comparison_latent)

    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    width = LEGEND_WIDTH + (PAGE_WIDTH - LEGEND_WIDTH) * columns / COLUMNS
    size = width, max(0.3 + PANEL_HEIGHT * rows, legend_height(entries))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True).flatten()
    for axes, (model, loss) in zip(grid, panels, strict=False):
        low, high = limits(curves[curves["variational"]] if loss == "kl" else curves, loss)
        draw(axes, curves[curves["model"] == model], loss, high, widths, depths)
        axes.set_title(model_label(model), loc="left")
        axes.set_ylabel(LOSSES[loss])
        axes.set_ylim(low, high)
    for axes in grid[len(panels) :]:
        axes.remove()
    for axes in figure.axes[-columns:]:
        axes.set_xlabel("epoch")
        axes.tick_params(labelbottom=True)
    figure.axes[0].xaxis.set_major_locator(MaxNLocator(5, integer=True))
    sns.despine(figure)
    add_legend(figure, entries)
    add_note(figure, short_training_note(curves["steps"]))
    return figure


def draw(axes: Axes, curves: pd.DataFrame, loss: str, high: float, widths: Channel, depths: Channel) -> None:
    """A line per cell. Those ``compared`` are bold and end in a marker that shows width and depth; the others are pale.

    The line of a diverged cell ends in a cross: at the top of the axis if its last finite loss is above ``high``.
    """
    for epoch in rate_changes(curves):
        axes.axvline(epoch, color="0.85", linewidth=0.6, zorder=0)
    for keys, cell in curves.groupby(CELL):
        keys = dict(zip(CELL, keys, strict=True))
        colour, marker = widths.looks[(keys["filters"],)]
        style, glyph = depths.looks[(keys["depth"],)]
        finite = cell[np.isfinite(cell[loss])]
        if finite.empty:
            continue
        epochs, losses = finite["epoch"] + 1, finite[loss]
        end = [epochs.iloc[-1]], [losses.iloc[-1]]
        if (cell["status"] == DIVERGED).any():
            axes.plot(
                epochs.iloc[-1], min(losses.iloc[-1], high), color=colour, clip_on=False, zorder=4, **DIVERGED_MARK
            )
        if not cell["compared"].all():
            axes.plot(epochs, losses, color=colour, linestyle=style, **PALE)
            continue
        axes.plot(epochs, losses, color=colour, linestyle=style, linewidth=1.1)
        if (cell["status"] != DIVERGED).all():
            axes.plot(*end, marker=marker, markersize=marker_size(marker), color=colour, markeredgewidth=0, zorder=3)
            if glyph:
                axes.plot(*end, marker=glyph, markersize=2.6, color="white", markeredgewidth=0.5, zorder=3)


def rate_changes(curves: pd.DataFrame) -> list[float]:
    """Where the learning rate changes: half-way between two epochs, which count from 1."""
    rates = curves.drop_duplicates("epoch").sort_values("epoch")
    changed = rates["learning_rate"].diff().fillna(0) != 0
    return (rates.loc[changed, "epoch"] + 0.5).tolist()


def limits(curves: pd.DataFrame, loss: str) -> tuple[float, float]:
    """The range of the losses with a margin: of cells that did not diverge, whose losses can be huge, else of all."""
    values = curves.loc[np.isfinite(curves[loss])]
    values = values[values["status"] != DIVERGED] if (values["status"] != DIVERGED).any() else values
    if values.empty:
        return 0.0, 1.0
    low, high = values[loss].min(), values[loss].max()
    room = 0.04 * (high - low) or 0.5
    return low - room, high + room


def legend(curves: pd.DataFrame, widths: Channel, depths: Channel, comparison_latent: int) -> list[tuple]:
    entries = [*colour_entries(widths), *line_entries(depths), *constant_entries(curves, [depths])]
    if not curves["compared"].all():
        nearest = "" if (curves.loc[curves["compared"], "latent"] == comparison_latent).all() else "\nor the nearest"
        entries.append(heading("Latent units"))
        entries.append((Line2D([], [], color=GREY, linewidth=1.1), f"{comparison_latent}{nearest}"))
        entries.append((Line2D([], [], color=GREY, **PALE), "others"))
    others = []
    if rate_changes(curves):
        others.append((Line2D([], [], color="0.85", linewidth=1.2), "learning rate\nchanges"))
    if (curves["status"] == DIVERGED).any():
        others.append((symbol(**DIVERGED_MARK, color=GREY), "diverged"))
    return [*entries, heading("Training"), *others] if others else entries
