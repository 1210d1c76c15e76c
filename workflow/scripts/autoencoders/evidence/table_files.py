"""Tables as files: parquet and CSV for machines, and Markdown, HTML and LaTeX for people.

A table for people is a list of sections, made by the module that computes the table. Nothing here depends on what the
table is about.
"""

import html
import math
import re
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from pandas.io.formats.style import Styler

from autoencoders.jobs.files import atomic
from autoencoders.jobs.parquet_tables import write_parquet

NO_VALUE = "–"
DIVERGED = "diverged"
# 82.49, 82.49 ± 1.23, 98.00? (-0.40), 3.0 M: right-aligned.
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?( ± [\d.]+)?\??( [A-Za-z]+)?( \([-+][\d.]+\))?")
# Numbers only: file patterns in a config have asterisks too.
BOLD = re.compile(r"\*\*(-?[\d.]+( ± [\d.]+)?)\*\*")
LATEX_PACKAGES = ("booktabs", "graphicx", "xltabular", "pdflscape")
LATEX_ESCAPES = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\ensuremath{<}", ">": r"\ensuremath{>}"}
)
# The rows that fit on a page, and the length from which a text is wrapped.
PAGE_ROWS, LONG_TEXT = 40, 40


class Section(NamedTuple):
    """One table for people: its heading, lines of text that explain it, and its rows.

    ``rows`` holds text only, under the headers to show; a number written ``**x**`` is bold. If there are no rows, the
    text says why.
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


def alignment(rows: pd.DataFrame) -> list[str]:
    """Of each column: "right" if it holds numbers, else "left"."""
    return ["right" if all(map(is_number, rows[name])) else "left" for name in rows]


def is_number(text: str) -> bool:
    return text in (NO_VALUE, DIVERGED) or NUMBER.fullmatch(text.replace("**", "")) is not None


def to_markdown(title: str, sections: Iterable[Section]) -> str:
    parts = [f"# {title}"]
    for heading, text, rows in sections:
        parts += [f"## {heading}", *text.splitlines()]
        if not rows.empty:
            escaped = rows.rename(columns=escape_markdown).map(escape_markdown)
            parts.append(escaped.to_markdown(index=False, disable_numparse=True, colalign=alignment(rows)))
    return "\n\n".join(parts) + "\n"


def escape_markdown(text: str) -> str:
    return text.replace("|", r"\|")


def to_html(title: str, sections: Iterable[Section]) -> str:
    """A complete page; a click on a header sorts the table."""
    title, parts = html.escape(title), []
    for number, (heading, text, rows) in enumerate(sections):
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        parts += [f"<p>{html.escape(line)}</p>" for line in text.splitlines()]
        if not rows.empty:
            parts.append(html_table(rows, number))
    return (
        f"<!doctype html>\n<html lang='en-GB'>\n<meta charset='utf-8'>\n<title>{title}</title>\n"
        + f"<style>{STYLE}</style>\n"
        + "\n".join([f"<h1>{title}</h1>", *parts])
        + f"\n<script>{SCRIPT}</script>\n</html>\n"
    )


def html_table(rows: pd.DataFrame, number: int) -> str:
    """``number`` distinguishes the tables of a page."""
    texts = rows.map(html_text).rename(columns=html.escape).reset_index(drop=True)
    sides = zip(texts, alignment(rows), strict=True)
    right = {name: [{"selector": "", "props": "text-align: right"}] for name, side in sides if side == "right"}
    styled = Styler(texts, uuid=str(number), cell_ids=False).hide(axis="index").set_table_styles(right)
    # By default Styler trims tables of more than 262,144 cells.
    with pd.option_context("styler.render.max_elements", rows.size):
        return styled.to_html()


def html_text(text: str) -> str:
    return BOLD.sub(r"<b>\1</b>", html.escape(text))


def to_latex(title: str, sections: Iterable[Section], name: str) -> str:
    """For a document's ``\\input``: one table for each section, labelled tab:<name>-<heading>."""
    packages = "".join(rf"\usepackage{{{package}}}" for package in LATEX_PACKAGES)
    parts = [f"% {title}", f"% In the preamble: {packages}"]
    for heading, text, rows in sections:
        label = f"tab:{name}-" + re.sub(r"\W+", "-", heading.lower()).strip("-")
        heading, text = (part.translate(LATEX_ESCAPES) for part in (heading, " ".join(text.splitlines())))
        if rows.empty:
            parts += ["", f"{heading}. {text}"]
        elif (rows.map(len) > LONG_TEXT).any(axis=None):
            parts += ["", wrapped_table(rows, heading, text, label)]
        else:
            caption = rf"\caption{{{heading}. {text}}}\label{{{label}}}"
            for start in range(0, len(rows), PAGE_ROWS):
                parts += ["", floating_table(rows[start : start + PAGE_ROWS], caption)]
                caption = rf"\caption{{{heading} (continued).}}"
    return "\n".join(parts) + "\n"


