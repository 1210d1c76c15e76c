"""Does any method beat a plain autoencoder with a fitted prior? Sample scores against reconstructions' scores, and each
method's sample score beside the plain autoencoder's.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from autoencoders.evidence.display_names import (
    comparison_label,
    dataset_label,
    distance_label,
    model_label,
    model_order,
)
from autoencoders.evidence.paper_values import comparable, one_a_cell
from autoencoders.evidence.score_tables import of_measure
from autoencoders.evidence.seed_statistics import interval
from autoencoders.evidence.short_trainings import short_training_note
from autoencoders.figures.line_looks import BLACK, GREY, face, marker_size, symbol
from autoencoders.figures.model_looks import model_look
from autoencoders.figures.page_style import WIDTH, add_note
from autoencoders.figures.score_curves import message_figure, ordered_datasets, styled

# The plain autoencoder, the fitted prior of all methods, and what reconstructs.
PLAIN, FITTED, RECONSTRUCTIONS = "dae", "gmm", "test_recon"
NETWORK = ["dataset", "filters", "latent"]
# The filled part of a marker.
OF_FITTED, OF_NATIVE = "full", "none"
# What the paper prints or cites, with the fitted prior (True) and a native one.
CROSSES = {True: {"marker": "x", "markersize": 6}, False: {"marker": "+", "markersize": 7}}
PLAIN_LINE = {"color": BLACK, "linewidth": 0.7, "linestyle": (0, (4, 3))}


def method_points(scores: pd.DataFrame, native: Mapping[str, str | None]) -> pd.DataFrame:
    """What the figure shows of each method, with the fitted prior and with its native one if that is another.

    ``scores`` (``evidence.score_tables.collect_scores``) are of one extractor; cells of depth 1 with the status "ok"
    count. ``native``: the native prior of each model. One row for each of NETWORK, model and prior, in the order of
    tables: reconstruction and sample (means over seeds of the Fréchet distances), their standard deviations
    reconstruction_sd and sample_sd, and ratio, the sample score divided by that of the plain autoencoder with the
    fitted prior: the geometric mean over the seeds that both have, between low and high (95 %). What a single seed or
    a missing autoencoder can't give is NaN.
    """
    found = of_measure(scores)
    found = found[(found["depth"] == "1") & (found["status"] == "ok")]
    points = []
    for network, rows in found.groupby(NETWORK):
        values = rows.pivot(index="seed", columns=["model", "comparison"], values="value")
        plain = np.log(values[PLAIN, FITTED]) if (PLAIN, FITTED) in values else pd.Series(dtype=float)
        for model in sorted(rows["model"].unique(), key=model_order):
            priors = dict.fromkeys([FITTED, native.get(model) or FITTED])
            for prior in (name for name in priors if (model, name) in values):
                sample, reconstruction = values[model, prior], values[model, RECONSTRUCTIONS]
                effects = (np.log(sample) - plain).dropna()
                low, high = interval(effects) if len(effects) > 1 else (np.nan, np.nan)
                points.append(
                    {
                        **dict(zip(NETWORK, network, strict=True)),
                        **{"model": model, "prior": prior},
                        **{"reconstruction": reconstruction.mean(), "reconstruction_sd": reconstruction.std()},
                        **{"sample": sample.mean(), "sample_sd": sample.std()},
                        **{"ratio": np.exp(effects.mean()), "low": np.exp(low), "high": np.exp(high)},
                    }
                )
    return pd.DataFrame(points)


def published_points(points: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """What the paper prints or cites for these networks: NETWORK, model, prior, reconstruction and sample."""
    keys = [*NETWORK, "model"]
    values = one_a_cell(published)
    values = values[(values["depth"] == "1") & (values["source"] == "Table 2")]
    reconstruction = values[values["comparison"] == RECONSTRUCTIONS].rename(columns={"fid": "reconstruction"})
    sample = values.rename(columns={"comparison": "prior", "fid": "sample"})
    found = points[[*keys, "prior"]].merge(sample[[*keys, "prior", "sample"]], on=[*keys, "prior"])
    return found.merge(reconstruction[[*keys, "reconstruction"]], on=keys)


@styled
def methods_figure(
    scores: pd.DataFrame,
    extractor: str,
    published: pd.DataFrame,
    models: Sequence[str],
    methods: Mapping[str, Mapping],
) -> Figure:
    """For each dataset and width a row of two panels, of ``method_points``.

    On the left, a point for each method and prior with its standard deviations over seeds, a cross for what the paper
    prints or cites, and a line for the plain autoencoder with the fitted prior: what lies below beats it. On the right,
    each method's ratio to it with its 95 % interval. ``published`` is a table of ``read_published``; ``models`` are all
    models of the config (``model_looks``); ``methods`` say which have a native prior and untuned weights
    (`evidence.methods`).
    """
    scores = scores[scores["extractor"] == extractor]
    points = method_points(scores, {model: method["native_prior"] for model, method in methods.items()})
    if points.empty:
        return message_figure("no method of depth 1 was trained without diverging")
    own = scores.loc[~comparable(scores), "dataset"]
    crosses = published_points(points[~points["dataset"].isin(own)], published)
    groups = [
        group
        for dataset in ordered_datasets(points)
        for _, group in points[points["dataset"] == dataset].groupby("filters")
    ]
    names = max(group["model"].nunique() for group in groups)
    figure = Figure(figsize=(WIDTH, 0.35 + (0.55 + 0.19 * names) * len(groups)), layout="constrained")
    rows = figure.subplots(len(groups), 2, squeeze=False, width_ratios=(1, 1))
    for (left, right), group in zip(rows, groups, strict=True):
        dataset, filters = group["dataset"].iloc[0], group["filters"].iloc[0]
        draw_scores(left, group, models)
        for cross in crosses[(crosses["dataset"] == dataset) & (crosses["filters"] == filters)].to_dict("records"):
            look = CROSSES[cross["prior"] == FITTED] | {"color": model_look(cross["model"], models)[0]}
            label = f"{model_label(cross['model'])}; {comparison_label(cross['prior'])}; paper"
            left.plot([cross["reconstruction"]], [cross["sample"]], linestyle="none", label=label, **look)
        untuned = {model for model, method in methods.items() if dataset in method.get("untuned", ())}
        draw_ratios(right, group, models, untuned)
        left.set_title(f"{dataset_label(dataset)}, {filters} filters", loc="left")
    figure.supylabel(f"samples: {distance_label(extractor)}")
    rows[-1, 0].set_xlabel(f"reconstructed test images: {distance_label(extractor)}")
    rows[-1, 1].set_xlabel(f"samples: ratio to {model_label(PLAIN)}, {comparison_label(FITTED)}")
    sns.despine(figure)
    handles = [symbol("o", markersize=5, **face(GREY, fill)) for fill in (OF_FITTED, OF_NATIVE)]
    labels = [comparison_label(FITTED), "the method's native prior"]
    if points["ratio"].notna().any():
        handles.append(Line2D([], [], **PLAIN_LINE))
        labels.append(f"{model_label(PLAIN)} with {comparison_label(FITTED)}")
    if len(crosses):
        handles.append(symbol(color=GREY, **CROSSES[True]))
        labels.append("paper")
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    add_note(figure, short_training_note(scores["steps"]))
    return figure


def draw_scores(axes: Axes, points: pd.DataFrame, models: Sequence[str]) -> None:
    plain = points[(points["model"] == PLAIN) & (points["prior"] == FITTED)]
    for value in plain["sample"]:
        axes.axhline(value, zorder=1, **PLAIN_LINE)
    for point in points.to_dict("records"):
        spread = {"xerr": point["reconstruction_sd"], "yerr": point["sample_sd"]}
        draw_point(axes, point, models, point["reconstruction"], point["sample"], spread)
    plain_logarithm(axes.yaxis, axes.set_yscale, points["sample"])
    axes.grid(axis="both")
    axes.set_axisbelow(True)


def draw_ratios(axes: Axes, points: pd.DataFrame, models: Sequence[str], untuned: Collection[str]) -> None:
    """A line of the panel for each model, with a star for untuned weights; its priors one below the other."""
    names = list(dict.fromkeys(points["model"]))
    if points["ratio"].isna().all():
        text = f"no {model_label(PLAIN)} with {comparison_label(FITTED)}\nto compare with"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")
        axes.set_axis_off()
        return
    axes.axvline(1, zorder=1, **PLAIN_LINE)
    for point in points.dropna(subset="ratio").to_dict("records"):
        of_model = points[points["model"] == point["model"]]["prior"].tolist()
        place = names.index(point["model"]) + 0.3 * (of_model.index(point["prior"]) - (len(of_model) - 1) / 2)
        known = not np.isnan(point["low"])
        spread = [[point["ratio"] - point["low"]], [point["high"] - point["ratio"]]] if known else None
        draw_point(axes, point, models, point["ratio"], place, {"xerr": spread})
    axes.set_yticks(range(len(names)), [model_label(name) + "*" * (name in untuned) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    plain_logarithm(axes.xaxis, axes.set_xscale, points[["low", "ratio", "high"]].stack())
    axes.grid(axis="both")
    axes.set_axisbelow(True)


def draw_point(
    axes: Axes, point: Mapping, models: Sequence[str], x: float, y: float, spread: Mapping[str, object]
) -> None:
    colour, marker = model_look(point["model"], models)
    fill = OF_FITTED if point["prior"] == FITTED else OF_NATIVE
    axes.errorbar(
        *([x], [y]),
        **spread,
        linestyle="none",
        ecolor=colour,
        elinewidth=0.9,
        marker=marker,
        markersize=marker_size(marker),
        label=f"{model_label(point['model'])}; {comparison_label(point['prior'])}",
        **face(colour, fill),
    )


def plain_logarithm(axis, set_scale, values: pd.Series) -> None:
    """A logarithmic axis with numbers as they are; the ticks of a narrow range lie closer."""
    set_scale("log")
    narrow = values.max() < 3 * values.min()
    axis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 3, 4, 5, 6, 7, 8, 9) if narrow else (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
