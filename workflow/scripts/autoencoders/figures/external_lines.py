"""Scores of images made elsewhere in figures: horizontal lines, since they have no latent size."""

from itertools import cycle

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from autoencoders.evidence.display_names import model_label
from autoencoders.evidence.external_rows import usual_images
from autoencoders.figures.line_looks import BLACK, heading

# Thin, and without the markers of cells' lines. A legend's line has room for one period of each style.
STYLES = ("-", (0, (9, 2.5)), (0, (9, 2.5, 2, 2.5)), (0, (5, 2.5, 1.5, 2.5, 1.5, 2.5)), (0, (3, 2.5)))
LINE = {"color": BLACK, "linewidth": 0.7}


def external_looks(external: pd.DataFrame) -> dict[str, object]:
    """A line style for each of the images made elsewhere by its name, in the order of the scores."""
    return dict(zip(external["model"].unique(), cycle(STYLES), strict=False))


def draw_external(axes: Axes, external: pd.DataFrame, looks: dict[str, object]) -> None:
    """A line across a panel for each of the scores, which are of its dataset."""
    for row in external.to_dict("records"):
        axes.axhline(row["value"], linestyle=looks[row["model"]], label=row["model"], zorder=1.6, **LINE)


def external_entries(external: pd.DataFrame, cells: pd.DataFrame) -> list[tuple]:
    """Legend entries: the lines by name, with the number of images if ``cells`` have more in a sample."""
    if external.empty:
        return []
    names = external_names(external, cells)
    lines = [(Line2D([], [], linestyle=style, **LINE), names[name]) for name, style in external_looks(external).items()]
    return [heading("External"), *lines]


def external_names(external: pd.DataFrame, cells: pd.DataFrame) -> dict[str, str]:
    """How a legend calls the images made elsewhere: by name, with their number if ``cells`` have more in a sample."""
    images, usual = external.groupby("model")["images"].min(), usual_images(cells)
    return {
        name: model_label(name) + (f" ({count:,} images)" if count < usual else "") for name, count in images.items()
    }
