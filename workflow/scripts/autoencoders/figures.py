"""Figures of scores against the latent size (Figure 1)."""

import string
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

from autoencoders.labels import dataset_label, distance_label, metric_label, model_label, model_order
from autoencoders.published import CITED, DATASETS, comparable
from autoencoders.style import STYLE

styled = matplotlib.rc_context(sns.axes_style("ticks") | STYLE)

# The paper's colours, in shades that are told apart in grey too (luminance 0, 0.35, 0.55, 0.2).
WIDTHS = {32: ("#000000", "o"), 64: ("#d62728", "s"), 128: ("#43b649", "^"), 256: ("#1030b0", "D")}
OTHER_MARKERS = "vp<*>h"
# Line, and the glyph inside the marker that names the model where there is only one latent size.
MODELS = {"vae": ("-", None), "dae": (":", ".")}
OTHER_MODELS = [("--", "_"), ("-.", "|"), ((0, (6, 1.5, 1, 1.5, 1, 1.5)), "+"), ((0, (8, 3)), "2")]


def width_styles(filters: Iterable[int]) -> dict[int, tuple]:
    """Colour and marker of every width: the paper's, or an ordered colour map's for widths that it has not."""
    filters = sorted(set(filters))
    others = [width for width in filters if width not in WIDTHS]
    colours = matplotlib.colormaps["plasma"](np.linspace(0.1, 0.75, max(len(others), 1)))
    chosen = dict(zip(others, zip(map(tuple, colours), cycle(OTHER_MARKERS)), strict=False))
    return {width: WIDTHS.get(width) or chosen[width] for width in filters}


def model_styles(models: Iterable[str]) -> dict[str, tuple]:
    """Line style and marker glyph of every model: VAE solid, DAE dotted as in the paper, others dashed."""
    models = sorted(set(models), key=model_order)
    others = dict(zip([model for model in models if model not in MODELS], cycle(OTHER_MODELS), strict=False))
    return {model: MODELS.get(model) or others[model] for model in models}


def marker_size(marker: str) -> float:
    """In points; a triangle looks smaller than other markers of its size."""
    return 6.0 if marker in "^v<>" else 5.0


@styled
def figure1(scores: pd.DataFrame, extractor: str, published: pd.DataFrame | None = None) -> Figure:
    """Figure 1 of the paper: the score against the latent size at depth 1, a row a dataset, MVG left, GMM right.

    ``scores`` is a table of ``autoencoders.tables.collect_scores``. A line is the mean over the seeds that are "ok",
    its band their range; a latent size at which every seed diverged leaves a gap. With the extractor inception, the
    values of ``published`` (``read_published``) are drawn for the paper's datasets: crosses for cited results, open
    markers for the paper's own.
    """
    scores = scores[(scores["extractor"] == extractor) & (scores["depth"] == "1")]
    priors = [prior for prior in ("mvg", "gmm") if prior in set(scores["metric"])]
    if not priors:
        return message_figure(f"no cell of depth 1 has a score in {extractor} features for the prior mvg or gmm")
    scores = scores[scores["metric"].isin(priors)]
    datasets = sorted(scores["dataset"].unique(), key=lambda name: (name not in DATASETS, name != "cifar10", name))
    widths, models = width_styles(scores["filters"]), model_styles(scores["model"])

    figure = Figure(figsize=(1.4 + 2.9 * len(priors), 0.3 + 2.6 * len(datasets)), layout="constrained")
    grid = figure.subplots(len(datasets), len(priors), squeeze=False, sharey="row", sharex="row")
    drawn = []
    letters = iter(string.ascii_lowercase)
    for axes_row, dataset in zip(grid, datasets, strict=True):
        of_dataset = scores[scores["dataset"] == dataset]
        latents = set(of_dataset["latent"])
        for axes, prior in zip(axes_row, priors, strict=True):
            draw_lines(axes, of_dataset[of_dataset["metric"] == prior], widths, models)
            if published is not None and comparable(of_dataset).any():
                values = published[(published["dataset"] == dataset) & (published["metric"] == prior)]
                drawn.append(draw_published(axes, values, widths, models))
                latents |= set(drawn[-1]["latent"])
            axes.set_title(f"({next(letters)}) {dataset_label(dataset)}, {metric_label(prior)}", loc="left")
            axes.grid(axis="y")
            axes.ticklabel_format(axis="y", useOffset=False)
            axes.set_axisbelow(True)
        format_latent_axis(axes_row[0], sorted(latents))
        axes_row[0].set_ylabel(distance_label(extractor))
    for axes in grid[-1]:
        axes.set_xlabel("latent units")
    sns.despine(figure)
    published_models = {model for rows in drawn for model in rows["model"]}
    draw_legend(figure, widths, models, published_models, several_seeds=scores["seed"].nunique() > 1)
    return figure