def floating_table(rows: pd.DataFrame, caption: str) -> str:
    """One page of a table, shrunk to the line if it is wider."""
    box = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
    columns = "".join(side[0] for side in alignment(rows))
    parts = [r"\begin{table}[htbp]", r"\centering", caption, box, latex_rows(rows, columns) + "}", r"\end{table}"]
    return "\n".join(parts)


def wrapped_table(rows: pd.DataFrame, heading: str, text: str, label: str) -> str:
    """A landscape table that breaks over pages and wraps long texts."""
    columns = "".join(
        "X" if rows[name].map(len).max() > LONG_TEXT else side[0]
        for name, side in zip(rows, alignment(rows), strict=True)
    )
    table = latex_rows(rows, columns, longtable=True, caption=heading, label=label)
    # An xltabular is a longtable whose X columns share the rest of the line.
    table = table.replace(r"\begin{longtable}{", r"\begin{xltabular}{\linewidth}{")
    table = table.replace(r"\end{longtable}", r"\end{xltabular}")
    return "\n".join([r"\begin{landscape}\footnotesize\noindent", text, table + r"\end{landscape}"])


def latex_rows(rows: pd.DataFrame, columns: str, **options: object) -> str:
    rows = rows.map(latex_text).rename(columns=latex_text)
    return rows.to_latex(index=False, escape=False, column_format=columns, **options).strip()


def latex_text(text: str) -> str:
    return BOLD.sub(r"\\textbf{\1}", text.translate(LATEX_ESCAPES))


def significant(value: float, digits: int = 4) -> str:
    """``value`` with this many significant digits, never as a power of ten: 8.07 as 8.070, 12346 as 12350."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{digits}g}")
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{min(max(decimals, 0), digits)}f}"


def decimals(values: Iterable[float], digits: int = 4) -> int:
    """The decimals of a column of numbers: as many as its median needs for this many significant digits, at most four.

    Zeros and missing values do not count.
    """
    sizes = [abs(value) for value in values if math.isfinite(value) and value != 0]
    if not sizes:
        return 0
    middle = float(f"{statistics.median(sizes):.{digits}g}")
    return min(max(digits - 1 - math.floor(math.log10(middle)), 0), 4)


def rounded(value: float, places: int) -> str:
    """``value`` with so many decimals, and without the sign of a zero."""
    return f"{round(value, places) + 0.0:.{places}f}"


# Headers, the first column and the page's texts stay in view when a large table is scrolled.
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
.short { white-space: nowrap; }
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
# Right-aligned columns hold numbers. Missing values come last in both directions.
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
      const numbers = getComputedStyle(header).textAlign === "right";
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
// Don't break a model's name at its hyphen.
for (const cell of document.querySelectorAll("td")) cell.classList.toggle("short", cell.textContent.length < 20);
if (tables.length) {
  const hint = document.createElement("p");
  hint.className = "hint";
  hint.textContent = "Click a column's header to sort by it.";
  document.querySelector("h1").after(hint);
}
"""
