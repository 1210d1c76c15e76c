"""A page of HTML tables: how it looks, and how its tables are sorted. It needs nothing but itself, and no network."""

import html

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
