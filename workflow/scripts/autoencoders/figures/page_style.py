"""The style of all figures, and how they are saved."""

import functools
import math
import textwrap
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from autoencoders.jobs.files import atomic

DPI = 200
# Inches: the text width of a page, so that a figure is printed at its own size.
WIDTH = 5.5
# The part of it to the right of the panels.
LEGEND_WIDTH = 1.1
# The middle of the panels, as a part of the figure's width; they begin to the right of the axes' labels.
PANELS_MIDDLE = (1 - LEGEND_WIDTH / WIDTH) / 2 + 0.04
# DejaVu Sans comes with matplotlib, so that a figure has the same bytes on every machine. Sizes are in points.
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "figure.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "xtick.major.size": 3.5,
    "ytick.major.size": 3.5,
    "xtick.minor.size": 2,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    # Type 42 keeps text in a PDF as text; many journals refuse Type 3 fonts.
    "pdf.fonttype": 42,
}


@functools.cache
def text_width(text: str, weight: str = "normal") -> int:
    """The width of a text in the figures' font, in pixels at DPI."""
    if not text:
        return 0
    font = FontProperties(family=STYLE["font.family"], size=STYLE["font.size"], weight=weight)
    return math.ceil(TextPath((0, 0), text, prop=font).get_extents().width * DPI / 72) + 2


def wrapped(text: str, width: float, weight: str = "normal") -> str:
    """The text in lines of at most ``width`` inches; words are broken only if they are longer."""
    if not text.strip():
        return text
    room = width * DPI
    # Measuring takes milliseconds, so the search begins a little above what letters of average width would fill.
    most = min(len(text), int(1.3 * len(text) * room / text_width(text, weight)) + 1)
    for letters in range(most, 0, -1):
        lines = textwrap.wrap(text, letters)
        if max(text_width(line, weight) for line in lines) <= room:
            return "\n".join(lines)
    return text


def add_note(figure: Figure, note: str) -> None:
    """Write a note above the panels of a figure in constrained layout, beside its legend; nothing if it is empty. The
    figure becomes taller for it.
    """
    if not note:
        return
    lines = wrapped(note, figure.get_figwidth() - LEGEND_WIDTH - 0.1)
    figure.set_figheight(figure.get_figheight() + 0.1 + 0.15 * (lines.count("\n") + 1))
    left = 0.05 / figure.get_figwidth()
    figure.suptitle(lines, x=left, ha="left", fontsize=STYLE["font.size"], style="italic")


@matplotlib.rc_context(STYLE)
def save(figure: Figure, *paths: str | Path) -> None:
    """Write the figure in the format of each path's suffix (.pdf, .png): the same bytes for the same figure."""
    metadata = {".pdf": {"CreationDate": None}, ".png": {"Software": None}}
    for path in map(Path, paths):
        with atomic(path) as temporary:
            figure.savefig(temporary, dpi=DPI, metadata=metadata[path.suffix])
