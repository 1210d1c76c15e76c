"""The Fréchet distance against the factor of a method's weights, on validation images."""

from collections.abc import Sequence
from itertools import cycle
from string import ascii_lowercase

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from autoencoders.evidence.display_names import distance_label
from autoencoders.evidence.short_trainings import short_training_note
from autoencoders.evidence.table_files import DIVERGED
from autoencoders.evidence.tuning import NETWORK
from autoencoders.figures.line_looks import (
    BLACK,
    GREY,
    SOLID,
    Channel,
    Encoding,
    add_legend,
    channel,
    colour_entries,
    heading,
    legend_height,
    symbol,
)
from autoencoders.figures.model_looks import model_looks
from autoencoders.figures.page_style import PANELS_MIDDLE, WIDTH, add_note, wrapped
from autoencoders.figures.score_curves import (
    DIVERGED_MARK,
    PANEL_HEIGHTS,
    axes_width,
    draw_diverged,
    draw_line,
    format_score_axis,
    seed_entries,
    styled,
)

# Around the point that is chosen.
RING = {"marker": "o", "markersize": 11, "markerfacecolor": "none", "markeredgewidth": 0.9, "color": BLACK}


@styled
def tuning_figure(table: pd.DataFrame, scores: pd.DataFrame, models: Sequence[str]) -> Figure:
    """A line for each method of one dataset and extractor, and a panel for each network.

    ``table`` (`evidence.tuning.tuning_table`) is computed from ``scores`` (`evidence.tuning.native_scores`). Lines are
    means over seeds, bands their range, and rings the chosen factors. A factor with which a seed diverged is a gap in
    the line, with a mark on the axis. ``models`` are all models that the config describes (``model_looks``).
    """
    colours = channel(Encoding("Method", ("model",), model_looks(models)), table)
    entries = [*colour_entries(colours), heading("Chosen"), (symbol(**RING), "lowest mean")]
    # As `draw_line` does.
    entries += seed_entries(scores, connected=table["factor"].nunique() > 2)
    if (table["status"] == DIVERGED).any():
        entries += [heading("On the axis"), (symbol(**DIVERGED_MARK, color=GREY), "diverged")]
    networks = list(table.groupby(NETWORK))
    columns = min(len(networks), 2)
    lines = -(-len(networks) // columns)
    size = WIDTH, max(0.4 + PANEL_HEIGHTS[columns] * lines, legend_height(entries))
    figure = Figure(figsize=size, layout="constrained")
    places, letters = list(figure.subplots(lines, columns, squeeze=False).flat), cycle(ascii_lowercase)
    for axes in places[len(networks) :]:
        axes.remove()
    for axes, (network, rows) in zip(places, networks, strict=False):
        draw_methods(axes, rows, scores[(scores[NETWORK] == list(network)).all(axis=1)], colours)
        filters, depth, latent = network
        title = f"{filters} filters, depth {depth}, z = {latent}"
        letter = f"({next(letters)}) " if len(networks) > 1 else ""
        axes.set_title(wrapped(letter + title, axes_width(columns)), loc="left")
    figure.supxlabel("all weights of the method, times", x=PANELS_MIDDLE)
    figure.supylabel(distance_label(table["extractor"].iloc[0]))
    sns.despine(figure)
    add_legend(figure, entries)
    add_note(figure, short_training_note(scores["steps"]))
    return figure


def draw_methods(axes: Axes, rows: pd.DataFrame, scores: pd.DataFrame, colours: Channel) -> None:
    """``rows`` of the table and ``scores`` of one network."""
    axes.set_xscale("log")
    factors, diverged = sorted(rows["factor"].unique()), {}
    for model, of_method in rows.groupby("model"):
        colour, marker = colours.looks[(model,)]
        finished = of_method.loc[of_method["status"] != DIVERGED, "factor"]
        of_model = scores[scores["model"] == model]
        values = of_model["value"].where(of_model["factor"].isin(finished))
        draw_line(axes, values.groupby(of_model["factor"]), colour, marker, *SOLID, colours.names[(model,)])
        for factor in of_method.loc[of_method["status"] == DIVERGED, "factor"]:
            diverged.setdefault(factor, []).append(colour)
    for factor, of_factor in diverged.items():
        draw_diverged(axes, factor, of_factor)
    chosen = rows[rows["chosen"]]
    axes.plot(chosen["factor"], chosen["frechet_distance"], linestyle="none", label="chosen", zorder=5, **RING)
    # Methods with priors that are not fitted may score ten times as high as others.
    format_score_axis(axes, log=True)
    axes.xaxis.set_major_locator(FixedLocator(factors))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{factor:g}" for factor in factors]))
    axes.xaxis.set_minor_locator(NullLocator())
