"""Tables as files: parquet and CSV for machines, and Markdown, HTML and LaTeX for people.

What people read is a list of sections, made by the module that computes the table; nothing here knows what a table is
about.
"""

import html
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tabulate import LATEX_ESCAPE_RULES, tabulate

from autoencoders.evidence.html_page import page
from autoencoders.jobs.files import atomic
from autoencoders.jobs.parquet import write_parquet

NO_VALUE = "–"
DIVERGED = "diverged"
# 82.49, 82.49 ± 1.23, 98.00? (-0.40), 3.0 M: what stands right-aligned.
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?( ± [\d.]+)?\??( [A-Za-z]+)?( \([-+][\d.]+\))?")
LATEX_PACKAGES = ("booktabs", "graphicx", "longtable", "pdflscape")
# Rows that fit on a page, and characters that fit into a column beside others.
LONG_TABLE, LONG_TEXT = 40, 40
# Of numbers alone: a config's pattern of files has asterisks too.
BOLD = re.compile(r"\*\*(-?[\d.]+( ± [\d.]+)?)\*\*")


class Section(NamedTuple):
    """One table for people: its heading, lines of text that say what it shows, and its rows.

    ``rows`` holds texts alone, its column names are the headers; a number ``**x**`` is bold. Without a row, the text
    says why.
    """

    heading: str
    text: str
    rows: pd.DataFrame


def write_table(table: pd.DataFrame, title: str, paths: Mapping[str, str | Path], sections: Iterable[Section]) -> None:
    """Write ``table`` to paths["parquet"] and paths["csv"], and the sections to paths["md"], ["html"] and ["tex"]."""
    sections = list(sections)
    write_parquet(paths["parquet"], table)
    texts = {
        "csv": table.to_csv(index=False),
        "md": to_markdown(title, sections),
        "html": to_html(title, sections),
        "tex": to_latex(title, sections, name=Path(paths["tex"]).stem),
    }
    for key, text in texts.items():
        with atomic(paths[key]) as temporary:
            temporary.write_text(text, encoding="utf-8")


def to_markdown(title: str, sections: Iterable[Section]) -> str:
    parts = [f"# {title}"]
    for section in sections:
        parts += [f"## {section.heading}", *section.text.splitlines(), render_rows(section.rows, "pipe")]
    return "\n\n".join(filter(None, parts)) + "\n"


def to_html(title: str, sections: Iterable[Section]) -> str:
    """A page of its own, whose tables can be sorted."""
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for section in sections:
        parts.append(f"<h2>{html.escape(section.heading)}</h2>")
        parts += [f"<p>{html.escape(line)}</p>" for line in section.text.splitlines()]
        parts.append(BOLD.sub(r"<b>\1</b>", render_rows(section.rows, "html")))
    return page(title, "\n".join(filter(None, parts)))


def to_latex(title: str, sections: Iterable[Section], name: str) -> str:
    """For a document's ``\\input``: a table a section, with the labels tab:<name>-<heading>."""
    packages = "".join(rf"\usepackage{{{package}}}" for package in LATEX_PACKAGES)
    parts = [f"% {title}", f"% In the preamble: {packages}"]
    for heading, text, rows in sections:
        caption = escape_latex(" ".join([f"{heading}.", *text.splitlines()]))
        slug = re.sub(r"\W+", "-", heading.lower()).strip("-")
        title_lines = rf"\caption{{{caption}}}\label{{tab:{name}-{slug}}}"
        widths = {column: rows[column].map(len).max() for column in rows}
        share = paragraph_share(widths)
        if rows.empty:
            parts += ["", caption]
        elif max(widths.values()) > LONG_TEXT or (len(rows) > LONG_TABLE and share > 0):
            parts += ["", long_table(latex_rows(rows), widths, share, title_lines)]
        else:
            # Shrinks what is wider than the text, and nothing else. A page breaks between boxes alone.
            box = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
            for start in range(0, len(rows), LONG_TABLE):
                body = latex_rows(rows[start : start + LONG_TABLE])
                parts += ["", r"\begin{table}[htbp]", r"\centering", title_lines, box, body + "}", r"\end{table}"]
                title_lines = rf"\caption{{{escape_latex(heading)} (continued).}}"
    return "\n".join(parts) + "\n"


def latex_rows(rows: pd.DataFrame) -> str:
    return BOLD.sub(r"\\textbf{\1}", render_rows(rows, "latex_booktabs"))


def paragraph_share(widths: Mapping[str, int]) -> float:
    """The part of a landscape line that each column of long texts may take; below 0 where the others do not fit.

    ``widths``: the characters of the longest text under each header.
    """
    fixed = sum(max(width, len(header)) for header, width in widths.items() if width <= LONG_TEXT)
    # Parts of the line, measured in an article: a character of \footnotesize, and the space around a column.
    left = 0.97 - 0.0075 * fixed - 0.021 * len(widths)
    return left / max(sum(width > LONG_TEXT for width in widths.values()), 1)


def long_table(body: str, widths: Mapping[str, int], share: float, title_lines: str) -> str:
    """A tabular as a longtable in landscape, which breaks over pages and wraps long texts (``paragraph_share``)."""
    columns = re.search(r"\\begin{tabular}{(\w+)}", body)[1]
    paragraph = f"p{{{share:.3f}\\linewidth}}"
    columns = "".join(
        paragraph if width > LONG_TEXT else align for align, width in zip(columns, widths.values(), strict=True)
    )
    body = re.sub(r"\\begin{tabular}{\w+}\n|\\end{tabular}", "", body).rstrip()
    head, rows = body.split(r"\midrule", 1)
    parts = [
        r"\begin{landscape}\footnotesize",
        rf"\begin{{longtable}}{{{columns}}}",
        title_lines + r"\\",
        head.rstrip() + r" \midrule \endhead",
        rows.strip(),
        r"\end{longtable}\end{landscape}",
    ]
    return "\n".join(parts)


def render_rows(rows: pd.DataFrame, form: str) -> str:
    """The rows in one of tabulate's formats, escaped as it asks for, numbers on the right; "" without a row."""
    if rows.empty:
        return ""
    align = ["right" if all(map(is_number, rows[name])) else "left" for name in rows]
    return tabulate(rows.to_numpy().tolist(), list(rows), tablefmt=form, disable_numparse=True, colalign=align)


def is_number(text: str) -> bool:
    return text in (NO_VALUE, DIVERGED) or NUMBER.fullmatch(text.replace("**", "")) is not None


def escape_latex(text: str) -> str:
    return "".join(LATEX_ESCAPE_RULES.get(character, character) for character in text)


def significant(value: float, digits: int = 4) -> str:
    """``value`` with so many significant digits, never in powers of ten: 8.07 as 8.070, 12346 as 12350."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{digits}g}")
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{min(max(decimals, 0), digits)}f}"
