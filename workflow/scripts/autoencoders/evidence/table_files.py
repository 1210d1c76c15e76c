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

from autoencoders.jobs.files import atomic
from autoencoders.jobs.parquet_tables import write_parquet

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


# Headers stay in sight when the page is scrolled, and so do the first column and the texts in wide tables.
STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { width: fit-content; min-width: 100%; margin: 0; padding: 0 1.5rem 2rem; background: #fff; color: #1f2328;
  font: 14px/1.4 system-ui, sans-serif; }
h1, h2, p { position: sticky; left: 1.5rem; max-width: min(62rem, calc(100vw - 3rem)); }
h1 { margin: 0.8em 0 0.2em; font-size: 1.6em; }
h2 { margin: 1.6em 0 0.3em; font-size: 1.25em; }
p { margin: 0.3em 0; }
table { margin-top: 0.8em; border-spacing: 0; font-variant-numeric: tabular-nums; }
th, td { max-width: 34em; padding: 0.25em 0.6em; text-align: left; vertical-align: top; overflow-wrap: break-word;
  background: #fff; border-bottom: 1px solid #d8dee4; }
th { position: sticky; top: 0; z-index: 1; vertical-align: bottom; border-bottom: 2px solid #424a53; }
th:first-child, td:first-child { position: sticky; left: 0; }
th:first-child { z-index: 2; }
td[style*=right], .short { white-space: nowrap; }
.hint { color: #59636e; }
tbody tr:hover td { background: #f3f5f8; }
button { padding: 0; border: 0; background: none; font: inherit; color: inherit; text-align: inherit; cursor: pointer; }
button:hover, button:focus-visible { text-decoration: underline; }
[aria-sort=ascending] button::after { content: "\\a0\\2191"; }
[aria-sort=descending] button::after { content: "\\a0\\2193"; }
@page { size: landscape; margin: 1cm; }
@media print {
  body { padding: 0; font-size: 8pt; }
  h1, h2, p, th, td, th:first-child, td:first-child { position: static; }
  h1, h2 { break-after: avoid; }
  tr { break-inside: avoid; }
  th, td { padding: 0.15em 0.5em; }
  .hint { display: none; }
}
"""
# Numbers stand on the right, as autoencoders.evidence.table_files puts them; what is no value comes last in either
# direction.
SCRIPT = """
"use strict";
const noValue = new Set(["–", "diverged"]);
const words = new Intl.Collator("en", { numeric: true });

function compare(a, b, numbers, direction) {
  if (noValue.has(a) || noValue.has(b)) return noValue.has(a) - noValue.has(b);
  return direction * (numbers ? parseFloat(a) - parseFloat(b) : words.compare(a, b));
}

function makeSortable(table) {
  const headers = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort by this column";
    button.append(...header.childNodes);
    header.append(button);
    header.scope = "col";
    button.addEventListener("click", () => {
      const direction = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      const numbers = header.style.textAlign === "right";
      const rows = [...body.rows].map((row) => [row.cells[column].textContent.trim(), row]);
      rows.sort(([a], [b]) => compare(a, b, numbers, direction));
      body.append(...rows.map(([, row]) => row));
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    });
  });
}

const tables = document.querySelectorAll("table");
tables.forEach(makeSortable);
// A model's name is not to break at its hyphen.
for (const cell of document.querySelectorAll("td")) cell.classList.toggle("short", cell.textContent.length < 20);
if (tables.length) {
  const hint = document.createElement("p");
  hint.className = "hint";
  hint.textContent = "Click a column's header to sort by it.";
  document.querySelector("h1").after(hint);
}
"""


def page(title: str, body: str) -> str:
    """A whole page. ``title`` is text; ``body`` is HTML, whose tables have a head and a body."""
    return (
        "<!doctype html>\n<html lang='en-GB'>\n"
        f"<meta charset='utf-8'>\n<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n"
        f"{body}\n<script>{SCRIPT}</script>\n</html>\n"
    )
