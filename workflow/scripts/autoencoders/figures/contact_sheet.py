"""All figures on one page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from autoencoders.figures.page_style import DPI, STYLE

# Inches: A4, portrait.
WIDTH, HEIGHT = 8.27, 11.69
MARGIN, GAP, TITLE = 0.4, 0.15, 0.22
# The mean width of a letter of a title, as a share of the type's size.
LETTER = 0.66


@matplotlib.rc_context(STYLE)
def contact_sheet(pictures: Mapping[str, str | Path]) -> Figure:
    """An A4 page of all pictures (title -> path of a PNG), in their order.

    All are scaled by the same factor, at most 1, so that their texts have equal sizes.
    """
    images = {title: np.asarray(Image.open(path).convert("RGB")) for title, path in pictures.items()}
    figure = Figure(figsize=(WIDTH, HEIGHT))
    boxes = layout([image.shape[1::-1] for image in images.values()])
    for (title, image), (left, top, width, height) in zip(images.items(), boxes, strict=True):
        axes = figure.add_axes((left / WIDTH, 1 - (top + height) / HEIGHT, width / WIDTH, height / HEIGHT))
        axes.imshow(image, aspect="auto")
        axes.set_axis_off()
        fitting = 72 * width / (LETTER * len(title))
        axes.set_title(title, loc="left", pad=3, weight="bold", fontsize=min(STYLE["font.size"], fitting))
    return figure


def layout(sizes: Sequence[tuple[int, int]]) -> list[tuple[float, float, float, float]]:
    """Boxes (left, top, width, height), in inches from the top left corner of the page, for pictures of ``sizes``
    (width, height in pixels).

    The scale is the largest, in steps of one percent, at which the rows fit on the page.
    """
    across, down = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
    sizes = np.array(sizes, float).reshape(-1, 2) / DPI
    for scale in np.geomspace(1, 1e-3, 700):
        rows = list(wrap(sizes * scale, across))
        heights = [TITLE + row[:, 1].max() for row in rows]
        widths = [row[:, 0].sum() + GAP * (len(row) - 1) for row in rows]
        if max(widths, default=0) <= across and sum(heights) + GAP * (len(rows) - 1) <= down:
            break
    boxes, top = [], MARGIN
    for row, row_height in zip(rows, heights, strict=True):
        left = MARGIN
        for width, height in row:
            boxes.append((left, top + TITLE, width, height))
            left += width + GAP
        top += row_height + GAP
    return boxes


def wrap(sizes: np.ndarray, across: float) -> Iterator[np.ndarray]:
    """Split sizes (n, 2) into rows of as many as fit into the width ``across``; a single picture may be wider."""
    start = 0
    for end in range(1, len(sizes) + 1):
        row = sizes[start : end + 1]
        if end == len(sizes) or row[:, 0].sum() + GAP * (len(row) - 1) > across:
            yield sizes[start:end]
            start = end
