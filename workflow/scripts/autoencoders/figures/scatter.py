"""Figures A.1 and A.2 of the paper: the codes of training images in two of the latent dimensions.

They are separate from ``figures.paper_figures``, so that an edit there does not read all codes again.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple

import matplotlib
import matplotlib.colors as colors
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke

from autoencoders.figures.line_looks import add_legend, heading
from autoencoders.figures.model_looks import model_look, shade
from autoencoders.figures.page_style import LEGEND_WIDTH, PANELS_MIDDLE, STYLE, WIDTH, add_note
from autoencoders.jobs.errors import UserError

SHOWN = 5000
LINES = ((0, (1, 1.2)), (0, (4, 1.5)), "-", "-.", (0, (8, 1.5, 1, 1.5)))
# Colour of the points (luminance 0.4, 0.55, 0.7) and of the ellipse. A.1: DAEs blue and red, VAE green; A.2: DAE blue,
# VAE red.
PAPERS_COLOURS = (
    ("#3f63dc", "#0a1f7a"),
    ("#ec6a5e", "#7d0f0a"),
    ("#74d486", "#0b4d18"),
    ("#f2b134", "#7a4d00"),
    ("#b48be0", "#451773"),
)
# The VAEs get a second panel if the range of all codes is at least this many times theirs.
ZOOM = 2
NOTE = "Each network has a latent space of its own: they share these axes, but nothing else."


class Cloud(NamedTuple):
    """The codes of one cell, floats (N, z) with z ≥ 2; N = 0 if it diverged."""

    label: str
    model: str
    variational: bool
    codes: np.ndarray


def model_colours(names: Sequence[str], models: Sequence[str]) -> list[tuple]:
    """Colours of the points and ellipses of cells of the models ``names``: the models' own (``model_look``), darker
    for further cells of a model. ``models`` are all models of the config.
    """
    found, seen = [], Counter()
    for name in names:
        colour, _ = model_look(name, models)
        dark = tuple(0.6 * part for part in colors.to_rgb(colour))
        points = shade(colour, 0.7)
        found.append((tuple(0.65 ** seen[name] * part for part in points), dark))
        seen[name] += 1
    return found


@matplotlib.rc_context(sns.axes_style("ticks") | STYLE)
def scatter(clouds: Sequence[Cloud], seed: int, models: Sequence[str] | None, note: str = "") -> Figure:
    """Codes of the same images by several models, in two latent dimensions chosen at random with ``seed``.

    The dimensions are among those that all models have. DAEs come before VAEs, and have the paper's colours or, given
    all ``models`` of the config, those of our own figures. A diverged cell is named in the legend. At most ``SHOWN``
    images are drawn, the same ones for all models. The ellipse is two standard deviations of the Gaussian (MVG) fitted
    to all codes. If the DAEs' codes reach much farther than the VAEs', as in the paper, a second panel shows the VAEs'
    range. ``note`` is written above the panels.

    Raises UserError for codes of one latent unit.
    """
    clouds = sorted(clouds, key=lambda cloud: cloud.variational)
    width = min((cloud.codes.shape[1] for cloud in clouds if len(cloud.codes)), default=2)
    if width < 2:
        raise UserError("A scatter plot of codes needs two latent units or more: leave this cell out of `scatter`.")
    dimensions = np.random.default_rng(seed).choice(width, 2, replace=False)
    points = [cloud.codes[:, dimensions] if len(cloud.codes) else np.empty((0, 2)) for cloud in clouds]
    papers = PAPERS_COLOURS if models is None else model_colours([cloud.model for cloud in clouds], models)
    looks = [(*colours, line) for colours, line, _ in zip(cycle(papers), cycle(LINES), clouds, strict=False)]

    views = [view(points), view([cloud for cloud, (_, _, vae, _) in zip(points, clouds, strict=True) if vae])]
    views = [each for each in views if each is not None]
    if len(views) == 2 and views[0][1] < ZOOM * views[1][1]:
        views.pop()
    panels = max(len(views), 1)
    side = (WIDTH - LEGEND_WIDTH - 0.4) / panels
    figure = Figure(figsize=(WIDTH, min(side, 3.2) + 0.4), layout="constrained")
    grid = figure.subplots(1, panels, squeeze=False)[0]
    for axes, (centre, reach) in zip(grid, views, strict=False):
        draw_clouds(axes, points, looks, seed)
        axes.set(xlim=(centre[0] - reach, centre[0] + reach), ylim=(centre[1] - reach, centre[1] + reach))
        axes.set_aspect("equal")
    if views:
        # Both panels show the same two dimensions.
        figure.supxlabel(f"latent dimension {dimensions[0]}", x=PANELS_MIDDLE)
        grid[0].set_ylabel(f"latent dimension {dimensions[1]}")
    else:
        grid[0].set_axis_off()
    if panels == 2:
        centre, reach = views[1]
        grid[0].add_patch(
            Rectangle(centre - reach, 2 * reach, 2 * reach, fill=False, edgecolor="black", linewidth=0.8, zorder=5)
        )
        grid[0].set_title("(a) all codes", loc="left")
        grid[1].set_title("(b) the square in (a)", loc="left")
    sns.despine(figure)
    add_legend(figure, cloud_entries(clouds, looks))
    add_note(figure, f"{NOTE} {note}".strip())
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


def cloud_entries(clouds: Sequence[Cloud], looks: Sequence[tuple]) -> list[tuple]:
    """Legend entries: the points and the ellipse of each cell."""
    entries = [heading("Codes")]
    for cloud, (colour, dark, line) in zip(clouds, looks, strict=True):
        points = Line2D([], [], linestyle="none", marker="o", markersize=6, color=colour, markeredgewidth=0)
        label = cloud.label if len(cloud.codes) else f"{cloud.label} (diverged)"
        entries.append(((points, Line2D([], [], color=dark, linestyle=line, linewidth=1.4)), label))
    return entries
