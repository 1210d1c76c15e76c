"""Learning curves: the loss of every epoch, one line per cell."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from string import ascii_lowercase

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
    OTHER_LINES,
    Channel,
    Encoding,
    add_legend,
    channel,
    heading,
    known_or_other,
    legend_height,
    symbol,
)
from autoencoders.figures.model_looks import model_look, shade
from autoencoders.figures.page_style import PANELS_MIDDLE, WIDTH, add_note, wrapped
from autoencoders.figures.paper_figures import DEPTH_LINES
from autoencoders.figures.score_curves import axes_width, styled

CELL = list(CELL_KEYS)
# Column of history.parquet -> axis label.
LOSSES = {"reconstruction_loss": "reconstruction loss", "kl": "KL divergence"}
# The paper's figures tell 3321 from 3 by its markers, of which curves have none.
DEPTH = Encoding("Depth", ("depth",), known_or_other(DEPTH_LINES | {("3321",): ("-.", "top")}, OTHER_LINES))
COLUMNS = 3
PANEL_HEIGHT = 1.4
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
def learning_curves_figure(curves: pd.DataFrame, comparison_latent: int, models: Sequence[str]) -> Figure:
    """A panel per model with the reconstruction loss of every cell, and one per VAE with its KL divergence.

    ``curves`` is a table from ``learning_curves`` for one dataset; ``models`` are all models of the config
    (``model_looks``). Cells with the latent size nearest to ``comparison_latent`` are highlighted. A note above says so
    if a cell was trained for too few steps.
    """
    curves = curves.assign(compared=at_nearest_latent(curves, comparison_latent))
    shown = sorted(curves["model"].unique(), key=model_order)
    variational = set(curves.loc[curves["variational"], "model"])
    panels = {"reconstruction_loss": shown, "kl": [model for model in shown if model in variational]}
    shades, depths = width_shades(curves["filters"].unique()), channel(DEPTH, curves)
    entries = legend(curves, shades, depths, comparison_latent)

    columns = min(COLUMNS, len(shown))
    rows = {loss: math.ceil(len(of_loss) / columns) for loss, of_loss in panels.items()}
    size = WIDTH, max(0.4 + PANEL_HEIGHT * sum(rows.values()), legend_height(entries))
    figure = Figure(figsize=size, layout="constrained")
    places = figure.subplots(sum(rows.values()), columns, squeeze=False, sharex=True)
    letters, drawn = cycle(ascii_lowercase), []
    for loss, of_loss in panels.items():
        first = 0 if loss == "reconstruction_loss" else rows["reconstruction_loss"]
        own = list(places[first : first + rows[loss]].flat)
        low, high = limits(curves[curves["variational"]] if loss == "kl" else curves, loss)
        for number, (axes, model) in enumerate(zip(own, of_loss, strict=False)):
            colour, _ = model_look(model, models)
            draw(axes, curves[curves["model"] == model], loss, high, colour, shades, depths)
            title = model_label(model) if loss == "reconstruction_loss" else f"{model_label(model)}, KL"
            axes.set_title(wrapped(f"({next(letters)}) {title}", axes_width(columns)), loc="left")
            axes.set_ylim(low, high)
            # Panels below each other share their numbers; the last of each column has those of the epochs.
            axes.tick_params(labelleft=number % columns == 0, labelbottom=False)
            drawn.append(axes)
        for axes in own[len(of_loss) :]:
            axes.remove()
        if of_loss:
            own[(rows[loss] - 1) // 2 * columns].set_ylabel(LOSSES[loss])
    for column in range(columns):
        [axes for axes in drawn if axes.get_subplotspec().colspan.start == column][-1].tick_params(labelbottom=True)
    figure.axes[0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    figure.supxlabel("epoch", x=PANELS_MIDDLE)
    sns.despine(figure)
    add_legend(figure, entries)
    add_note(figure, short_training_note(curves["steps"]))
    return figure


def width_shades(widths: Iterable[int]) -> dict[int, float]:
    """How strong the colour of each width is: from 0.45 for the narrowest to 1 for the widest."""
    ordered = sorted(widths)
    return dict(zip(ordered, np.linspace(1, 0.45, len(ordered))[::-1], strict=True))


def draw(
    axes: Axes,
    curves: pd.DataFrame,
    loss: str,
    high: float,
    colour: str,
    shades: Mapping[int, float],
    depths: Channel,
) -> None:
    """A line per cell in its model's ``colour``, weaker for narrower networks. Those ``compared`` are bold.

    The line of a diverged cell ends in a cross: at the top of the axis if its last finite loss is above ``high``.
    """
    for epoch in rate_changes(curves):
        axes.axvline(epoch, color="0.85", linewidth=0.6, zorder=0)
    for keys, cell in curves.groupby(CELL):
        keys = dict(zip(CELL, keys, strict=True))
        tint = shade(colour, shades[keys["filters"]])
        style, _ = depths.looks[(keys["depth"],)]
        finite = cell[np.isfinite(cell[loss])]
        if finite.empty:
            continue
        epochs, losses = finite["epoch"] + 1, finite[loss]
        if (cell["status"] == DIVERGED).any():
            end = epochs.iloc[-1], min(losses.iloc[-1], high)
            axes.plot(*end, color=colour, clip_on=False, zorder=4, **DIVERGED_MARK)
        strength = {"linewidth": 1.2, "zorder": 3} if cell["compared"].all() else PALE
        axes.plot(epochs, losses, color=tint, linestyle=style, **strength)


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


def legend(curves: pd.DataFrame, shades: Mapping[int, float], depths: Channel, comparison_latent: int) -> list[tuple]:
    widths = [(Line2D([], [], color=shade("#000000", shades[width]), linewidth=2.4), str(width)) for width in shades]
    styles = [
        (Line2D([], [], color=GREY, linestyle=style, linewidth=1.2), depths.names[key])
        for key, (style, _) in depths.looks.items()
    ]
    entries = [heading("Filters"), *widths, heading("Depth"), *styles]
    if not curves["compared"].all():
        nearest = "" if (curves.loc[curves["compared"], "latent"] == comparison_latent).all() else " or the nearest"
        entries.append(heading("Latent units"))
        entries.append((Line2D([], [], color=GREY, linewidth=1.2), f"{comparison_latent}{nearest}"))
        entries.append((Line2D([], [], color=GREY, **PALE), "others"))
    others = []
    if rate_changes(curves):
        others.append((Line2D([], [], color="0.85", linewidth=1.2), "learning rate changes"))
    if (curves["status"] == DIVERGED).any():
        others.append((symbol(**DIVERGED_MARK, color=GREY), "diverged"))
    return [*entries, heading("Training"), *others] if others else entries
