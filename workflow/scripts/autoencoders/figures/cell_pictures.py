"""Pictures of a cell's reconstructions, interpolations and samples.

They are separate from `figures.paper_figures`, so that an edit there does not redraw the pictures of every cell.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from autoencoders.evidence.display_names import (
    comparison_label,
    comparison_order,
    dataset_label,
    distance_label,
    model_label,
)
from autoencoders.evidence.table_files import decimals, rounded
from autoencoders.figures.page_style import DPI, STYLE, WIDTH, wrapped
from autoencoders.figures.tiles import tile

# Eleven images of 96 pixels fill the width of a page.
PER_ROW = 11
# In pixels: the white edge, a line of text, and the space above a strip's text.
EDGE, LINE, SPACE = 12, 28, 16


class Strip(NamedTuple):
    """A line of text above a picture, uint8 (H, W, 3), or above nothing."""

    text: str
    picture: np.ndarray | None = None


def cell_name(cell: Mapping) -> str:
    """The cell of a cell.json, for people: "DAE on CIFAR-10: 128 filters, depth 1, 64 latent units, seed 0"."""
    size = f"{cell['filters']} filters, depth {cell['depth']}, {cell['latent']} latent units, seed {cell['seed']}"
    return f"{model_label(cell['model'])} on {dataset_label(cell['dataset'])}: {size}"


@matplotlib.rc_context(STYLE)
def page(title: str, strips: Sequence[Strip], note: str = "") -> Figure:
    """The title, the strips below each other, and the note, unless it is empty, below them.

    Saved at DPI, each pixel of a picture is one pixel of the file. Texts are wrapped at the width of the widest
    picture, but at no less than that of a page.
    """
    pictures = [strip.picture for strip in strips if strip.picture is not None]
    inside = max([picture.shape[1] for picture in pictures] + [round(WIDTH * DPI) - 2 * EDGE])
    texts = [title, *(strip.text for strip in strips), note]
    styles = [{"weight": "bold"}, *[{}] * len(strips), {"style": "italic"}]
    texts = [
        wrapped(text, inside / DPI, style.get("weight", "normal")) if text else ""
        for text, style in zip(texts, styles, strict=True)
    ]
    heights = [LINE * (text.count("\n") + 1) if text else 0 for text in texts]
    stacked = [0, *(0 if strip.picture is None else len(strip.picture) for strip in strips), 0]
    height = 2 * EDGE + sum(heights) + sum(stacked) + SPACE * sum(bool(text) for text in texts[1:])
    width = 2 * EDGE + inside
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    top = EDGE - SPACE
    for text, tall, picture, below, style in zip(
        texts, heights, [None, *(strip.picture for strip in strips), None], stacked, styles, strict=True
    ):
        top += SPACE * bool(text)
        if text:
            figure.text(EDGE / width, 1 - (top + tall / 2) / height, text, ha="left", va="center", **style)
        top += tall
        if picture is not None:
            box = (EDGE / width, 1 - (top + below) / height, picture.shape[1] / width, below / height)
            axes = figure.add_axes(box)
            axes.imshow(picture, interpolation="none", aspect="auto")
            axes.set_axis_off()
        top += below
    return figure


def alternating(*rows: np.ndarray, per_row: int = PER_ROW) -> np.ndarray:
    """Sets of images uint8 (n, 3, S, S) as a picture: ``per_row`` images of the first set, below each its counterparts
    in the other sets, then the next ``per_row``.
    """
    blocks = []
    for start in range(0, len(rows[0]), per_row):
        group = [tile(images[start : start + per_row], per_row) for images in rows]
        blocks += [part for picture in group for part in (picture, white(2, picture))][:-1]
        blocks.append(white(EDGE, group[0]))
    widest = max(block.shape[1] for block in blocks)
    padded = [np.pad(each, ((0, 0), (0, widest - each.shape[1]), (0, 0)), constant_values=255) for each in blocks]
    return np.concatenate(padded[:-1])


def white(height: int, like: np.ndarray) -> np.ndarray:
    return np.full((height, like.shape[1], 3), 255, np.uint8)


def reconstruction_page(title: str, originals: np.ndarray, reconstructions: np.ndarray, note: str = "") -> Figure:
    """Originals, uint8 (n, 3, S, S), each above its reconstruction; n = 0 if the cell diverged."""
    if len(reconstructions) == 0:
        return page(title, [Strip("diverged: no reconstructions")], note)
    strip = Strip("Test images, each above its reconstruction", alternating(originals, reconstructions))
    return page(title, [strip], note)


def interpolation_page(title: str, ends: np.ndarray, steps: np.ndarray, note: str = "") -> Figure:
    """Steps between pairs of test images, decoded, between the two originals.

    ``ends`` is uint8 (P, 2, 3, S, S), ``steps`` uint8 (P, n, 3, S, S); P = 0 if the cell diverged.
    """
    if len(steps) == 0:
        return page(title, [Strip("diverged: no interpolations")], note)
    columns = [tile(ends[:, 0], 1), tile(steps.reshape(-1, *steps.shape[2:]), steps.shape[1]), tile(ends[:, 1], 1)]
    gap = np.full((len(columns[0]), EDGE, 3), 255, np.uint8)
    text = "From one test image (left) to another (right): decoded steps between their codes"
    return page(title, [Strip(text, np.concatenate([columns[0], gap, columns[1], gap, columns[2]], axis=1))], note)


def sample_page(
    title: str, originals: np.ndarray, images: Mapping[str, np.ndarray], scores: pd.DataFrame, note: str = ""
) -> Figure:
    """A row of test images, and a block of samples for each prior with its scores.

    ``originals`` are uint8 (n, 3, S, S); ``images`` maps a prior's name to such images, n = 0 if the cell diverged.
    ``scores`` are the rows of the cell (``scores.cell_scores``), or an empty table.
    """
    strips = [Strip("Test images", tile(originals[:PER_ROW], PER_ROW))] if len(originals) else []
    for prior in sorted(images, key=comparison_order):
        samples = images[prior]
        if len(samples):
            text = f"Samples from {comparison_label(prior)}{described(scores, prior)}"
            strips.append(Strip(text, tile(samples, PER_ROW)))
        else:
            strips.append(Strip(f"Samples from {comparison_label(prior)}: diverged, no samples"))
    return page(title, strips, note)


def neighbour_page(
    title: str,
    samples: Mapping[str, np.ndarray],
    neighbours: Mapping[str, Mapping[str, np.ndarray]],
    training: np.ndarray,
    note: str = "",
) -> Figure:
    """For each prior and extractor, the PER_ROW samples that are nearest to a training image, each above it, from the
    nearest one on.

    ``samples`` maps a prior's name to images uint8 (n, 3, S, S), n = 0 if the cell diverged; ``neighbours`` an
    extractor's name to the arrays ``<prior>/distance`` and ``<prior>/index`` (N,), N ≥ n, of their nearest among the
    ``training`` images, uint8 (M, 3, S, S).
    """
    strips = []
    for prior in sorted(samples, key=comparison_order):
        shown = samples[prior]
        if not len(shown):
            strips.append(Strip(f"Samples from {comparison_label(prior)}: diverged, no samples"))
            continue
        for extractor, arrays in neighbours.items():
            order = arrays[f"{prior}/distance"][: len(shown)].argsort(kind="stable")[:PER_ROW]
            text = (
                f"Samples from {comparison_label(prior)}: the {len(order)} of {len(shown)} that are nearest to a "
                f"training image in {extractor} features, each above that image"
            )
            strips.append(Strip(text, alternating(shown[order], training[arrays[f"{prior}/index"][order]])))
    return page(title, strips, note)


def described(scores: pd.DataFrame, prior: str) -> str:
    """The Fréchet distances of a prior's samples, as ": FID 80.12, FD (classifier features) 12.30"; "" without any."""
    rows = scores[(scores["comparison"] == prior) & (scores["measure"] == "frechet") & scores["value"].notna()]
    places = max(2, decimals(rows["value"], digits=3))
    found = [f"{distance_label(row.extractor)} {rounded(row.value, places)}" for row in rows.itertuples()]
    return f": {', '.join(found)}" if found else ""
