"""The progress of a whole run, on results folders that are made up, and once in Snakemake."""

import dataclasses
import json
import math
import os
import shutil
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from running import copy_project, snakemake
from scipy.optimize import nnls

from autoencoders import run_progress
from autoencoders.run_progress import Job, Standing, duration, fit_line, line, seconds_left, standing, watch, work_left

START = 1_000_000.0
IMAGES = {"digits": 10, "faces": 1000}


class Results:
    """A results folder whose files are written at times of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def job(self, rule, name="a", dataset="digits", variant="", work=0) -> Job:
        cell = self.folder / "cells" / dataset / name
        stem = self.folder / "benchmarks" / rule / dataset / name / (variant or "file")
        files = {"train": cell / "cell.json", "score": cell / "scores" / f"{variant}.parquet"}
        return Job(rule, variant, dataset, cell, files.get(rule, cell / rule), stem.with_suffix(".tsv"), work)

    def write(self, path: Path, text: str, at: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (at, at))

    def end(self, job: Job, at: float, seconds: object = 1.0, status="ok") -> None:
        """What a job leaves that ends at a time after it has run for so long."""
        self.write(job.output, json.dumps({"status": status}), at)
        self.write(job.benchmark, f"s\th:m:s\n{seconds}\t0:00:01\n", at)


@pytest.fixture
def results(tmp_path) -> Results:
    return Results(tmp_path)


def test_a_cell_has_ended_when_all_its_scores_are_newer_than_the_start(results):
    both = [results.job("score", variant=name) for name in ("inception", "classifier")]
    other = results.job("score", "b", variant="inception")
    trained = [results.job("train", name) for name in ("a", "b")]
    jobs = [*both, other, *trained]
    assert standing(jobs, START) == Standing("scored", total=2, ended=0, diverged=0, trained=0)
    # Of an earlier run.
    results.end(other, START - 1)
    results.end(both[0], START + 1)
    results.end(trained[0], START + 1)
    assert standing(jobs, START) == Standing("scored", 2, ended=0, diverged=0, trained=1)
    results.end(both[1], START + 2)
    assert standing(jobs, START) == Standing("scored", 2, ended=1, diverged=0, trained=0)
    results.end(other, START + 3)
    assert standing(jobs, START) == Standing("scored", 2, ended=2, diverged=0, trained=0)


def test_where_nothing_is_scored_trained_cells_are_counted(results):
    jobs = [results.job("train", name) for name in "abc"] + [results.job("encode", "a")]
    results.end(jobs[0], START + 1, status="diverged")
    results.end(jobs[1], START + 1)
    assert standing(jobs, START) == Standing("trained", total=3, ended=2, diverged=1, trained=0)
    assert standing(jobs[3:], START).total == 0


@pytest.mark.parametrize("record", ["", "[]", "null", '{"stat', '{"status": "ok"}', "{}"])
def test_a_cell_that_is_trained_again_or_unreadable_has_not_diverged(results, record):
    job = results.job("score", variant="inception")
    results.end(job, START)
    results.write(job.cell / "cell.json", record, START - 5)
    assert standing([job], START).diverged == 0
    results.write(job.cell / "cell.json", '{"status": "diverged"}', START - 5)
    assert standing([job], START).diverged == 1


def test_the_line_is_the_nearest_in_squares_that_is_nowhere_negative():
    random = np.random.default_rng(0)
    for slope, fixed in [(2.0, 30.0), (-1.0, 50.0), (5.0, -20.0), (0.0, 1.0)]:
        work = random.uniform(1, 10, 40)
        seconds = fixed + slope * work + random.normal(size=40)
        (expected, _) = nnls(np.stack([np.ones(40), work], axis=1), seconds)
        assert fit_line(list(zip(work, seconds, strict=True))) == pytest.approx(expected, abs=1e-9)


def test_works_that_are_alike_tell_no_fixed_costs():
    assert fit_line([(5.0, 20.0)]) == (0, 4)
    # A line through these would give work eight times as large -460 seconds.
    assert fit_line([(10.0, 20.0), (10.5, 17.0)]) == pytest.approx((0, 37 / 20.5))
    assert fit_line([(0.0, 3.0), (0.0, 5.0)]) == (4, 0)


def test_work_left_is_what_like_jobs_took(results):
    # 10 + 2 · work, with 10 and 1000 images.
    trained = {
        results.job("train", "a", work=1): 30.0,
        results.job("train", "b", work=4): 90.0,
        results.job("train", "c", work=2): math.nan,
    }
    left = [results.job("train", "d", work=7), results.job("train", "a", "faces", work=1)]
    assert work_left([*trained, *left], trained, IMAGES) == pytest.approx(10 + 2 * 70 + 10 + 2 * 1000)
    # Of a dataset that is not prepared yet.
    assert work_left([*trained, *left], trained, {"digits": 10}) is None
    # The means of each dataset's own; of the other where there is none of it; each prior apart.
    mixtures = {
        results.job("fit_prior", "a", variant="gmm"): 100.0,
        results.job("fit_prior", "b", variant="gmm"): 200.0,
        results.job("fit_prior", "a", variant="mvg"): 1.0,
        results.job("fit_prior", "a", "faces", variant="gmm"): 5000.0,
    }
    left = [
        results.job("fit_prior", "c", variant="gmm"),
        results.job("fit_prior", "c", "faces", variant="gmm"),
        results.job("fit_prior", "c", "faces", variant="mvg"),
    ]
    assert work_left([*mixtures, *left], mixtures, {}) == pytest.approx(150 + 5000 + 1)
    assert work_left([*mixtures, results.job("score", variant="inception")], mixtures, {}) is None
    assert work_left(mixtures, mixtures, {}) == 0


def test_as_many_jobs_run_at_once_as_until_now(results):
    jobs = [results.job("train", name, work=1) for name in "abcdef"]
    assert seconds_left(jobs, IMAGES, START, START + 150) is None
    # Two at once, from 50 seconds after the start on; one of an earlier run.
    results.end(jobs[0], START + 150, 100)
    results.end(jobs[1], START + 150, 100)
    results.end(jobs[2], START - 1, 1)
    assert seconds_left(jobs, IMAGES, START, START + 150) == pytest.approx(4 * 100 / 2)
    # The rest of a job that is under way does not count.
    assert seconds_left(jobs, IMAGES, START, START + 250) == pytest.approx(4 * 100)


def test_broken_and_diverged_jobs_say_nothing_of_others(results):
    jobs = [results.job("train", name, work=1) for name in "abcd"]
    results.end(jobs[0], START + 60, "?")
    assert seconds_left(jobs, IMAGES, START, START + 60) is None
    results.end(jobs[1], START + 120, 60)
    results.end(jobs[2], START + 121, 1, status="diverged")
    # 61 seconds of work in 61 seconds; one job of 60 is left.
    assert seconds_left(jobs, IMAGES, START, START + 121) == pytest.approx(60)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 min"),
        (29 * 60 + 31, "30 min"),
        (3599, "1 h 0 min"),
        (7 * 3600 + 20 * 60, "7 h 20 min"),
        (24 * 3600 - 1, "1 d 0 h"),
        (76.4 * 3600, "3 d 4 h"),
    ],
)
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text


@pytest.fixture
def in_new_york(monkeypatch):
    """Local time with a change of clocks: on Sunday, 1 November 2026, from 2:00 back to 1:00."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_lines_for_people(in_new_york):
    evening = datetime(2026, 10, 31, 20, 0).timestamp()
    at = Standing("scored", total=346, ended=12, diverged=1, trained=3)
    assert line(at, 7 * 3600 + 1200, evening) == (
        "12 of 346 cells scored (1 diverged), 3 more trained; about 7 h 20 min left, until Sun 1 Nov 02:20"
    )
    assert line(at, None, evening) == "12 of 346 cells scored (1 diverged), 3 more trained"
    assert line(Standing("trained", 2, 1, 0, 0), 60, evening) == (
        "1 of 2 cells trained; about 1 min left, until Sat 31 Oct 20:01"
    )
    assert line(Standing("scored", 2, 2, 0, 0), 60, evening) == "2 of 2 cells scored"


