"""Precision against recall: what samples of each model and prior lack, likeness or variety."""

from collections.abc import Sequence
from itertools import cycle
from string import ascii_lowercase

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autoencoders.config.grid import NOT_PRIORS
from autoencoders.evidence.display_names import dataset_label
from autoencoders.evidence.external_rows import of_cells, of_external
from autoencoders.evidence.score_tables import of_measure
from autoencoders.evidence.short_trainings import short_training_note
from autoencoders.figures.external_lines import external_names
from autoencoders.figures.line_looks import (
    BLACK,
    OTHER_LINES,
    SOLID,
    Channel,
    Encoding,
    add_legend,
    channel,
    colour_entries,
    face,
    heading,
    known_or_other,
    legend_height,
    line_entries,
    marker_size,
    symbol,
)
from autoencoders.figures.model_looks import model_looks
from autoencoders.figures.page_style import WIDTH, add_note, wrapped
from autoencoders.figures.score_curves import axes_width, message_figure, ordered_datasets, seed_entries, styled

RECONSTRUCTIONS = "test_recon"
# Images made elsewhere.
CROSSES = "x+12"
# The filled part of a marker is the prior's; reconstructions have their own.
PRIORS = {
    ("gmm",): SOLID,
    ("mvg",): (":", "left"),
    ("standard_normal",): (":", "none"),
    (RECONSTRUCTIONS,): (":", "top"),
}


@styled
def precision_recall_figure(scores: pd.DataFrame, extractor: str, models: Sequence[str]) -> Figure:
    """For each dataset a panel with a point for each model and prior, and for its reconstructed test images.

    ``scores`` (``evidence.score_tables.collect_scores``) are of depth 1 and the dataset's comparison latent size; of
    several widths, the one with the most models is shown (`one_width`). Points are means over the seeds with status
    "ok", with lines over their range. Crosses are images made elsewhere (``evidence.external_rows``). ``models`` are
    all models of the config (``model_looks``).
    """
    scores = scores[scores["extractor"] == extractor]
    external, scores = of_external(scores), of_cells(scores)
    scores = scores[scores["depth"] == "1"]
    shown = {RECONSTRUCTIONS, *scores["comparison"]} - ({*NOT_PRIORS} - {RECONSTRUCTIONS})
    rows = scores[scores["comparison"].isin(shown) & scores["measure"].isin(["precision", "recall"])]
    if rows.empty:
        return message_figure(f"no cell of depth 1 has precision and recall in {extractor} features")
    rows = pd.concat([one_width(cells) for _, cells in rows.groupby("dataset")])
    colours = channel(Encoding("Model", ("model",), model_looks(models)), rows)
    fills = channel(Encoding("Samples from", ("comparison",), known_or_other(PRIORS, OTHER_LINES)), rows)
    crosses = dict(zip(external["model"].unique(), cycle(CROSSES), strict=False))
    entries = [*colour_entries(colours), *line_entries(fills, rows, connected=False), *seed_entries(rows, False)]
    if crosses:
        names = external_names(external, rows)
        symbols = [(symbol(mark, color=BLACK, markersize=6), names[name]) for name, mark in crosses.items()]
        entries += [heading("External"), *symbols]
    datasets = ordered_datasets(rows)
    columns = min(len(datasets), 2)
    lines = -(-len(datasets) // columns)
    size = WIDTH, max(0.4 + {1: 3.2, 2: 2.3}[columns] * lines, legend_height(entries))
    figure = Figure(figsize=size, layout="constrained")
    places, letters = list(figure.subplots(lines, columns, squeeze=False).flat), cycle(ascii_lowercase)
    for axes in places[len(datasets) :]:
        axes.remove()
    for axes, dataset in zip(places, datasets, strict=False):
        of_dataset = rows[rows["dataset"] == dataset]
        draw_points(axes, of_dataset, colours, fills)
        for name, point in (
            by_measure(external[external["dataset"] == dataset], ["model"]).set_index("model").iterrows()
        ):
            look = {"color": BLACK, "markersize": 6, "marker": crosses[name], "linestyle": "none"}
            axes.plot([point["recall"]], [point["precision"]], label=name, **look)
        letter = f"({next(letters)}) " if len(datasets) > 1 else ""
        network = f"{of_dataset['filters'].iloc[0]} filters, z = {of_dataset['latent'].iloc[0]}"
        axes.set_title(wrapped(f"{letter}{dataset_label(dataset)}, {network}", axes_width(columns)), loc="left")
        axes.set_xlabel(f"recall ({extractor} features)")
        axes.set_ylabel("precision")
        # They are shares.
        for limits, set_limits in ((axes.get_xlim(), axes.set_xlim), (axes.get_ylim(), axes.set_ylim)):
            set_limits(max(limits[0], -0.02), min(limits[1], 1.02))
        axes.grid(axis="both")
        axes.set_axisbelow(True)
    sns.despine(figure)
    add_legend(figure, entries)
    add_note(figure, short_training_note(rows["steps"]))
    return figure


def one_width(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of the width that most models have, the widest of several."""
    models = rows.groupby("filters")["model"].nunique()
    return rows[rows["filters"] == models[models == models.max()].index.max()]


def by_measure(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """A row for each of ``keys``, with the columns precision and recall."""
    precision, recall = (
        of_measure(rows, name)[[*keys, "value"]].rename(columns={"value": name}) for name in ("precision", "recall")
    )
    return precision.merge(recall, on=keys)


def draw_points(axes: Axes, rows: pd.DataFrame, colours: Channel, fills: Channel) -> None:
    points = by_measure(rows[rows["status"] == "ok"], ["model", "comparison", "seed"])
    for (model, comparison), of_point in points.groupby(["model", "comparison"]):
        colour, marker = colours.looks[(model,)]
        x, y = of_point["recall"], of_point["precision"]
        if len(of_point) > 1:
            axes.hlines(y.mean(), x.min(), x.max(), color=colour, linewidth=0.9)
            axes.vlines(x.mean(), y.min(), y.max(), color=colour, linewidth=0.9)
        axes.plot(
            [x.mean()],
            [y.mean()],
            linestyle="none",
            marker=marker,
            markersize=marker_size(marker) + 1,
            label=f"{colours.names[(model,)]}; {fills.names[(comparison,)]}",
            **face(colour, fills.looks[(comparison,)][1]),
        )
