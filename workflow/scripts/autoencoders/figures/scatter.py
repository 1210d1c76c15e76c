"""Figures A.1 and A.2 of the paper: the codes of training images in two of the latent dimensions.

They are separate from ``figures.paper_figures``, so that an edit there does not read all codes again.
"""

from collections.abc import Sequence
from itertools import cycle

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke

from autoencoders.figures.page_style import STYLE
from autoencoders.jobs.errors import UserError

SHOWN = 5000
# Colour of the points (luminance 0.4, 0.55, 0.7), colour and line style of the ellipse. A.1: DAEs blue and red, VAE
# green; A.2: DAE blue, VAE red.
LOOKS = (
    ("#3f63dc", "#0a1f7a", (0, (1, 1.2))),
    ("#ec6a5e", "#7d0f0a", (0, (4, 1.5))),
    ("#74d486", "#0b4d18", "-"),
    ("#f2b134", "#7a4d00", "-."),
    ("#b48be0", "#451773", (0, (8, 1.5, 1, 1.5))),
)
# The VAEs get a second panel if the range of all codes is at least this many times theirs.
ZOOM = 2


@matplotlib.rc_context(sns.axes_style("ticks") | STYLE)
def scatter(models: Sequence[tuple[str, bool, np.ndarray]], title: str, seed: int) -> Figure:
    """Codes of the same images by several models, in two latent dimensions chosen at random with ``seed``.

    ``models`` are (label, variational, codes), codes floats (N, z) with z ≥ 2; the dimensions are among those that all
    models have. N = 0 for a diverged cell, which is named in the legend. The DAEs get the first colours, then the VAEs.
    At most ``SHOWN`` images are drawn, the same ones for all models. The ellipse is two standard deviations of the
    Gaussian (MVG) fitted to all codes. If the DAEs' codes reach much farther than the VAEs', as in the paper, a second
    panel shows the VAEs' range.

    Raises UserError for codes of one latent unit.
    """
    models = sorted(models, key=lambda model: model[1])
    width = min((codes.shape[1] for _, _, codes in models if len(codes)), default=2)
    if width < 2:
        raise UserError("A scatter plot of codes needs two latent units or more: leave this cell out of `scatter`.")
    dimensions = np.random.default_rng(seed).choice(width, 2, replace=False)
    clouds = [codes[:, dimensions] if len(codes) else np.empty((0, 2)) for _, _, codes in models]
    looks = [look for look, _ in zip(cycle(LOOKS), models, strict=False)]

    views = [view(clouds), view([cloud for cloud, (_, vae, _) in zip(clouds, models, strict=True) if vae])]
    views = [each for each in views if each is not None]
    if len(views) == 2 and views[0][1] < ZOOM * views[1][1]:
        views.pop()
    panels = max(len(views), 1)
    # A label of the legend is up to a panel wide.
    figure = Figure(figsize=(0.5 + 3.4 * panels, 3.8 + 0.2 * -(-len(models) // panels)), layout="constrained")
    grid = figure.subplots(1, panels, squeeze=False)[0]
    for axes, (centre, reach) in zip(grid, views, strict=False):
        draw_clouds(axes, clouds, looks, seed)
        axes.set(xlim=(centre[0] - reach, centre[0] + reach), ylim=(centre[1] - reach, centre[1] + reach))
        axes.set_aspect("equal")
        axes.set_xlabel(f"latent dimension {dimensions[0]}")
    grid[0].set_ylabel(f"latent dimension {dimensions[1]}")
    if not views:
        grid[0].set_axis_off()
    if panels == 2:
        centre, reach = views[1]
        grid[0].add_patch(
            Rectangle(centre - reach, 2 * reach, 2 * reach, fill=False, edgecolor="black", linewidth=0.8, zorder=5)
        )
        grid[0].set_title("(a) all codes", loc="left")
        grid[1].set_title("(b) the square in (a)", loc="left")
    sns.despine(figure)
    figure.suptitle(title, fontsize=STYLE["axes.titlesize"])
    add_legend(figure, [label for label, _, _ in models], clouds, looks, columns=panels)
    return figure


def view(clouds: Sequence[np.ndarray]) -> tuple[np.ndarray, float] | None:
    """Centre (2,) and half the side of the square with three standard deviations of each cloud (N, 2); None if all are
    empty.

    0.5 % of Gaussian codes lie outside; with four standard deviations half of the panel would be empty.
    """
    clouds = [cloud for cloud in clouds if len(cloud)]
    if not clouds:
        return None
    low = np.min([cloud.mean(0) - 3 * cloud.std(0) for cloud in clouds], axis=0)
    high = np.max([cloud.mean(0) + 3 * cloud.std(0) for cloud in clouds], axis=0)
    # Not zero, even if all points are equal.
    return (low + high) / 2, max(float((high - low).max()) / 2, 1e-6)


def draw_clouds(axes: Axes, clouds: Sequence[np.ndarray], looks: Sequence[tuple], seed: int) -> None:
    """Draw the widest cloud behind the others, and all points behind all ellipses."""
    for order, index in enumerate(sorted(range(len(clouds)), key=lambda index: -spread(clouds[index]))):
        cloud, (colour, dark, line) = clouds[index], looks[index]
        if not len(cloud):
            continue
        shown = np.random.default_rng(seed).permutation(len(cloud))[:SHOWN]
        # Thousands of points as vectors would need many megabytes in a PDF.
        style = {"s": 3, "linewidths": 0, "alpha": 0.35, "rasterized": True, "zorder": 2 + order / len(clouds)}
        axes.scatter(*cloud[shown].T, color=colour, **style)
        if len(cloud) > 1:
            casing = [Stroke(linewidth=3, foreground="white"), Normal()]
            axes.plot(*ellipse(cloud), color=dark, linestyle=line, linewidth=1.4, path_effects=casing, zorder=4)


def spread(cloud: np.ndarray) -> float:
    return float(cloud.std(0).max()) if len(cloud) else 0.0


def ellipse(cloud: np.ndarray) -> np.ndarray:
    """x and y (2, 181) of the points two standard deviations (Mahalanobis) from the mean of a cloud (N, 2)."""
    variances, axes = np.linalg.eigh(np.cov(cloud.astype(np.float64).T))
    angles = np.linspace(0, 2 * np.pi, 181)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    return cloud.mean(0)[:, None] + 2 * axes @ (np.sqrt(variances.clip(0))[:, None] * circle)


def add_legend(
    figure: Figure, labels: Sequence[str], clouds: Sequence[np.ndarray], looks: Sequence[tuple], columns: int
) -> None:
    handles, texts = [], []
    for label, cloud, (colour, dark, line) in zip(labels, clouds, looks, strict=True):
        points = Line2D([], [], linestyle="none", marker="o", markersize=7, color=colour, markeredgewidth=0)
        handles.append((points, Line2D([], [], color=dark, linestyle=line, linewidth=1.4)))
        texts.append(label if len(cloud) else f"{label} (diverged)")
    options = {"ncols": columns, "frameon": False, "handlelength": 3.0}
    figure.legend(handles, texts, loc="outside lower center", **options)
