"""Pictures of a cell's reconstructions and samples.

They are separate from `figures.paper_figures`, so that an edit there does not redraw the pictures of every cell.
"""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from autoencoders.evidence.display_names import comparison_label, comparison_order
from autoencoders.figures.page_style import DPI, STYLE, text_width
from autoencoders.figures.tiles import tile


@matplotlib.rc_context(STYLE)
def strips(rows: Sequence[tuple[str, np.ndarray | str]], gaps: Sequence[int]) -> Figure:
    """Rows of a label with a picture (uint8 H×W×3) to its right, or with a text if there is no picture.

    ``gaps`` are the white pixels below each row but the last. Saved at DPI, each pixel of a picture is one pixel of the
    file.
    """
    edge, text_height = 12, 60
    margin = 2 * edge + max(text_width(label) for label, _ in rows)
    heights = [text_height if isinstance(picture, str) else len(picture) for _, picture in rows]
    widths = [text_width(picture) if isinstance(picture, str) else picture.shape[1] for _, picture in rows]
    width, height = margin + max(widths) + edge, 2 * edge + sum(heights) + sum(gaps)
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    top = edge
    for (label, picture), tall, wide, gap in zip(rows, heights, widths, [*gaps, 0], strict=True):
        middle = 1 - (top + tall / 2) / height
        figure.text((margin - edge) / width, middle, label, ha="right", va="center")
        if isinstance(picture, str):
            figure.text(margin / width, middle, picture, ha="left", va="center", style="italic")
        else:
            box = (margin / width, 1 - (top + tall) / height, wide / width, tall / height)
            axes = figure.add_axes(box)
            axes.imshow(picture, interpolation="none", aspect="auto")
            axes.set_axis_off()
        top += tall + gap
    return figure


def reconstruction_grid(originals: np.ndarray, reconstructions: np.ndarray, per_row: int, note: str = "") -> Figure:
    """Originals, uint8 (n, 3, S, S), each above its reconstruction, ``per_row`` pairs in a row; ``note`` below them.

    Reconstructions have the same shape, but n = 0 if the cell diverged.
    """
    if len(reconstructions) == 0:
        return with_note([("reconstruction", "diverged: no reconstructions")], [], note)
    rows = []
    for start in range(0, len(reconstructions), per_row):
        chosen = slice(start, start + per_row)
        rows.append(("original", tile(originals[chosen], per_row)))
        rows.append(("reconstruction", tile(reconstructions[chosen], per_row)))
    return with_note(rows, [2, 24] * (len(rows) // 2 - 1) + [2], note)


def sample_grid(images: Mapping[str, np.ndarray], columns: int, note: str = "") -> Figure:
    """A block of samples for each prior, and ``note`` below them.

    ``images`` maps a prior's name to uint8 (n, 3, S, S), n = 0 if the cell diverged.
    """
    rows = []
    for prior in sorted(images, key=comparison_order):
        samples = images[prior]
        rows.append((comparison_label(prior), tile(samples, columns) if len(samples) else "diverged: no samples"))
    return with_note(rows, [24] * (len(rows) - 1), note)


def with_note(rows: list[tuple[str, np.ndarray | str]], gaps: list[int], note: str) -> Figure:
    """``strips`` with a last row for the note, unless it is empty."""
    return strips([*rows, ("", note)], [*gaps, 12]) if note else strips(rows, gaps)
