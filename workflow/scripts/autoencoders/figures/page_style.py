"""The style of all figures, and how they are saved."""

import math
import textwrap
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from autoencoders.jobs.files import atomic

DPI = 200
# DejaVu Sans comes with matplotlib, so that a figure has the same bytes on every machine. Sizes are those in print, in
# points.
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
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


def text_width(text: str) -> int:
    """The width of a text in the figures' font, in pixels at DPI."""
    if not text:
        return 0
    font = FontProperties(family=STYLE["font.family"], size=STYLE["font.size"])
    return math.ceil(TextPath((0, 0), text, prop=font).get_extents().width * DPI / 72) + 2


def add_note(figure: Figure, note: str) -> None:
    """Write a note below a figure in constrained layout, which becomes taller for it; nothing if the note is empty."""
    if not note:
        return
    room = figure.get_figwidth() - 0.2
    lines = textwrap.wrap(note, int(len(note) * room * DPI / text_width(note)))
    figure.set_figheight(figure.get_figheight() + 0.1 + 0.16 * len(lines))
    figure.supxlabel(
        "\n".join(lines), x=0.1 / figure.get_figwidth(), ha="left", fontsize=STYLE["font.size"], style="italic"
    )


@matplotlib.rc_context(STYLE)
def save(figure: Figure, *paths: str | Path) -> None:
    """Write the figure in the format of each path's suffix (.pdf, .png): the same bytes for the same figure."""
    metadata = {".pdf": {"CreationDate": None}, ".png": {"Software": None}}
    for path in map(Path, paths):
        with atomic(path) as temporary:
            figure.savefig(temporary, dpi=DPI, metadata=metadata[path.suffix])
