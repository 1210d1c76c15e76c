"""The meaning of colours, markers and line styles in a figure, and the legend."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import cycle
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autoencoders.evidence.display_names import comparison_label, comparison_order, model_label, model_order
from autoencoders.figures.page_style import LEGEND_WIDTH, wrapped

BLACK, RED, GREEN, BLUE, ORANGE, PURPLE = "#000000", "#d62728", "#43b649", "#1030b0", "#ff9f1c", "#9b30c8"
GREY = "0.35"
# Colours with markers for keys without a look in the paper, and line styles with the filled part of the marker. The
# numbers of colours and of markers are coprime, as are those of styles and parts, so that no pair repeats.
OTHER_COLOURS = ("#8c564b", "#17becf", "#e377c2", "#7f7f7f", "#bcbd22")
OTHER_MARKERS = "vp<>hPX"
OTHER_LOOKS = tuple(zip(OTHER_COLOURS * 7, OTHER_MARKERS * 5, strict=True))
SOLID = ("-", "full")
OTHER_LINES = tuple(
    zip(
        ("--", ":", "-.", (0, (6, 1.5, 1, 1.5, 1, 1.5))) * 5,
        ("left", "none", "top", "right", "bottom") * 4,
        strict=True,
    )
)
# The paper's colours, in shades that also differ in greyscale (luminance 0, 0.35, 0.55, 0.2).
WIDTHS = {32: (BLACK, "o"), 64: (RED, "s"), 128: (GREEN, "^"), 256: (BLUE, "D")}
# Inches: the text in the legend, beside its symbols.
LEGEND_TEXT = LEGEND_WIDTH - 0.32
NAMES = {
    "model": model_label,
    "filters": "{} filters".format,
    "depth": "depth {}".format,
    "comparison": comparison_label,
}


class Encoding(NamedTuple):
    """How columns determine a look: a colour and a marker, or a line style and the part of the marker that is filled.

    ``choose`` maps keys (tuples of the columns' values, sorted by ``key_order``) to their looks, in the legend's order.
    The filled part (matplotlib's fillstyle) distinguishes points without a line.
    """

    heading: str
    columns: tuple[str, ...]
    choose: Callable[[list[tuple]], dict[tuple, tuple]]


class Channel(NamedTuple):
    """An ``Encoding`` applied to the rows of one figure: the look and the name of each key."""

    heading: str
    columns: tuple[str, ...]
    looks: dict[tuple, tuple]
    names: dict[tuple, str]


def channel(encoding: Encoding, rows: pd.DataFrame) -> Channel:
    """The looks and names of the keys that occur in ``rows``."""
    keys = set(rows[list(encoding.columns)].itertuples(index=False, name=None))
    looks = encoding.choose(sorted(keys, key=lambda key: key_order(encoding.columns, key)))
    named = [column for column in encoding.columns if len(encoding.columns) == 1 or not is_constant(rows, column)]
    names = {key: key_name(encoding.columns, key, named) for key in looks}
    return Channel(encoding.heading, encoding.columns, looks, names)


def is_constant(rows: pd.DataFrame, column: str) -> bool:
    """Whether all lines share this value and the legend can state it once: any single width, or depth 1."""
    values = set(rows[column])
    return len(values) == 1 and (column == "filters" or (column == "depth" and values == {"1"}))


def key_name(columns: Sequence[str], key: tuple, named: Sequence[str]) -> str:
    """(dae, 128, 2) as "DAE, 128 filters, depth 2", without the columns that are not ``named``."""
    if len(columns) == 1 and columns[0] in ("filters", "depth"):
        return str(key[0])
    return ", ".join(NAMES[column](value) for column, value in zip(columns, key, strict=True) if column in named)


def depth_order(depth: str) -> tuple:
    """Sort key: the convolutions of four encoder stages, so that 3321 (9) is between 2 (8) and 3 (12)."""
    return (sum(map(int, depth)) if len(depth) > 1 else 4 * int(depth)), depth


def key_order(columns: Sequence[str], key: tuple) -> tuple:
    order = {"model": model_order, "filters": int, "depth": depth_order, "comparison": comparison_order}
    return tuple(order[column](value) for column, value in zip(columns, key, strict=True))


def known_or_other(known: Mapping[tuple, tuple], others: Sequence[tuple]) -> Callable[[list[tuple]], dict]:
    """For ``Encoding.choose``: the look in ``known`` for a key or for its first values, else the next of ``others``.

    Each look is given to one key only, the first: two VAE baselines of different widths must not look the same.
    """

    def choose(keys: Iterable[tuple]) -> dict[tuple, tuple]:
        chosen, rest = {}, cycle([look for look in others if look not in known.values()])
        for key in keys:
            beginnings = [key[:length] for length in range(len(key), 0, -1)]
            look = next((known[beginning] for beginning in beginnings if beginning in known), None)
            chosen[key] = next(rest) if look is None or look in chosen.values() else look
        return chosen

    return choose


def ordered_looks(count: int) -> list[tuple]:
    """Colours that become steadily paler, also in greyscale, each with a marker."""
    colours = matplotlib.colormaps["plasma"](np.linspace(0.1, 0.8, max(count, 2)))[:count]
    return list(zip(map(tuple, colours), cycle(OTHER_MARKERS), strict=False))


def width_looks(keys: Iterable[tuple[int]]) -> dict[tuple[int], tuple]:
    """Colour and marker of each width: the paper's, or from an ordered colour map for widths not in the paper."""
    keys = list(keys)
    others = [key for key in keys if key[0] not in WIDTHS]
    chosen = dict(zip(others, ordered_looks(len(others)), strict=True))
    return {key: chosen.get(key) or WIDTHS[key[0]] for key in keys}


def marker_size(marker: str) -> float:
    """In points. Triangles and crosses look smaller than other markers of the same size."""
    return 6.0 if marker in "^v<>PX" else 5.0


def face(colour, fill: str) -> dict:
    """matplotlib's options of a marker of which only a part is filled ("full", "left", ..., or "none"): the rest is
    white, and hides what lies behind it.
    """
    options = {"markeredgecolor": colour, "markeredgewidth": 0.9}
    if fill == "none":
        return options | {"markerfacecolor": "white"}
    return options | {"markerfacecolor": colour, "markerfacecoloralt": "white", "fillstyle": fill}


def symbol(marker: str, **options) -> Line2D:
    """A marker for the legend, without a line."""
    return Line2D([], [], linestyle="none", marker=marker, **options)


def heading(text: str) -> tuple[Line2D, str]:
    words = text.replace(" ", r"\ ")
    return symbol("none"), rf"$\bf{{{words}}}$"


def colour_entries(colours: Channel) -> list[tuple]:
    """Legend entries (handle, text): a marker per key."""
    entries = [heading(colours.heading)]
    for key, (colour, marker) in colours.looks.items():
        handle = symbol(marker, markersize=marker_size(marker), color=colour, markeredgewidth=0)
        entries.append((handle, colours.names[key]))
    return entries


def line_entries(lines: Channel, rows: pd.DataFrame, connected: bool = True) -> list[tuple]:
    """Legend entries: a grey line per key, or its marker alone if no points are ``connected``; none if all ``rows``
    have the same look, which ``constant_entries`` states in fewer words.
    """
    if all(is_constant(rows, column) for column in lines.columns):
        return []
    entries = [heading(lines.heading)]
    for key, (style, fill) in lines.looks.items():
        options = {"marker": "o", "markersize": marker_size("o"), **face(GREY, fill)}
        line = Line2D([], [], color=GREY, linestyle=style if connected else "none", linewidth=1.2, **options)
        entries.append((line, lines.names[key]))
    return entries


def constant_entries(rows: pd.DataFrame, channels: Sequence[Channel]) -> list[tuple]:
    """Legend entries: width and depth, if the names of keys omit them because all lines share them.

    The last of ``channels`` determines the line style, of which ``line_entries`` shows none if it is constant.
    """
    columns = {column for each in channels if len(each.columns) > 1 or each is channels[-1] for column in each.columns}
    texts = [
        NAMES[column](rows[column].iloc[0])
        for column in ("filters", "depth")
        if column in columns and is_constant(rows, column)
    ]
    return [heading("Throughout"), *[(symbol("none"), text) for text in texts]] if texts else []


def wrapped_entries(entries: Sequence[tuple]) -> list[tuple]:
    """The entries with their texts in lines that fit into the legend; headings are short."""
    return [(handle, text if text.startswith("$") else wrapped(text, LEGEND_TEXT)) for handle, text in entries]


def legend_height(entries: Sequence[tuple]) -> float:
    """The height of the legend with these entries, in inches."""
    return 0.2 + 0.15 * len(entries) + 0.12 * sum(text.count("\n") for _, text in wrapped_entries(entries))


def add_legend(figure: Figure, entries: Sequence[tuple]) -> None:
    """Draw the legend in one column to the right of the panels: headings, and their values below them."""
    figure.legend(
        *zip(*wrapped_entries(entries), strict=True),
        loc="outside right upper",
        frameon=False,
        handlelength=2.0,
        handletextpad=0.5,
        labelspacing=0.3,
        borderpad=0,
        borderaxespad=0.2,
        alignment="left",
    )
