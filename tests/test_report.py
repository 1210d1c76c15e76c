"""The report, opened in a real browser: every category and result, the claims, sorted tables, and no network.

Tests that need Chromium and its driver are skipped where these are missing: nothing is downloaded.
"""

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from running import copy_project, snakemake
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from autoencoders.evidence.table_files import NO_VALUE, Section, to_html
from autoencoders.evidence.verdicts import SECTION, verdict_text

pytestmark = pytest.mark.slow

# A VAE that does not diverge, so that some claims have a verdict.
CONFIG = """
experiments:
  width: [{ dataset: digits, model: [dae, vae], filters: 2 }]
  scatter: [{ dataset: digits, model: [dae, vae], filters: 2 }]
"""
CONFIGS = ("config/demo.yaml", "tiny.yaml", "measured.yaml")
# The name that make gives it, from the last of these.
REPORT = "results/report-measured.html"
NAMES = (
    "Claims",
    "Figures",
    "Tables",
    "Samples",
    "Reconstructions and interpolations",
    "Datasets",
    "Costs and provenance",
)
CATEGORIES = [f"{number}. {name}" for number, name in enumerate(NAMES, start=1)]
FLAGS = (
    # Chromium has no sandbox for root, and needs none for pages of our own.
    *("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1280,940"),
    # No requests of its own.
    *("no-first-run", "disable-background-networking", "disable-component-update", "disable-sync", "disable-quic"),
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no Chromium, or no chromedriver (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options, Service(driver))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def finished(project, tmp_path_factory) -> Path:
    """A project with all results and its report, written by `make report`."""
    folder = copy_project(project, tmp_path_factory.mktemp("report"))
    (folder / "measured.yaml").write_text(CONFIG, encoding="utf-8")
    snakemake(folder, configs=CONFIGS)
    # A link, since its path may have spaces.
    (folder / ".venv").symlink_to(sys.prefix)
    command = ["make", "--file", project / "Makefile", "--old-file", ".venv/installed", "report"]
    done = subprocess.run([*command, f"CONFIG={' '.join(CONFIGS)}"], cwd=folder, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert f"The report is {REPORT}" in done.stdout
    return folder


@pytest.fixture
def report(browser, finished) -> webdriver.Chrome:
    """The report, freshly opened."""
    browser.get((finished / REPORT).as_uri())
    return browser


# The picture on display; the menu has others.
PICTURE = "document.querySelector('#app .justify-center.h-screen img')"


def press(browser: webdriver.Chrome, where: str, text: str) -> None:
    """Click the link with this text inside the CSS selector ``where``."""
    links = [link for link in browser.find_elements("css selector", f"{where} a") if link.text == text]
    assert len(links) == 1, f"{len(links)} links {text!r}"
    links[0].click()


def rows(browser: webdriver.Chrome) -> list:
    """The results that the menu lists."""
    return browser.find_elements("css selector", "#app table tbody tr")


def open_category(browser: webdriver.Chrome, category: str) -> list[str]:
    """Open a category by its link, and return its subcategories' names, if it shows some."""
    browser.find_element("css selector", "nav ol a").click()
    press(browser, "#app ul", category)
    return [] if rows(browser) else [link.text for link in browser.find_elements("css selector", "#app ul li a")]


def open_result(browser: webdriver.Chrome, row) -> str:
    """Show a result by its eye, wait until it is there, and return its path in the report."""
    row.find_elements("css selector", "a")[0].click()
    WebDriverWait(browser, 20).until(is_shown)
    return browser.execute_script("return app.state.resultPath")


def is_shown(browser: webdriver.Chrome) -> bool:
    if browser.execute_script("return app.state.content") == "img":
        uri = "results[app.state.resultPath].data_uri"
        return browser.execute_script(f"const image = {PICTURE}; return image.src === {uri} && image.naturalWidth > 50")
    frame = browser.find_element("css selector", "iframe")
    browser.switch_to.frame(frame)
    shown = browser.execute_script("return document.readyState === 'complete' && document.querySelector('h1') !== null")
    browser.switch_to.default_content()
    return shown


def open_page(browser: webdriver.Chrome, category: str, name: str) -> None:
    """Show a page of tables, and go into its frame."""
    open_category(browser, category)
    open_result(browser, next(row for row in rows(browser) if row.text == name))
    browser.switch_to.frame(browser.find_element("css selector", "iframe"))


def table_texts(browser: webdriver.Chrome, number: int = 0) -> pd.DataFrame:
    """A table of the open page, as displayed."""
    script = """
        const table = document.querySelectorAll("table")[arguments[0]];
        const texts = (row) => [...row.cells].map((cell) => cell.textContent.trim());
        return [texts(table.tHead.rows[0]), [...table.tBodies[0].rows].map(texts)];
    """
    header, body = browser.execute_script(script, number)
    return pd.DataFrame(body, columns=header)


def header(browser: webdriver.Chrome, name: str):
    """The header of a column of the page's first table."""
    found = browser.find_elements("css selector", "table:first-of-type th")
    return next(cell for cell in found if cell.get_property("textContent").strip() == name)


class Visit(NamedTuple):
    """What a reader meets who clicks on everything: the names of results by category, and their paths in the report."""

    listed: dict[str, list[str]]
    opened: list[str]
    requests: list[str]
    errors: list[str]


@pytest.fixture(scope="module")
def visit(browser, finished) -> Visit:
    """Every category, subcategory and result, opened by clicks; each must show its picture or page."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get((finished / REPORT).as_uri())
    listed, opened = {}, []
    for category in CATEGORIES:
        for name in open_category(browser, category) or [None]:
            if name:
                open_category(browser, category)
                press(browser, "#app ul", name)
            for number in range(len(rows(browser))):
                row = rows(browser)[number]
                listed.setdefault(category, []).append(row.text)
                opened.append(open_result(browser, row))
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    # Chromium's own start page may still be loading its parts.
    requests = [each["request"]["url"] for each in sent if not each["documentURL"].startswith("chrome:")]
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return Visit(listed, opened, requests, errors)


def test_clicks_show_every_result_and_load_nothing_from_elsewhere(visit, report):
    results = report.execute_script("return Object.keys(results)")
    assert sorted(visit.opened) == sorted(results) and len(results) > 20
    assert not visit.errors
    assert len(visit.requests) > len(visit.opened)
    assert not [url for url in visit.requests if url.split(":")[0] not in ("file", "data", "blob")]


def test_results_are_in_the_categories_of_the_paper(visit):
    begins = {category: [name.split(":")[0] for name in names] for category, names in visit.listed.items()}
    figures = [name for name in begins["2. Figures"] if name.startswith("Figure")]
    assert list(begins) == CATEGORIES
    assert figures == ["Figure 1", "Figure 2 (and 5)", "Figure 3", "Figure 4"]
    assert begins["3. Tables"][:3] == ["Table 1", "Table 2", "Table 3"]
    cell = "DAE: \u2007\u20072 filters, depth 1, \u2007\u20074 latent, seed 0"
    assert cell in visit.listed["4. Samples"] and cell in visit.listed[CATEGORIES[4]]


def test_every_result_has_a_caption_without_errors(report):
    captions = report.execute_script("return [workflow_desc, ...Object.values(results).map((each) => each.caption)]")
    assert all(len(caption) > 80 and "system-message" not in caption for caption in captions)


def test_a_picture_taller_than_the_window_starts_at_its_top(report):
    open_category(report, CATEGORIES[3])
    press(report, "#app ul", "digits, DAE")
    report.set_window_size(1280, 400)
    open_result(report, rows(report)[0])
    tall, top = report.execute_script(
        f"const image = {PICTURE}.getBoundingClientRect(); return [image.height > innerHeight, image.top]"
    )
    report.set_window_size(1280, 940)
    assert tall and top >= 0


def test_the_claims_are_those_of_the_table(report, finished):
    claims = pd.read_parquet(finished / "results/demo/tables/claims.parquet")
    open_page(report, "1. Claims", "The paper's claims")
    assert claims["verdict"].nunique() > 1
    for number, (_, part) in enumerate(claims.groupby(SECTION, sort=False)):
        shown = table_texts(report, number)
        expected = [[row["statement"], verdict_text(row)] for row in part.to_dict("records")]
        assert shown[["Claim", "Verdict"]].to_numpy().tolist() == expected


def test_a_table_in_the_report_is_sorted_by_a_click(report):
    open_page(report, "3. Tables", "Table 1: experiments")
    before = table_texts(report)
    expected = before.sort_values("Cells", key=pd.to_numeric, kind="stable", ignore_index=True)
    assert not expected.equals(before)
    header(report, "Cells").find_element("tag name", "button").click()
    pd.testing.assert_frame_equal(table_texts(report), expected)


SORTED = {
    # Each column in ascending order; missing values come last and keep their order.
    "Name": ["DAE-noise0.5", "DAE-noise1", "DAE-noise2", "dae-noise10", "VAE", "VAE-b", NO_VALUE],
    "FD": ["-10.5", "-3.2", "0.45", "0.5", "**82.49**", "diverged", NO_VALUE],
    "Paper": ["80.80", "98.00? (-0.40)", "282.3 (+1.23)", NO_VALUE, NO_VALUE, NO_VALUE, NO_VALUE],
    "Encoder": ["0.013 M", "0.82 M", "3.0 M", "10.25 M", "10.5 M", "110.2 M", "diverged"],
}
SHUFFLED = [3, 5, 0, 6, 4, 2, 1]


@pytest.fixture
def made_up(browser, tmp_path) -> webdriver.Chrome:
    """A page with the columns of ``SORTED``, all shuffled alike."""
    columns = {name: [texts[place] for place in SHUFFLED] for name, texts in SORTED.items()}
    # "Same" has ties only: rows keep their order.
    table = pd.DataFrame({**columns, "Row": [f"row {place}" for place in SHUFFLED], "Same": ["1"] * len(SHUFFLED)})
    page = to_html("T", [Section("Sort", "", table)])
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    browser.get((tmp_path / "page.html").as_uri())
    return browser


@pytest.mark.parametrize("name", SORTED)
def test_numbers_sort_as_numbers_and_missing_ones_come_last(made_up, name):
    plain = [text.strip("*") for text in SORTED[name]]
    count = sum(text not in (NO_VALUE, "diverged") for text in plain)
    missing = [text for text in table_texts(made_up)[name] if text in (NO_VALUE, "diverged")]
    button = header(made_up, name).find_element("tag name", "button")
    for direction, order in (("ascending", 1), ("descending", -1)):
        button.click()
        table = table_texts(made_up)
        assert table[name].tolist() == [*plain[:count][::order], *missing]
        assert header(made_up, name).get_attribute("aria-sort") == direction
    # Whole rows move.
    assert set(zip(table[name], table["Row"], strict=True)) == {(text, f"row {row}") for row, text in enumerate(plain)}


def test_sorting_is_stable_and_works_by_the_keyboard(made_up):
    header(made_up, "Row").find_element("tag name", "button").send_keys(Keys.ENTER)
    by_row = table_texts(made_up)
    assert by_row["Row"].tolist() == sorted(by_row["Row"])
    for _ in range(2):
        header(made_up, "Same").find_element("tag name", "button").send_keys(Keys.SPACE)
        pd.testing.assert_frame_equal(table_texts(made_up), by_row)
    sorted_by = [cell.get_attribute("aria-sort") for cell in made_up.find_elements("css selector", "th[aria-sort]")]
    assert sorted_by == ["descending"]


def test_a_figure_is_seen_with_its_caption(report, finished):
    open_page(report, "2. Figures", "Figure 4: normalisation of codes, classifier")
    image, text = report.find_element("css selector", "img"), report.find_element("css selector", "p")
    file = finished / "results/demo/figures/figure4-classifier.png"
    assert image.get_attribute("src") == "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()
    assert text.text.startswith("Figure 4 of the paper") and image.rect["y"] < text.rect["y"]
    # Both are in the window, without scrolling.
    assert image.rect["width"] > 500 and text.rect["y"] + text.rect["height"] < 940


def test_the_page_begins_with_the_answer(report, finished):
    shown = report.find_element("css selector", "#app .prose").text
    claims = pd.read_parquet(finished / "results/demo/tables/claims.parquet")
    ours = claims[(claims["evidence"] == "this run") & (claims["family"] == "primary")]
    first = shown.index("digits, FD (classifier features)")
    assert f"of {len(ours)} primary claims of the paper" in shown[first:] and first < shown.index("What this is")
    scores = pd.read_parquet(finished / "results/demo/tables/scores.parquet")
    # The last: tiny.yaml's width.
    keys = {"filters": 2, "latent": 4, "depth": "1", "comparison": "gmm"}
    chosen = scores[(scores[list(keys)] == list(keys.values())).all(axis=1)].set_index("model")["value"]
    numbers = re.search(r"GMM ([\d.]+) against ([\d.]+)", shown).groups()
    assert [float(number) for number in numbers] == pytest.approx([chosen["dae"], chosen["vae"]], rel=0.02)


def test_no_text_shows_backticks(report, visit):
    """Nor does a style sheet add them."""
    code = """
        const texts = [document.body.innerText];
        for (const each of document.querySelectorAll("#app .prose *"))
            for (const side of ["::before", "::after"]) texts.push(getComputedStyle(each, side).content);
        return texts.join(" ");
    """
    found = [report.execute_script(code)]
    for category in CATEGORIES:
        for name in open_category(report, category) or [None]:
            if name:
                open_category(report, category)
                press(report, "#app ul", name)
            rows(report)[0].find_elements("css selector", "a")[1].click()
            found.append(report.execute_script(code))
    assert len(found) > len(CATEGORIES) and not [text for text in found if "`" in text]


def test_the_report_contains_every_picture_and_page(finished):
    """Also where there is no Chromium to look at them. Those of figures are in their pages."""
    page, results = (finished / REPORT).read_text(encoding="utf-8"), finished / "results/demo"
    made = [*results.rglob("*.html"), *results.glob("cells/**/*.png")]
    assert len(made) > 15 and len(list(results.glob("figures/*.html"))) == len(list(results.glob("figures/*.png")))
    assert not [file.name for file in made if base64.b64encode(file.read_bytes()).decode() not in page]
