"""Scores against the latent size: what all such figures share.

Each figure (``figures.paper_figures``, ``figures.own_figure``) chooses the columns of the scores that determine the
colour and marker of a line, and those that determine its line style. Together with the dataset and the comparison, they
must include all columns in which two cells differ: otherwise different cells would be averaged as if they were seeds.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import cycle
from string import ascii_lowercase

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETDOWN
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from autoencoders.config.grid import CELL_KEYS, NOT_PRIORS, TEST_IMAGES
from autoencoders.evidence.display_names import comparison_label, dataset_label, model_label
from autoencoders.evidence.external_rows import of_cells, of_external
from autoencoders.evidence.measure_texts import FRECHET, measure_label, measure_text
from autoencoders.evidence.paper_values import CITED, DATASETS, PRECISION, comparable
from autoencoders.evidence.score_tables import of_measure
from autoencoders.evidence.short_trainings import short_training_note
from autoencoders.figures.external_lines import draw_external, external_entries, external_looks
from autoencoders.figures.line_looks import (
    GREY,
    Channel,
    Encoding,
    add_legend,
    channel,
    colour_entries,
    constant_entries,
    face,
    heading,
    legend_height,
    line_entries,
    marker_size,
    symbol,
)
from autoencoders.figures.page_style import LEGEND_WIDTH, PANELS_MIDDLE, STYLE, WIDTH, add_note, wrapped

styled = matplotlib.rc_context(sns.axes_style("ticks") | STYLE)

# Inches: the height of a panel with the space around it, by the number of panels in a row, of which three are the most.
PANEL_HEIGHTS = {1: 3.2, 2: 2.5, 3: 2.2}
# A caret with its tip on the axis: other triangles are markers of lines.
DIVERGED_MARK = {"marker": CARETDOWN, "markersize": 5, "markeredgewidth": 0}
# The paper's values: stars, since no line of ours has them, with a white outline that sets them off from our lines.
PUBLISHED_MARK = {
    "linestyle": "none",
    "marker": "*",
    "markersize": 7.5,
    "path_effects": [Stroke(linewidth=2.4, foreground="white"), Normal()],
}
FLOOR = "test_recon"
FLOOR_LINE = {"color": "0.5", "linewidth": 1.2, "linestyle": (0, (1, 0.8))}
FLOOR_MARK = {"color": "0.5", "linestyle": "none", "marker": "_", "markersize": 14, "markeredgewidth": 1.2}
BASELINE_LINE = {"color": "0.5", "linewidth": 0.8, "linestyle": "-"}


@styled
def draw_scores(
    scores: pd.DataFrame,
    extractor: str,
    published: pd.DataFrame,
    panels: Sequence[Sequence[str]],
    colours: Encoding,
    lines: Encoding,
    measure: str = FRECHET,
    cited: bool = False,
    log: bool = False,
) -> Figure:
    """A measure against the latent size: for each dataset, one panel for each of ``panels``, which are lists of
    comparisons.

    ``scores`` is a table from ``evidence.score_tables.collect_scores`` for one experiment. Its rows of images made
    elsewhere (``evidence.external_rows``) are horizontal lines in the panels of samples. A line is the mean over the
    seeds with status "ok", its band their range. Two points or fewer are not connected: they have no shape. A latent
    size at which all seeds diverged is a gap in the line, with a mark on the axis in the line's colour to distinguish
    it from one that was not run. A grey line shows the best value of reconstructed test images at each latent size, of
    all cells; another one that of the test images themselves, where the measure has it. If rows are ``comparable`` with
    the paper, values of ``published`` (``read_published``) are drawn beside Fréchet distances: stars for the paper's
    own values of the same lines and, if ``cited``, crosses for those of other papers. ``log``: the axis of Fréchet
    distances is logarithmic. A note above says so if a cell was trained for too few steps.
    """
    comparisons = [comparison for panel in panels for comparison in panel]
    scores = of_measure(scores, measure)
    scores = scores[scores["extractor"] == extractor]
    text = measure_text(measure)
    scores = scores.assign(value=text.factor * scores["value"])
    published, log = (published, log) if measure == FRECHET else (published.iloc[:0], False)
    scores, external = of_cells(scores), of_external(scores)
    rows = scores[scores["comparison"].isin(comparisons)]
    if rows.empty:
        what = "score" if measure == FRECHET else measure
        return message_figure(f"no cell has a {what} in {extractor} features for {' or '.join(comparisons)}")
    panels = [panel for panel in panels if rows["comparison"].isin(panel).any()]
    points, crosses = own_points(rows, published), cited_points(rows, published)
    crosses = crosses if cited else crosses.iloc[:0]
    channels = channel(colours, rows), channel(lines, rows)
    connected = len(loose(rows, channels)) < len(rows)
    floors = {dataset: floor_of(cells, text.better) for dataset, cells in scores.groupby("dataset")}
    baselines = baselines_of(scores)
    entries = [
        *colour_entries(channels[0]),
        *line_entries(channels[1], rows, connected),
        *constant_entries(rows, channels),
        *floor_entries(floors.values(), panels, text.better),
        *baseline_entries(baselines),
        *external_entries(external, rows),
        *seed_entries(rows, connected),
        *diverged_entries(rows),
        *published_entries(rows, points, crosses),
    ]

    datasets = ordered_datasets(rows)
    figure, grids = panel_grid(len(datasets), len(panels), legend_height(entries))
    letters = cycle(ascii_lowercase)
    width = axes_width(min(len(panels), 3))
    for grid, dataset in zip(grids, datasets, strict=True):
        latents = set(rows.loc[rows["dataset"] == dataset, "latent"])
        beside = [side_by_side(in_panel(rows, dataset, panel), channels) for panel in panels]
        most = max((len(lines) for found in beside for lines in found.values()), default=1)
        apart = octaves_apart(latents, most, width)
        for axes, panel, neighbours in zip(grid, panels, beside, strict=True):
            of_panel = [in_panel(table, dataset, panel) for table in (rows, points, crosses)]
            draw_panel(axes, *of_panel, *channels, neighbours, apart)
            if FLOOR not in panel and len(floors[dataset]):
                axes.plot(
                    floors[dataset].index, floors[dataset], label="floor", zorder=1.5, **floor_look(floors[dataset])
                )
            if dataset in baselines:
                axes.axhline(baselines[dataset], label="test images", zorder=1.4, **BASELINE_LINE)
            if not set(panel) <= set(NOT_PRIORS):
                draw_external(axes, external[external["dataset"] == dataset], external_looks(external))
            latents |= {latent for table in of_panel for latent in table["latent"]}
            title = [dataset_label(dataset), *map(comparison_label, panel if len(panels) > 1 else ())]
            letter = f"({next(letters)}) " if len(datasets) * len(panels) > 1 else ""
            axes.set_title(wrapped(letter + ", ".join(title), width), loc="left")
            format_score_axis(axes, log)
        format_latent_axis(grid[0], sorted(latents), width, apart * most / 2)
    figure.supxlabel("latent units", x=PANELS_MIDDLE)
    figure.supylabel(measure_label(measure, extractor))
    sns.despine(figure)
    add_legend(figure, entries)
    add_note(figure, short_training_note(rows["steps"]))
    return figure


def ordered_datasets(rows: pd.DataFrame) -> list[str]:
    """The paper's datasets first, in the paper's order."""
    return sorted(rows["dataset"].unique(), key=lambda name: (name not in DATASETS, name != "cifar10", name))


def panel_grid(datasets: int, panels: int, legend: float) -> tuple[Figure, list[list[Axes]]]:
    """A figure with room for a legend of ``legend`` inches in height, and the panels of each dataset, which share their
    axes: up to three in a row, and axes labelled at the left and at the bottom only.
    """
    columns = min(panels, 3)
    rows_each = -(-panels // columns)
    rows = datasets * rows_each
    figure = Figure(figsize=(WIDTH, max(0.4 + PANEL_HEIGHTS[columns] * rows, legend)), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False)
    grids = []
    for first in range(0, rows, rows_each):
        chosen = list(places[first : first + rows_each].flat)
        for axes in chosen[panels:]:
            axes.remove()
        grid = chosen[:panels]
        for number, axes in enumerate(grid):
            if number:
                axes.sharex(grid[0])
                axes.sharey(grid[0])
            axes.tick_params(labelleft=number % columns == 0, labelbottom=number + columns >= panels)
        grids.append(grid)
    return figure, grids


def axes_width(columns: int) -> float:
    """The approximate length of an x axis in inches, before the layout is known."""
    return (WIDTH - LEGEND_WIDTH - 0.6) / columns - 0.1


def in_panel(table: pd.DataFrame, dataset: str, panel: Sequence[str]) -> pd.DataFrame:
    return table[(table["dataset"] == dataset) & table["comparison"].isin(panel)]


def loose(rows: pd.DataFrame, channels: Sequence[Channel]) -> pd.DataFrame:
    """The rows whose line has at most two latent sizes, so that its points are not connected."""
    keys = list(dict.fromkeys(["dataset", "comparison", *channels[0].columns, *channels[1].columns]))
    return rows[rows.groupby(keys)["latent"].transform("nunique") <= 2]


def side_by_side(rows: pd.DataFrame, channels: Sequence[Channel]) -> dict[int, list[tuple]]:
    """By latent size, the lines of a panel (keys of both channels) whose points there are not connected, in order."""
    found = {}
    for key, line in by_line(loose(rows, channels), *channels):
        for latent in line["latent"].unique():
            found.setdefault(latent, []).append(key)
    return found


def octaves_apart(latents: Collection[int], most: int, width: float) -> float:
    """The distance between points that stand side by side, so that none hides another, ``most`` of them at a latent
    size: a marker's width on an axis of ``width`` inches, or what there is room for.
    """
    inches = min(0.1, 0.8 * width / (len(latents) * most))
    octaves = np.log2(max(latents) / min(latents))
    # The axis also has a margin, and half of these points beyond each end (`format_latent_axis`).
    return float(inches * (octaves + 2 * margin_octaves(latents)) / (width - inches * most))


def margin_octaves(latents: Collection[int]) -> float:
    return max(0.04 * float(np.log2(max(latents) / min(latents))), 0.2)


def floor_of(scores: pd.DataFrame, better: str = "lower") -> pd.Series:
    """By latent size, the best mean over seeds of the measure of reconstructed test images, of all cells of one
    dataset: the lowest, or the highest if ``better`` says so; nothing if it says nothing. Its name says whether all
    sizes ran with the same networks ("comparable"), so that a line may connect them.
    """
    if not better:
        return pd.Series(dtype="float64")
    keys = [key for key in CELL_KEYS if key != "seed"]
    rows = scores[scores["comparison"] == FLOOR]
    means = rows[rows["status"] == "ok"].groupby(keys)["value"].mean()
    networks = {
        frozenset(cells[["model", "filters", "depth"]].itertuples(index=False, name=None))
        for _, cells in rows.groupby("latent")
    }
    at_size = means.groupby("latent")
    best = at_size.max() if better == "higher" else at_size.min()
    return best.rename("comparable" if len(networks) == 1 else "different")


def baselines_of(scores: pd.DataFrame) -> dict[str, float]:
    """The measure of the test images themselves, by dataset, where there is one."""
    found = scores[scores["comparison"] == TEST_IMAGES].dropna(subset="value")
    return found.groupby("dataset")["value"].first().to_dict()


def floor_look(floor: pd.Series) -> dict:
    """A line, or marks where two sizes or fewer, or sizes of different networks, make no curve."""
    return FLOOR_LINE if len(floor) > 2 and floor.name == "comparable" else FLOOR_MARK


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
    axes: Axes,
    rows: pd.DataFrame,
    points: pd.DataFrame,
    crosses: pd.DataFrame,
    colours: Channel,
    lines: Channel,
    beside: Mapping[int, Sequence[tuple]],
    apart: float,
) -> None:
    """The lines of ``rows``; points of those in ``beside`` (``side_by_side``) are ``apart`` octaves apart."""
    diverged = {}
    for key, line in by_line(rows, colours, lines):
        colour_key, line_key = key
        name = f"{colours.names[colour_key]}; {lines.names[line_key]}"

        def place(latents: np.ndarray, key: tuple = key) -> np.ndarray:
            return np.array([latent * 2 ** shift_of(key, beside.get(latent, []), apart) for latent in latents])

        # A group without values has the mean NaN, which interrupts the line.
        seeds = line["value"].where(line["status"] == "ok").groupby(line["latent"])
        draw_line(axes, seeds, *colours.looks[colour_key], *lines.looks[line_key], name, place)
        for latent in (latent for latent, count in seeds.count().items() if not count):
            diverged.setdefault(latent, {})[colours.looks[colour_key][0]] = None
    for latent, of_latent in diverged.items():
        draw_diverged(axes, latent, list(of_latent))
    for (colour_key, line_key), values in by_line(points, colours, lines):
        look = face(colours.looks[colour_key][0], lines.looks[line_key][1])
        axes.plot(values["latent"], values["fid"], label="published", zorder=4, **PUBLISHED_MARK, **look)
    if len(crosses):
        at = crosses["latent"], crosses["fid"]
        axes.plot(*at, linestyle="none", marker="x", markersize=5, color="black", label="cited", zorder=5)


def shift_of(key: tuple, neighbours: Sequence[tuple], apart: float) -> float:
    """How far, in octaves, the point of a line stands beside its latent size; 0 for a line that is connected."""
    return apart * (neighbours.index(key) - (len(neighbours) - 1) / 2) if key in neighbours else 0.0


def by_line(rows: pd.DataFrame, colours: Channel, lines: Channel) -> Iterator[tuple[tuple[tuple, tuple], pd.DataFrame]]:
    """The rows of each line, with its keys in both channels."""
    split = len(colours.columns)
    for key, line in rows.groupby([*colours.columns, *lines.columns]):
        yield (key[:split], key[split:]), line


def draw_line(axes: Axes, seeds, colour, marker: str, style, fill: str, name: str, place=lambda x: x) -> None:
    """The means of ``seeds`` (values grouped by x, drawn at ``place(x)``) and, if there are several seeds, their range:
    a band with edges in the line's style, so that bands of one colour stay apart, or bars at points without a line.
    """
    mean, low, high = seeds.mean(), seeds.min(), seeds.max()
    at = place(mean.index.to_numpy())
    connected = len(mean) > 2
    if seeds.count().max() > 1:
        if connected:
            axes.fill_between(at, low, high, color=colour, alpha=0.1, linewidth=0)
            for edge in (low, high):
                axes.plot(at, edge, color=colour, linestyle=style, linewidth=0.4, alpha=0.7, label="range")
        alone = np.full(len(mean), True) if not connected else ~(mean.shift(1).notna() | mean.shift(-1).notna())
        axes.vlines(at[alone], low[alone], high[alone], color=colour, linewidth=1.2)
    axes.plot(
        at,
        mean,
        color=colour,
        linestyle=style if connected else "none",
        linewidth=1.2,
        marker=marker,
        markersize=marker_size(marker),
        label=name,
        **face(colour, fill),
    )


def draw_diverged(axes: Axes, latent: int, of_latent: Sequence) -> None:
    """A mark for each colour, stacked from the bottom axis upwards, so that none hides another."""
    at = {"transform": axes.get_xaxis_transform(), "clip_on": False, "zorder": 6}
    for place, colour in enumerate(of_latent):
        axes.plot([latent], [0.035 * place], linestyle="none", **DIVERGED_MARK, color=colour, label="diverged", **at)


def floor_entries(floors: Iterable[pd.Series], panels: Sequence[Sequence[str]], better: str = "lower") -> list[tuple]:
    """Legend entries: the line, or the marks, of reconstructed test images, where a panel has it."""
    looks = [floor_look(floor) for floor in floors if len(floor)]
    if not looks or all(FLOOR in panel for panel in panels):
        return []
    look = FLOOR_LINE if FLOOR_LINE in looks else FLOOR_MARK
    return [
        heading(comparison_label(FLOOR)),
        (Line2D([], [], **look), "the highest" if better == "higher" else "the lowest"),
    ]


def baseline_entries(baselines: Mapping[str, float]) -> list[tuple]:
    """Legend entries: the line of the test images themselves, if there is one."""
    if not baselines:
        return []
    return [heading(comparison_label(TEST_IMAGES)), (Line2D([], [], **BASELINE_LINE), "themselves")]


def seed_entries(rows: pd.DataFrame, connected: bool = True) -> list[tuple]:
    """Legend entries: the band, or the bars, of several seeds."""
    if rows["seed"].nunique() == 1:
        return []
    bar = symbol("|", color=GREY, markersize=9, markeredgewidth=1.2)
    return [heading("Seeds"), (Patch(color=GREY, alpha=0.25, linewidth=0) if connected else bar, "their range")]


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
        formats = ", ".join(sorted(rows.loc[comparable(rows), "precision"].unique()))
        label = f"by the paper ({PRECISION}; ours: {formats})"
        entries.append((Line2D([], [], **PUBLISHED_MARK, **face(GREY, "none")), label))
    if len(crosses):
        cited = [model_label(model) for model in CITED if model in set(crosses["model"])]
        entries.append((symbol("x", markersize=5, color="black"), f"by others: {', '.join(cited)}"))
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


def format_latent_axis(axes: Axes, latents: Sequence[int], width: float, beside: float) -> None:
    """A log2 axis, ``width`` inches long, with a tick at every latent size and as many of their numbers as fit, and
    room for points that stand up to ``beside`` octaves beside theirs.

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
    margin = 2 ** (margin_octaves(latents) + beside)
    axes.set_xlim(min(latents) / margin, max(latents) * margin)


def message_figure(message: str) -> Figure:
    """A figure that states why there is nothing to draw."""
    figure = Figure(figsize=(5, 1))
    figure.text(0.5, 0.5, message, ha="center", va="center", wrap=True)
    return figure