def test_a_line_is_logged_when_the_numbers_have_changed(results):
    trained = [results.job("train", name, work=1) for name in "ab"]
    scored = [results.job("score", name, variant="inception") for name in "ab"]
    results.write(results.folder / "datasets" / "digits" / "dataset.json", '{"images": {"train": 10}}', START)
    now = time.time()
    pauses = iter(
        [
            lambda: None,
            lambda: results.end(trained[0], now, 40),
            lambda: None,
            lambda: results.end(scored[0], now, 20),
            lambda: results.end(trained[1], now, 40),
            lambda: results.end(scored[1], now, 20),
        ]
    )
    lines = []
    jobs = [*trained, *scored]
    watch(jobs, results.folder / "datasets", now - 60, lines.append, lambda: next(pauses)())
    assert [text.split(";")[0] for text in lines] == [
        "0 of 2 cells scored, 1 more trained",
        "1 of 2 cells scored",
        "1 of 2 cells scored, 1 more trained",
        "2 of 2 cells scored",
    ]
    assert [" left, until " in text for text in lines] == [False, True, True, False]
    assert next(pauses, None) is None


def test_a_run_without_cells_ends_at_once(tmp_path):
    watch([], tmp_path, START, pytest.fail, pytest.fail)


def test_what_was_there_before_counts_as_done_and_not_as_measured(results):
    old, new = (results.job("train", name, work=1) for name in ("a", "b"))
    results.end(old, START - 1000, 500.0)
    jobs = [dataclasses.replace(old, due=False), new]
    assert standing(jobs, START) == Standing("trained", 2, ended=1, diverged=0, trained=0)
    assert seconds_left(jobs, {"digits": 10}, START, START + 10) is None
    results.end(new, START + 5, 5.0)
    assert seconds_left(jobs, {"digits": 10}, START, START + 10) == 0


STUB = """
import json
import time
from pathlib import Path

for path in snakemake.output:
    diverged = "vae-diverges" in path
    Path(path).write_text(json.dumps({"status": "diverged" if diverged else "ok", "images": {"train": 800}}))
# The jobs after training last long enough to see that it has ended.
time.sleep(1 if snakemake.rule == "encode" else 0)
"""


def test_snakemake_logs_the_cells_of_a_run(project, tmp_path):
    """With scripts that compute nothing, and without the pause of half a minute."""
    folder = copy_project(project, tmp_path)
    scripts = folder / "workflow" / "scripts"
    for name in ("prepare_dataset", "train", "encode"):
        (scripts / f"{name}.py").write_text(STUB)
    module = scripts / "autoencoders" / "run_progress.py"
    text, pause = module.read_text(), f"INTERVAL = {run_progress.INTERVAL}\n"
    assert pause in text
    module.write_text(text.replace(pause, "INTERVAL = 0.1\n"))
    done = snakemake(folder, "all_codes", "--quiet", "rules")
    assert "\n2 of 2 cells trained (1 diverged)" in done.stdout
    # A cell that is there already counts.
    shutil.rmtree(folder / "results/demo/cells/digits/vae-diverges")
    again = snakemake(folder, "all_codes", "--quiet", "rules")
    lines = [line for line in again.stdout.splitlines() if "cells trained" in line]
    assert lines and all(line.startswith("2 of 2 cells trained (1 diverged)") for line in lines)
