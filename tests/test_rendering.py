"""Tables for people in three formats, each read back by something that knows the format."""

import html.parser
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from autoencoders.config import settings
from autoencoders.config.grid import experiment_cells
from autoencoders.evidence.cell_tables import table1, table1_sections
from autoencoders.evidence.table_files import Section, significant, to_html, to_latex, to_markdown, write_table

CONFIG_FILE = Path(__file__).parents[1] / "config" / "config.yaml"
# Every character that LaTeX or HTML reads as something else.
SPECIAL = r"a_b & 5% #1 ~x^y {z} \n $w <q> é"


def sections():
    rows = pd.DataFrame(
        {
            "Model": ["DAE", SPECIAL, "VAE"],
            "MVG": ["**82.49**", "–", "diverged"],
            "MVG, paper": ["82.49 (+1.23)", "98.00? (-0.40)", "80.80"],
            "Encoder": ["3.0 M", "0.82 M", "–"],
        }
    )
    return [
        Section(f"First {SPECIAL}", f"One {SPECIAL}.\nTwo.", rows),
        Section("Second", "Nothing to show: 100% of it.", pd.DataFrame()),
    ]


class Page(html.parser.HTMLParser):
    """The texts of a page by tag, and which cells are aligned to the right."""

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
    assert page.texts["title"] == page.texts["h1"] == ["Title <&>"]
    assert page.texts["h2"] == [f"First {SPECIAL}", "Second"]
    assert page.texts["p"] == [f"One {SPECIAL}.", "Two.", "Nothing to show: 100% of it."]
    assert page.texts["th"] == ["Model", "MVG", "MVG, paper", "Encoder"]
    assert page.texts["b"] == ["82.49"]
    assert page.texts["td"][:5] == ["DAE", "82.49", "82.49 (+1.23)", "3.0 M", SPECIAL]
    # A header and three rows: text on the left, numbers and what stands for them on the right.
    assert page.right == [False, True, True, True] * 4


def test_markdown_has_a_title_and_tables():
    lines = to_markdown("Title", sections()).splitlines()
    assert lines[0] == "# Title" and f"## First {SPECIAL}" in lines and "## Second" in lines
    # Lines of their own are paragraphs of their own.
    assert lines[lines.index("Two.") - 1] == ""
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert table[0] == ["Model", "MVG", "MVG, paper", "Encoder"]
    assert [cell.endswith(":") for cell in table[1]] == [False, True, True, True]
    assert table[2] == ["DAE", "**82.49**", "82.49 (+1.23)", "3.0 M"]
    assert table[3][0] == SPECIAL
    piped = to_markdown("T", [Section("H", "", pd.DataFrame({"x|y": ["a|b"]}))])
    assert r"x\|y" in piped and r"a\|b" in piped


def test_latex_escapes_and_labels():
    text = to_latex("Title", sections(), name="table2")
    assert text.startswith("% Title\n") and r"\usepackage{booktabs}" in text.splitlines()[1]
    escaped = r"a\_b \& 5\% \#1 \textasciitilde{}x\textasciicircum{}y \{z\} \textbackslash{}n \$w "
    escaped += r"\ensuremath{<}q\ensuremath{>} é"
    assert text.count(escaped) == 3  # heading, text and cell
    assert rf"\caption{{First {escaped}. One {escaped}. Two.}}" in text
    assert re.findall(r"\\label{(.*)}", text)[0].startswith("tab:table2-first-a_b-5-1-x-y-z-n-w-q")
    assert re.search(r"DAE +& +\\textbf{82.49} & +82\.49 \(\+1\.23\) & +3\.0 M \\\\", text)
    assert "**" not in text and r"\begin{tabular}{lrrr}" in text
    for rule in ("top", "mid", "bottom"):
        assert text.count(rf"\{rule}rule") == 1
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 1
    assert text.endswith("Second. Nothing to show: 100\\% of it.\n")


def test_long_texts_are_wrapped_and_break_over_pages():
    texts = pd.DataFrame(
        {"Claim": ["A **1.50** claim of many words. " * 9], "Verdict": ["holds"], "Why": ["1 < 2; " * 20]}
    )
    text = to_latex("T", [Section("Texts", "100% text.", texts)], "t")
    assert r"\begin{xltabular}{\linewidth}{XlX}" in text and r"100\% text." in text
    for once in (r"\begin{landscape}", r"\end{landscape}", r"\end{xltabular}", r"\label{tab:t-texts}", r"\endhead"):
        assert text.count(once) == 1
    assert "tabular}{lll" not in text and r"\textbf{1.50}" in text and r"1 \ensuremath{<} 2" in text


