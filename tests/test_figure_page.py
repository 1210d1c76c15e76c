"""The page of a figure with its caption, against docutils, with which Snakemake shows captions."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from docutils.core import publish_parts
from jinja2 import Environment

from autoencoders.figures.figure_page import to_html, write_figure_page

REPORT = Path(__file__).parents[1] / "workflow" / "report"
# The captions of figures' pages, and the wildcards on which they depend.
CAPTIONS = [("figure", {"figure": name}) for name in ("figure1", "figure2_5", "figure3", "figure4", "noise", "mine")]
CAPTIONS += [(name, {"dataset": data}) for name in ("scatter", "learning_curves") for data in ("cifar10", "digits")]
CAPTIONS += [("latent_statistics", {}), ("contact_sheet", {})]


class Text(HTMLParser):
    """The words of a page, each with the marks around it."""

    def __init__(self, page: str):
        super().__init__()
        self.marks, self.words = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.marks.append(tag)

    def handle_endtag(self, tag):
        self.marks.remove(tag)

    def handle_data(self, data):
        marks = {mark for mark in self.marks if mark in ("em", "strong", "p")}
        self.words += [(word, *sorted(marks)) for word in data.split()]


@pytest.mark.parametrize(("name", "wildcards"), CAPTIONS)
def test_a_caption_reads_as_in_the_report(name, wildcards):
    template = Environment(trim_blocks=True, lstrip_blocks=True).from_string(
        (REPORT / f"{name}.rst").read_text("utf-8")
    )
    text = template.render(snakemake={"wildcards": wildcards})
    expected = Text(publish_parts(text, writer="html")["body"]).words
    assert len(expected) > 20 and Text(to_html(text)).words == expected


def test_marks_become_html_and_nothing_else_does():
    text = "A *b c* and **d**\nof 1 * 2 < 3.\n\n  \nNext & last"
    assert to_html(text) == ("<p>A <em>b c</em> and <strong>d</strong>\nof 1 * 2 &lt; 3.</p>\n<p>Next &amp; last</p>")


def test_a_page_holds_the_picture_the_title_and_the_caption_of_its_figure(tmp_path):
    (tmp_path / "a.png").write_bytes(b"picture")
    (tmp_path / "a.rst").write_text("Of {{ snakemake.wildcards.dataset }}.", encoding="utf-8")
    write_figure_page(tmp_path / "a.html", tmp_path / "a.png", "A < B", tmp_path / "a.rst", {"dataset": "digits"})
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    (image,) = re.findall(r"base64,([\w+/=]+)'", page)
    assert base64.b64decode(image) == b"picture"
    assert page.index("<h1>A &lt; B</h1>") < page.index("<img") < page.index("<p>Of digits.</p>")


def test_no_caption_has_backticks():
    """A page of a figure would show them."""
    assert not [file.name for file in REPORT.glob("*.rst") if "`" in file.read_text(encoding="utf-8")]
