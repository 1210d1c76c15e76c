"""Tables as Markdown, HTML and LaTeX, read back by a parser of the format where there is one."""

import html.parser
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autoencoders.evidence.table_files import (
    Section,
    decimals,
    rounded,
    significant,
    to_html,
    to_latex,
    to_markdown,
    write_table,
)

# Every character that LaTeX or HTML reads as something else.
SPECIAL = r"a_b & 5% #1 ~x^y {z} \n $w <q> é"


def sections():
    rows = pd.DataFrame(
        {
            "Model": ["DAE", SPECIAL],
            "MVG": ["**82.49**", "–"],
            "MVG, paper": ["82.49 (+1.23)", "98.00? (-0.40)"],
            "Encoder": ["3.0 M", "0.82 M"],
        }
    )
    return [
        Section(f"First {SPECIAL}", f"One {SPECIAL}.\nTwo.", rows),
        Section("Second", "Nothing to show: 100% of it.", pd.DataFrame()),
    ]


class Page(html.parser.HTMLParser):
    """The texts of a page by tag, and which cells are right-aligned."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.cells = [], {}, []
        self.feed(text)
        columns = re.findall(r"#T_0 \.(col\d+) {\s+text-align: right;", text)
        self.right = [cell.split()[-1] in columns for cell in self.cells]

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.texts.setdefault(tag, []).append("")
        if tag in ("th", "td"):
            self.cells.append(dict(attributes)["class"])

    def handle_endtag(self, tag):
        while self.open.pop() != tag:
            pass

    def handle_data(self, data):
        for tag in self.open:
            self.texts[tag][-1] += data.strip()


def test_html_shows_the_very_texts():
    page = Page(to_html("Title <&>", sections()))
    assert page.texts["title"] == page.texts["h1"] == ["Title <&>"] and page.texts["b"] == ["82.49"]
    assert page.texts["h2"] == [f"First {SPECIAL}", "Second"]
    assert page.texts["p"] == [f"One {SPECIAL}.", "Two.", "Nothing to show: 100% of it."]
    assert page.texts["td"][:5] == ["DAE", "82.49", "82.49 (+1.23)", "3.0 M", SPECIAL]


def test_markdown_has_headings_and_escaped_tables():
    lines = to_markdown("Title", sections()).splitlines()
    assert lines[0] == "# Title" and f"## First {SPECIAL}" in lines and "## Second" in lines
    # Each line of the text is a paragraph.
    assert lines[lines.index("Two.") - 1] == ""
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert [cell.endswith(":") for cell in table[1]] == [False, True, True, True]
    assert table[2] == ["DAE", "**82.49**", "82.49 (+1.23)", "3.0 M"] and table[3][0] == SPECIAL
    piped = to_markdown("T", [Section("H", "", pd.DataFrame({"x|y": ["a|b"]}))])
    assert r"x\|y" in piped and r"a\|b" in piped


def test_latex_escapes_and_labels():
    text = to_latex("Title", sections(), name="table2")
    escaped = r"a\_b \& 5\% \#1 \textasciitilde{}x\textasciicircum{}y \{z\} \textbackslash{}n \$w "
    escaped += r"\ensuremath{<}q\ensuremath{>} é"
    assert text.count(escaped) == 3  # heading, text and cell
    assert rf"\caption{{First {escaped}. One {escaped}. Two.}}" in text
    assert r"\label{tab:table2-first-a_b" in text
    assert re.search(r"DAE +& +\\textbf{82.49} & +82\.49 \(\+1\.23\) & +3\.0 M \\\\", text)
    assert "**" not in text and r"\begin{tabular}{lrrr}" in text and text.count(r"\begin{table}") == 1
    assert "Second. Nothing to show: 100\\% of it." in text


def test_long_texts_are_wrapped_and_wide_tables_shrink_in_parts_that_fit_on_a_page():
    row = {"Claim": "A **1.50** claim of many words. " * 9, "Verdict": "holds"}
    text = to_latex("T", [Section("Texts", "100% text.", pd.DataFrame([row]))], "t")
    assert r"\begin{xltabular}{\linewidth}{Xl}" in text and r"100\% text." in text and r"\textbf{1.50}" in text
    assert text.count(r"\label{tab:t-texts}") == text.count(r"\begin{landscape}") == 1
    rows = pd.DataFrame({f"A quite long header {place}": map(str, range(100)) for place in range(9)})
    text = to_latex("T", [Section("Wide", "Text.", rows)], "t")
    assert text.count(r"\begin{table}") == text.count(r"\resizebox") == 3 and text.count(r"\label") == 1
    assert [int(row) for row in re.findall(r"^ *(\d+) +&", text, re.MULTILINE)] == list(range(100))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    wide = pd.DataFrame({f"Column {number}": ["**1.000**", "– · × … ü"] for number in range(30)})
    long = pd.DataFrame({"Claim": ["Of the many words that a claim may have, a few. " * 4] * 60, "Verdict": "holds"})
    tables = {"Wide": wide, "Long": long, "Both": pd.concat([wide] * 50)}
    text = to_latex("T", [*sections(), *(Section(name, "Text.", rows) for name, rows in tables.items())], "t")
    (tmp_path / "table.tex").write_text(text, encoding="utf-8")
    packages = re.findall(r"\\usepackage{\w+}", text)
    document = [r"\documentclass{article}", *packages, r"\begin{document}\input{table}\ref{tab:t-wide}\end{document}"]
    (tmp_path / "main.tex").write_text("\n".join(document), encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0 and (tmp_path / "main.pdf").is_file(), done.stdout[-2000:]
    # Nothing sticks out of the page.
    assert "Overfull" not in done.stdout


def test_columns_of_numbers_are_right_aligned():
    numbers = ["1.000", "**282.3**", "–", "diverged", "3.0 M", "98.00? (-0.40)", "-3.2", "+4"]
    words = ["12.5 %", "16, 32, 64", "ok", "32 filters: 99.60 < 101.0", ""]
    rows = pd.DataFrame({"numbers": numbers} | {f"and {word}": [word, *numbers[1:]] for word in words})
    page = Page(to_html("T", [Section("H", "", rows)]))
    assert page.right == [True, *[False] * len(words)] * (1 + len(rows))
    # Texts that look like numbers stay as they are.
    assert page.texts["th"] == [name.strip() for name in rows]
    assert page.texts["td"][:: rows.shape[1]] == [text.strip("*") for text in numbers]


def test_four_significant_digits():
    texts = {8.07: "8.070", 282.3: "282.3", 12346.0: "12350", 1234.0: "1234", 9.99996: "10.00", -345.678: "-345.7"}
    texts |= {0.0123456: "0.0123", 0.0: "0"}
    assert {value: significant(value) for value in texts} == texts


def test_a_column_is_rounded_by_its_median():
    """Not by its largest or smallest value, which may be far from the others."""
    columns = {
        (82.49, 7000, 0.001): 2,
        (9.99996, 1): 3,
        (9.99996,): 2,
        (0.0123, 0.02): 4,
        (1358.2, 912.7): 0,
        (-3.5,): 3,
    }
    columns |= {(np.nan, 0, 123.4): 1, (np.nan,): 0, (): 0}
    assert {values: decimals(values) for values in columns} == columns
    assert [decimals([value], digits=3) for value in (0.0123, 0.5, 82.49, 912.7)] == [4, 3, 1, 0]
    assert [rounded(value, 2) for value in (2, -0.001, -0.006, 99.999)] == ["2.00", "0.00", "-0.01", "100.00"]


def test_all_five_files_are_written_and_agree(tmp_path):
    table = pd.DataFrame({"a": [1 / 3, np.nan], "b": ["x", None]})
    paths = {key: str(tmp_path / "deep" / f"t.{key}") for key in ("parquet", "csv", "md", "html", "tex")}
    # An iterator serves all three formats.
    write_table(table, "T", paths, iter(sections()))
    pd.testing.assert_frame_equal(pd.read_parquet(paths["parquet"]), table)
    assert pd.read_csv(paths["csv"])["a"].tolist() == pytest.approx([1 / 3, np.nan], nan_ok=True)
    for key in ("md", "html", "tex"):
        assert "82.49 (+1.23)" in Path(paths[key]).read_text(encoding="utf-8")
    assert "tab:t-first" in Path(paths["tex"]).read_text(encoding="utf-8")


def test_a_large_html_table_is_not_trimmed():
    rows = pd.DataFrame({"Value": [str(number) for number in range(50)]})
    with pd.option_context("styler.render.max_elements", 10):
        assert to_html("T", [Section("H", "", rows)]).count("<td") == 50