def draw_lines(axes: Axes, scores: pd.DataFrame, widths: Mapping, models: Mapping) -> None:
    """One line a width and model; the band of several seeds lies behind it."""
    for (filters, model), line in scores.groupby(["filters", "model"]):
        colour, marker = widths[filters]
        style, glyph = models[model]
        # A group without a value stays in the index as NaN, which breaks the line there.
        seeds = line["frechet_distance"].where(line["status"] == "ok").groupby(line["latent"])
        mean = seeds.mean()
        if seeds.count().max() > 1:
            axes.fill_between(mean.index, seeds.min(), seeds.max(), color=colour, alpha=0.15, linewidth=0)
        axes.plot(
            mean.index,
            mean,
            color=colour,
            linestyle=style,
            linewidth=1.2,
            marker=marker,
            markersize=marker_size(marker),
            # A thin white edge keeps markers that overlap apart.
            markeredgecolor="white",
            markeredgewidth=0.4,
            label=f"{model_label(model)} {filters}",
        )
        if glyph:
            axes.plot(
                mean.index, mean, linestyle="none", marker=glyph, markersize=2.6, color="white", markeredgewidth=0.5
            )


def draw_published(axes: Axes, values: pd.DataFrame, widths: Mapping, models: Mapping) -> pd.DataFrame:
    """Crosses for the results that the paper cites, open markers for its own; returns the rows that were drawn.

    Only widths and models that are drawn anyway have open markers: the paper's values stand beside ours.
    """
    cited = values[values["model"].isin(CITED)]
    own = values[(values["depth"] == "1") & values["model"].isin(models) & values["filters"].isin(widths)]
    own = own[~own["model"].isin(CITED)].drop_duplicates(["model", "filters", "latent"])
    for (filters, model), points in own.groupby(["filters", "model"]):
        colour, marker = widths[filters]
        glyph = models[model][1]
        at = points["latent"], points["fid"]
        open_marker = {"markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 0.8}
        axes.plot(
            *at,
            linestyle="none",
            marker=marker,
            markersize=marker_size(marker) - 1,
            **open_marker,
            label="published",
            zorder=4,
        )
        if glyph:
            axes.plot(*at, linestyle="none", marker=glyph, markersize=2.2, color=colour, markeredgewidth=0.5, zorder=4)
    if len(cited):
        at = cited["latent"], cited["fid"]
        axes.plot(*at, linestyle="none", marker="x", markersize=5, color="black", label="cited", zorder=5)
    return pd.concat([own, cited])


def format_latent_axis(axes: Axes, latents: Sequence[int]) -> None:
    """A log2 axis with a tick at every latent size, and its number where there is room.

    Powers of two are written first, the others where they fit.
    """
    axes.set_xscale("log", base=2)
    # A number takes about an eighth of the axis, with the white beside it.
    room = np.log2(max(latents) / min(latents)) / 8
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


def draw_legend(
    figure: Figure, widths: Mapping, models: Mapping, published_models: set[str], several_seeds: bool
) -> None:
    """Every encoding of Figure 1 in one column right of the panels: headings, and their values below them."""
    grey = "0.35"

    def marker(shape: str, **options) -> Line2D:
        return Line2D([], [], linestyle="none", marker=shape, **options)

    def heading(text: str) -> tuple[Line2D, str]:
        return marker("none"), rf"$\bf{{{text}}}$"

    entries = [heading("Filters")]
    for filters, (colour, shape) in widths.items():
        entries.append((marker(shape, markersize=marker_size(shape), color=colour, markeredgewidth=0), str(filters)))
    entries.append(heading("Model"))
    for model, (style, glyph) in models.items():
        line = Line2D([], [], color=grey, linestyle=style, linewidth=1.2, marker="o", markersize=5, markeredgewidth=0)
        inner = marker(glyph or "none", markersize=2.6, color="white", markeredgewidth=0.5)
        entries.append(((line, inner), model_label(model)))
    if several_seeds:
        entries.append((Patch(color=grey, alpha=0.15, linewidth=0), "range of seeds"))
    cited = [model_label(model) for model in CITED if model in published_models]
    if published_models:
        entries.append(heading("Published"))
    if published_models - set(CITED):
        outline = {"markerfacecolor": "white", "markeredgecolor": grey, "markeredgewidth": 0.8}
        entries.append((marker("o", markersize=4, **outline), "by the paper"))
    if cited:
        lines = [", ".join(cited[start : start + 2]) for start in range(0, len(cited), 2)]
        entries.append((marker("x", markersize=5, color="black"), "by others:\n" + ",\n".join(lines)))
    figure.legend(
        *zip(*entries, strict=True),
        loc="outside right upper",
        frameon=False,
        handlelength=2.2,
        labelspacing=0.35,
        alignment="left",
    )


def message_figure(message: str) -> Figure:
    """A figure that says why there is nothing to see."""
    figure = Figure(figsize=(5, 1))
    figure.text(0.5, 0.5, message, ha="center", va="center", wrap=True)
    return figure
