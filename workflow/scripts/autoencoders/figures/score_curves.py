"""Scores against the latent size: what all such figures share.

Each figure (``figures.paper_figures``) chooses the columns of the scores that determine the colour and marker of a
line, and those that determine its line style. Together with the dataset (a row of panels) and the comparison, they must
include all columns in which two cells differ: otherwise different cells would be averaged as if they were seeds.
"""

from collections.abc import Iterator, Sequence
from itertools import cycle
from string import ascii_lowercase

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import CARETDOWN
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from autoencoders.config.grid import CELL_KEYS
from autoencoders.evidence.display_names import comparison_label, dataset_label, distance_label, model_label
from autoencoders.evidence.paper_values import CITED, DATASETS, PRECISION, comparable
from autoencoders.evidence.score_tables import of_measure
from autoencoders.evidence.short_trainings import short_training_note
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
)
from autoencoders.figures.page_style import STYLE, add_note

styled = matplotlib.rc_context(sns.axes_style("ticks") | STYLE)

# Inches. The width of a page; a panel with the space around it, by the number of panels in a row.
PAGE_WIDTH = 7.4
LEGEND_WIDTH = 1.6
PANEL_SIZES = {1: (4.4, 4.0), 2: (2.9, 2.6)}
MANY_PANELS = (2.0, 2.6)
# A caret with its tip on the axis: other triangles are markers of lines.
DIVERGED_MARK = {"marker": CARETDOWN, "markersize": 5, "markeredgewidth": 0}


@styled
def draw_scores(
    scores: pd.DataFrame,
    extractor: str,
    published: pd.DataFrame,
    panels: Sequence[Sequence[str]],
    colours: Encoding,
    lines: Encoding,
    cited: bool = False,
    log: bool = False,
) -> Figure:
    """The Fréchet distance against the latent size: a row of panels per dataset, with one panel for each of ``panels``,
    which are lists of comparisons.

    ``scores`` is a table from ``evidence.score_tables.collect_scores`` for one experiment. A line is the mean over the
    seeds with status "ok", its band their range. A latent size at which all seeds diverged is a gap in the line, with a
    mark on the axis in the line's colour to distinguish it from one that was not run. If rows are ``comparable`` with
    the paper, values of ``published`` (``read_published``) are drawn, too: open markers for the paper's own values of
    the same lines and, if ``cited``, crosses for those of other papers. ``log``: the distance's axis is logarithmic. A
    note below says so if a cell was trained for too few steps.
    """
    comparisons = [comparison for panel in panels for comparison in panel]
    scores = of_measure(scores)
    rows = scores[(scores["extractor"] == extractor) & scores["comparison"].isin(comparisons)]
    if rows.empty:
        return message_figure(f"no cell has a score in {extractor} features for {' or '.join(comparisons)}")
    panels = [panel for panel in panels if rows["comparison"].isin(panel).any()]
    points, crosses = own_points(rows, published), cited_points(rows, published)
    crosses = crosses if cited else crosses.iloc[:0]
    channels = channel(colours, rows), channel(lines, rows)
    entries = [
        *colour_entries(channels[0]),
        *line_entries(channels[1]),
        *constant_entries(rows, channels),
        *seed_entries(rows),
        *diverged_entries(rows),
        *published_entries(rows, points, crosses),
    ]

    datasets = ordered_datasets(rows)
    figure, grid = panel_grid(len(datasets), len(panels), legend_height(entries))
    letters = cycle(ascii_lowercase)
    for axes_row, dataset in zip(grid, datasets, strict=True):
        latents = set()
        for axes, panel in zip(axes_row, panels, strict=True):
            of_panel = [
                table[(table["dataset"] == dataset) & table["comparison"].isin(panel)]
                for table in (rows, points, crosses)
            ]
            draw_panel(axes, *of_panel, *channels)
            latents |= {latent for table in of_panel for latent in table["latent"]}
            title = [dataset_label(dataset), *map(comparison_label, panel if len(panels) > 1 else ())]
            letter = f"({next(letters)}) " if grid.size > 1 else ""
            axes.set_title(letter + ", ".join(title), loc="left")
            format_score_axis(axes, log)
        axes_row[0].set_ylabel(distance_label(extractor))
        format_latent_axis(axes_row[0], sorted(latents), axes_width(figure, len(panels)))
    for axes in grid[-1]:
        axes.set_xlabel("latent units")
    sns.despine(figure)
    add_legend(figure, entries)
    add_note(figure, short_training_note(rows["steps"]))
    return figure