def test_a_table_too_wide_for_a_line_shrinks_in_parts_that_fit_on_a_page():
    rows = pd.DataFrame({f"A quite long header {place}": map(str, range(100)) for place in range(9)})
    text = to_latex("T", [Section("Wide", "Text.", rows)], "t")
    assert text.count(r"\begin{table}") == text.count(r"\resizebox") == 3 and "xltabular}{" not in text
    assert text.count(r"\label") == 1 and text.count("Wide (continued).") == 2
    assert [int(row) for row in re.findall(r"^ *(\d+) +&", text, re.MULTILINE)] == list(range(100))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    wide = pd.DataFrame({f"Column {number}": ["**1.000**", "– · × … ü"] for number in range(30)})
    long = pd.DataFrame(
        {"Claim": ["Of the many words that a claim may have, a few. " * 4] * 60, "Verdict": ["holds"] * 60}
    )
    config = settings.resolve(yaml.safe_load(CONFIG_FILE.read_text()))
    experiments = table1_sections(table1({name: experiment_cells(config, name) for name in config["run"]}))
    both = pd.concat([wide] * 50)
    tables = [
        *(Section("Wide", "Text.", wide), Section("Long", "Text.", long), Section("Both", "Text.", both)),
        *experiments,
    ]
    text = to_latex("T", [*sections(), *tables], "t")
    (tmp_path / "table.tex").write_text(text)
    packages = re.findall(r"\\usepackage{\w+}", text)
    document = [r"\documentclass{article}", *packages, r"\begin{document}\input{table}\ref{tab:t-wide}\end{document}"]
    (tmp_path / "main.tex").write_text("\n".join(document))
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "main.pdf").is_file()
    # Nothing sticks out of the page.
    assert "Overfull" not in done.stdout


@pytest.mark.parametrize(
    ("texts", "right"),
    [
        (["1.000", "**282.3**", "–"], True),
        (["1.000", "12350"], True),
        (["diverged", "3.0 M"], True),
        (["98.00? (-0.40)", "80.80", "-3.2", "+4"], True),
        (["3.0 M", "12.5 %"], False),
        (["16, 32, 64"], False),
        (["ok", "diverged"], False),
        (["32 filters: 99.60 < 101.0"], False),
        ([""], False),
    ],
)
def test_columns_of_numbers_are_right_aligned(texts, right):
    page = Page(to_html("T", [Section("H", "", pd.DataFrame({"column": texts}))]))
    assert set(page.right) == {right}
    # Texts that look like numbers stay as they are.
    assert page.texts["td"] == [text.strip("*") for text in texts]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8.07, "8.070"),
        (282.3, "282.3"),
        (12346.0, "12350"),
        (1234.0, "1234"),
        (9.99996, "10.00"),
        (0.0123456, "0.0123"),
        (-345.678, "-345.7"),
        (0.0, "0"),
    ],
)
def test_four_significant_digits(value, text):
    assert significant(value) == text


def test_all_five_files_are_written_and_agree(tmp_path):
    table = pd.DataFrame({"a": [1 / 3, np.nan], "b": ["x", None]})
    paths = {key: str(tmp_path / "deep" / f"t.{key}") for key in ("parquet", "csv", "md", "html", "tex")}
    # An iterator serves all three formats.
    write_table(table, "T", paths, iter(sections()))
    pd.testing.assert_frame_equal(pd.read_parquet(paths["parquet"]), table)
    assert pd.read_csv(paths["csv"])["a"].tolist() == pytest.approx([1 / 3, np.nan], nan_ok=True)
    for key in ("md", "html", "tex"):
        text = (tmp_path / "deep" / f"t.{key}").read_text(encoding="utf-8")
        assert "82.49 (+1.23)" in text and "Second" in text
    assert "tab:t-first" in (tmp_path / "deep" / "t.tex").read_text(encoding="utf-8")
    assert len(list((tmp_path / "deep").iterdir())) == 5