def ordered_datasets(rows: pd.DataFrame) -> list[str]:
    """The paper's datasets first, in the paper's order."""
    return sorted(rows["dataset"].unique(), key=lambda name: (name not in DATASETS, name != "cifar10", name))


def panel_grid(rows: int, columns: int, legend: float) -> tuple[Figure, np.ndarray]:
    """A figure with room for a legend of ``legend`` inches in height, and its panels, which share the axes of a row."""
    panel_width, panel_height = PANEL_SIZES.get(columns, MANY_PANELS)
    width = min(PAGE_WIDTH, LEGEND_WIDTH + panel_width * columns)
    figure = Figure(figsize=(width, max(0.3 + panel_height * rows, legend)), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, sharey="row", sharex="row")


def axes_width(figure: Figure, columns: int) -> float:
    """The approximate length of an x axis in inches, before the layout is known."""
    return (figure.get_figwidth() - LEGEND_WIDTH - 0.6) / columns - 0.1


def own_points(rows: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``published`` with the paper's own values for those lines of ``rows`` that are comparable."""
    keys = ["dataset", "model", "filters", "depth", "comparison"]
    lines = rows.loc[comparable(rows), keys].drop_duplicates()
    own = published[~published["model"].isin(CITED)]
    return own.merge(lines, on=keys).drop_duplicates([*keys, "latent"])


def cited_points(rows: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``published`` with values that the paper cites, for those comparisons of ``rows`` that are
    comparable.
    """
    panels = rows.loc[comparable(rows), ["dataset", "comparison"]].drop_duplicates()
    return published[published["model"].isin(CITED)].merge(panels, on=["dataset", "comparison"])


def draw_panel(
    axes: Axes, rows: pd.DataFrame, points: pd.DataFrame, crosses: pd.DataFrame, colours: Channel, lines: Channel
) -> None:
    diverged = {}
    for (colour_key, line_key), line in by_line(rows, colours, lines):
        name = f"{colours.names[colour_key]}; {lines.names[line_key]}"
        # A group without values has the mean NaN, which interrupts the line.
        seeds = line["value"].where(line["status"] == "ok").groupby(line["latent"])
        draw_line(axes, seeds, *colours.looks[colour_key], *lines.looks[line_key], name)
        for latent in (latent for latent, count in seeds.count().items() if not count):
            diverged.setdefault(latent, {})[colours.looks[colour_key][0]] = None
    for latent, of_latent in diverged.items():
        draw_diverged(axes, latent, list(of_latent))
    for (colour_key, line_key), values in by_line(points, colours, lines):
        draw_points(axes, values["latent"], values["fid"], *colours.looks[colour_key], lines.looks[line_key][1])
    if len(crosses):
        at = crosses["latent"], crosses["fid"]
        axes.plot(*at, linestyle="none", marker="x", markersize=5, color="black", label="cited", zorder=5)


def by_line(rows: pd.DataFrame, colours: Channel, lines: Channel) -> Iterator[tuple[tuple[tuple, tuple], pd.DataFrame]]:
    """The rows of each line, with its keys in both channels."""
    split = len(colours.columns)
    for key, line in rows.groupby([*colours.columns, *lines.columns]):
        yield (key[:split], key[split:]), line


def draw_line(axes: Axes, seeds, colour, marker: str, style, glyph: str | None, name: str) -> None:
    """The means of ``seeds`` (values grouped by x) and, if there are several seeds, the band of their range."""
    mean = seeds.mean()
    if seeds.count().max() > 1:
        axes.fill_between(mean.index, seeds.min(), seeds.max(), color=colour, alpha=0.15, linewidth=0)
        # The band has no width at a point without neighbours.
        axes.vlines(mean.index, seeds.min(), seeds.max(), color=colour, alpha=0.25, linewidth=2)
    axes.plot(
        mean.index,
        mean,
        color=colour,
        linestyle=style,
        linewidth=1.2,
        marker=marker,
        markersize=marker_size(marker),
        # A thin white edge separates markers that overlap.
        markeredgecolor="white",
        markeredgewidth=0.4,
        label=name,
    )
    if glyph:
        axes.plot(mean.index, mean, linestyle="none", marker=glyph, markersize=2.6, color="white", markeredgewidth=0.5)


def draw_diverged(axes: Axes, latent: int, of_latent: Sequence) -> None:
    """A mark for each colour, stacked from the bottom axis upwards, so that none hides another."""
    at = {"transform": axes.get_xaxis_transform(), "clip_on": False, "zorder": 6}
    for place, colour in enumerate(of_latent):
        axes.plot([latent], [0.035 * place], linestyle="none", **DIVERGED_MARK, color=colour, label="diverged", **at)


def draw_points(axes: Axes, x: pd.Series, y: pd.Series, colour, marker: str, glyph: str | None) -> None:
    """Open markers for the paper's values, in the colour and shape of our line."""
    axes.plot(
        x,
        y,
        linestyle="none",
        marker=marker,
        markersize=marker_size(marker) - 1,
        markerfacecolor="white",
        markeredgecolor=colour,
        markeredgewidth=0.8,
        label="published",
        zorder=4,
    )
    if glyph:
        axes.plot(x, y, linestyle="none", marker=glyph, markersize=2.2, color=colour, markeredgewidth=0.5, zorder=4)


def seed_entries(rows: pd.DataFrame) -> list[tuple]:
    """Legend entries: the band of several seeds."""
    if rows["seed"].nunique() == 1:
        return []
    return [heading("Seeds"), (Patch(color=GREY, alpha=0.25, linewidth=0), "their range")]


def diverged_entries(rows: pd.DataFrame) -> list[tuple]:
    """Legend entries: the marks of cells that diverged with every seed."""
    keys = [key for key in CELL_KEYS if key != "seed"]
    if (rows["status"] == "ok").groupby([rows[key] for key in keys]).any().all():
        return []
    return [heading("On the axis"), (symbol(**DIVERGED_MARK, color=GREY), "diverged")]


def published_entries(rows: pd.DataFrame, points: pd.DataFrame, crosses: pd.DataFrame) -> list[tuple]:
    """Legend entries: published values, and the number formats of the training of both."""
    entries = []
    if len(points) or len(crosses):
        entries.append(heading("Published"))
    if len(points):
        outline = {"markerfacecolor": "white", "markeredgecolor": GREY, "markeredgewidth": 0.8}
        formats = ", ".join(sorted(rows.loc[comparable(rows), "precision"].unique()))
        label = f"by the paper\n({PRECISION}; ours: {formats})"
        entries.append((symbol("o", markersize=4, **outline), label))
    if len(crosses):
        cited = [model_label(model) for model in CITED if model in set(crosses["model"])]
        pairs = [", ".join(cited[start : start + 2]) for start in range(0, len(cited), 2)]
        entries.append((symbol("x", markersize=5, color="black"), "by others:\n" + ",\n".join(pairs)))
    return entries


def format_score_axis(axes: Axes, log: bool) -> None:
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    if not log:
        axes.ticklabel_format(axis="y", useOffset=False)
        return
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    # The default would be only one or two ticks if the range is about a power of ten.
    steps = [1, 1.5, 2, 3, 5, 7] if high / low < 30 else [1, 2, 5] if high / low < 1000 else [1]
    axes.yaxis.set_major_locator(LogLocator(subs=steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def format_latent_axis(axes: Axes, latents: Sequence[int], width: float) -> None:
    """A log2 axis, ``width`` inches long, with a tick at every latent size and as many of their numbers as fit.

    Powers of two come first.
    """
    axes.set_xscale("log", base=2)
    # A number of four digits with the space around it takes a third of an inch.
    room = np.log2(max(latents) / min(latents)) * 0.33 / width
    written = []
    for latent in sorted(latents, key=lambda latent: (latent & (latent - 1) != 0, latent)):
        if all(abs(np.log2(latent / other)) >= room for other in written):
            written.append(latent)
    written.sort()
    axes.xaxis.set_major_locator(FixedLocator(written))
    axes.xaxis.set_major_formatter(FixedFormatter([str(latent) for latent in written]))
    axes.xaxis.set_minor_locator(FixedLocator([latent for latent in latents if latent not in written]))
    axes.xaxis.set_minor_formatter(NullFormatter())
    margin = 2 ** max(0.04 * np.log2(max(latents) / min(latents)), 0.2)
    axes.set_xlim(min(latents) / margin, max(latents) * margin)


def message_figure(message: str) -> Figure:
    """A figure that states why there is nothing to draw."""
    figure = Figure(figsize=(5, 1))
    figure.text(0.5, 0.5, message, ha="center", va="center", wrap=True)
    return figure
