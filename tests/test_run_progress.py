"""The progress of a whole run, on results folders that are made up, and once in Snakemake."""

import dataclasses
import math
import shutil
import time
from datetime import datetime

import numpy as np
import pytest
from made_up_run import START, Results, no_pauses
from running import copy_project, snakemake
from scipy.optimize import nnls

from autoencoders.jobs import run_progress, run_records
from autoencoders.jobs.run_progress import (
    Standing,
    doing,
    duration,
    expected_seconds,
    fit_line,
    line,
    seconds_left,
    standing,
    watch,
)
from autoencoders.jobs.run_records import read_logs

IMAGES = {"digits": 10, "faces": 1000}


@pytest.fixture
def results(tmp_path) -> Results:
    return Results(tmp_path)


def test_a_cell_has_ended_when_all_its_scores_are_newer_than_the_start(results):
    both = [results.job("score", variant=name) for name in ("inception", "classifier")]
    other = results.job("score", "b", variant="inception")
    trained = [results.job("train", name) for name in ("a", "b")]
    jobs = [*both, other, *trained]
    assert standing(jobs, START) == Standing("cells scored", total=2, ended=0, diverged=0, trained=0)
    # Of an earlier run.
    results.end(other, START - 1)
    results.end(both[0], START + 1)
    results.end(trained[0], START + 1)
    assert standing(jobs, START) == Standing("cells scored", 2, ended=0, diverged=0, trained=1)
    results.end(both[1], START + 2)
    assert standing(jobs, START) == Standing("cells scored", 2, ended=1, diverged=0, trained=0)
    results.end(other, START + 3)
    assert standing(jobs, START) == Standing("cells scored", 2, ended=2, diverged=0, trained=0)


def test_where_nothing_is_scored_trained_cells_are_counted(results):
    jobs = [results.job("train", name) for name in "abc"]
    results.end(jobs[0], START + 1, status="diverged")
    results.end(jobs[1], START + 1)
    assert standing(jobs, START) == Standing("cells trained", total=3, ended=2, diverged=1, trained=0)


def test_where_something_else_than_scores_is_made_of_cells_they_are_done_with_it(results):
    trained = [results.job("train", name) for name in "abc"]
    fitted = [results.job("fit_prior", name, variant=prior) for name in "abcd" for prior in ("mvg", "gmm")]
    jobs = [results.job("prepare_dataset"), *trained, *fitted]
    for job in (*trained[:2], *fitted[:3]):
        results.end(job, START + 1)
    assert standing(jobs, START) == Standing("cells done", total=4, ended=1, diverged=0, trained=1)


def test_mixtures_of_cells_that_were_trained_before_are_told_of(results, monkeypatch):
    """As a run of all_priors is, for hours."""
    trained = [dataclasses.replace(results.job("train", name), due=False) for name in "abc"]
    fitted = [results.job("fit_prior", name, variant="gmm") for name in "abc"]
    now, lines = [START], []
    monkeypatch.setattr(run_progress.time, "time", lambda: now[0])

    def later() -> None:
        now[0] += run_progress.SILENCE
        results.say(fitted[1], now[0], "INFO fitting", "INFO EM: iteration 8", begun=START + 60)

    first = no_pauses(lambda: results.end(fitted[0], START + 60, 60), later, later)
    watch(results.run(*trained, *fitted), lines.append, first)
    assert [text.split("; ")[0] for text in lines] == ["1 of 3 cells done, 2 more trained"] * 3
    assert all("; about " in text for text in lines)
    assert lines[2].endswith("; now fit_prior/digits/b/gmm (EM: iteration 8)")


def test_where_there_are_no_cells_jobs_are_counted(results):
    jobs = [results.job("prepare_dataset", name) for name in "ab"]
    assert standing(jobs, START) == Standing("jobs done", 2, ended=0, diverged=0, trained=0)
    results.end(jobs[0], START + 1)
    assert standing(jobs, START) == Standing("jobs done", 2, ended=1, diverged=0, trained=0)


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


def test_a_job_takes_what_like_jobs_took(results):
    # 10 + 2 · work, with 10 and 1000 images.
    trained = {
        results.job("train", "a", work=1): 30.0,
        results.job("train", "b", work=4): 90.0,
        results.job("train", "c", work=2): math.nan,
    }
    left = [results.job("train", "d", work=7), results.job("train", "a", "faces", work=1)]
    expected = dict(zip(left, [10 + 2 * 70, 10 + 2 * 1000], strict=True))
    assert expected_seconds([*trained, *left], trained, IMAGES) == pytest.approx(expected)
    # Of a dataset that is not prepared yet.
    assert expected_seconds([*trained, *left], trained, {"digits": 10}) is None
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
    expected = dict(zip(left, [150, 5000, 1], strict=True))
    assert expected_seconds([*mixtures, *left], mixtures, {}) == pytest.approx(expected)
    assert expected_seconds([*mixtures, results.job("score", variant="inception")], mixtures, {}) is None
    assert expected_seconds(mixtures, mixtures, {}) == {}


def left_of(jobs, now, images=IMAGES) -> float | None:
    return seconds_left(jobs, read_logs(jobs, START), images, START, now)


def test_as_many_jobs_run_at_once_as_until_now(results):
    jobs = [results.job("train", name, work=1) for name in "abcdef"]
    assert left_of(jobs, START + 150) is None
    # Two at once, from 50 seconds after the start on; one of an earlier run.
    results.end(jobs[0], START + 150, 100)
    results.end(jobs[1], START + 150, 100)
    results.end(jobs[2], START - 1, 1)
    assert left_of(jobs, START + 150) == pytest.approx(4 * 100 / 2)
    # Nothing has gone on since then.
    assert left_of(jobs, START + 250) == pytest.approx(4 * 100)


def test_a_job_that_ends_while_all_are_looked_at_does_not_date_the_run_back(results, monkeypatch):
    """Its benchmark of an earlier run is weeks old."""
    jobs = [results.job("train", name, work=1) for name in "abc"]
    results.end(jobs[0], START + 100, 100)
    results.end(jobs[1], START - 1_000_000, 100)
    results.say(jobs[1], START + 99, "INFO computing")
    read = run_progress.read_seconds

    def meanwhile(path):
        results.end(jobs[1], START + 100, 100)
        return read(path)

    monkeypatch.setattr(run_progress, "read_seconds", meanwhile)
    assert left_of(jobs, START + 100) == pytest.approx(50)


def test_a_number_of_images_that_none_has_ends_nothing(results):
    job = results.job("train", work=1)
    results.write(
        results.folder / "datasets" / "digits" / "dataset.json", f'{{"images": {{"train": 1{"0" * 400}}}}}', START
    )
    assert run_progress.counted_images(results.folder / "datasets", [job]) == {}


def test_of_jobs_under_way_what_is_left_counts(results):
    jobs = [results.job("train", name, work=1) for name in "abcde"]
    results.end(jobs[0], START + 100, 100)
    results.end(jobs[1], START + 100, 100)
    # Two go on, 60 seconds later. One has not said yet how far it is, and is expected to take as long as others.
    said = "INFO training: {}%, 1 images/s, {} left"
    begun = START + 100
    results.say(jobs[2], begun, "INFO computing")
    results.say(jobs[3], START + 160, "INFO computing", said.format(75, "0:00:25"), begun=begun)
    assert left_of(jobs, START + 160) == pytest.approx((40 + 25 + 100) / 2)
    # What a score says is of one of the sets that it takes the features of, and not of all that is left.
    scores = [results.job("score", name, variant="inception") for name in "ab"]
    results.end(scores[0], begun, 80)
    results.say(
        scores[1], START + 160, "INFO computing", "INFO extracting features: 9%, 1 a/s, 0:00:09 left", begun=begun
    )
    assert left_of(scores, START + 160) == pytest.approx(80 - 60)
    # A run is not shorter than its longest job.
    results.say(jobs[3], START + 160, "INFO computing", said.format(0, "1:00:00"), begun=begun)
    assert left_of(jobs[:4], START + 160) == 3600
    # One that takes longer than expected has nothing left, for all that is known.
    results.end(jobs[3], START + 160, 60)
    assert left_of(jobs[:4], START + 300) == 0


@pytest.mark.parametrize("percent", [50, 88, 90, 95, 99])
def test_a_training_that_went_on_from_a_checkpoint_took_what_its_percents_say(results, percent):
    """Two trainings of 10 hours. This job of the one has run for a minute; an earlier one did the rest."""
    jobs = [results.job("train", name, work=1) for name in "ab"]
    left = (100 - percent) * 360
    clock = f"{left // 3600}:{left // 60 % 60:02}:00"
    said = f"INFO training: {percent}%, 1 images/s, {clock} left"
    results.say(jobs[0], START + 60, "INFO going on", said, begun=START)
    told = left_of(jobs, START + 60)
    # A percent is known to half of one: of what is left, that is the more, the less is left.
    assert told == pytest.approx(left + 36_000, rel=0.5 / (100.5 - percent) if percent > 89 else 0.01)


def test_a_run_is_known_by_its_first_trainings(results):
    """Before any has ended, from their speed; the work of others follows from that."""
    jobs = [results.job("train", name, work=work) for name, work in (("a", 1), ("b", 1), ("c", 3))]
    for job in jobs[:2]:
        results.say(job, START + 20, "INFO computing", "INFO training: 20%, 1 images/s, 0:01:20 left", begun=START)
    assert left_of(jobs, START + 20) == pytest.approx((80 + 80 + 300) / 2, abs=0.5)
    # What comes after trainings is not known yet.
    assert left_of([*jobs, results.job("score", variant="inception")], START + 20) is None
    # One that was interrupted is not under way: it will do the rest, as long as others take.
    results.say(jobs[1], START + 20, "INFO training: 20%, 1 images/s, 0:01:20 left", "ERROR interrupted; and so on")
    assert left_of(jobs, START + 20) == pytest.approx(80 + 100 + 300, abs=0.5)


def test_what_a_broken_file_says_is_not_told(results):
    jobs = [results.job("train", name, work=1) for name in "ab"]
    results.end(jobs[0], START + 60, 1e300)
    assert left_of(jobs, START + 60) is None


def test_broken_and_diverged_jobs_say_nothing_of_others(results):
    jobs = [results.job("train", name, work=1) for name in "abcd"]
    results.end(jobs[0], START + 60, "?")
    assert left_of(jobs, START + 60) is None
    results.end(jobs[1], START + 120, 60)
    results.end(jobs[2], START + 121, 1, status="diverged")
    # 61 seconds of work in 61 seconds; one job of 60 is left.
    assert left_of(jobs, START + 121) == pytest.approx(60)


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
    # As a rule, since a slim machine has no files of time zones.
    monkeypatch.setenv("TZ", "EST5EDT,M3.2.0,M11.1.0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_lines_for_people(in_new_york):
    evening = datetime(2026, 10, 31, 20, 0).timestamp()
    at = Standing("cells scored", total=346, ended=12, diverged=1, trained=3)
    assert line(at, 7 * 3600 + 1200, evening) == (
        "12 of 346 cells scored (1 diverged), 3 more trained; about 7 h 20 min left, until Sun 1 Nov 02:20"
    )
    assert line(at, None, evening) == "12 of 346 cells scored (1 diverged), 3 more trained"
    assert line(Standing("cells trained", 2, 1, 0, 0), 60, evening) == (
        "1 of 2 cells trained; about 1 min left, until Sat 31 Oct 20:01"
    )
    assert line(Standing("cells scored", 2, 2, 0, 0), 60, evening) == "2 of 2 cells scored"


def test_a_line_names_the_trainings_that_have_run_longest_and_counts_the_others(results):
    said = "INFO training: epoch {}/100, loss 0.5821, 4%, 12,345 images/s, 0:12:00 left"
    trained = [results.job("train", name) for name in "abc"]
    other, silent = results.job("score", variant="inception"), results.job("encode")
    results.say(silent, START + 1, "INFO computing")
    assert doing(read_logs([silent], START)) == ""
    results.say(other, START + 1, "INFO extracting features: 45%, 99 images/s, unknown time left")
    assert doing(read_logs([silent, other], START)) == ("score/digits/a/inception (45%, 99 images/s), and 1 more")
    for number, job in enumerate(trained):
        results.say(job, START + 60, "INFO computing", said.format(number), begun=START + 9 - number)
    assert doing(read_logs([other, *trained, silent], START)) == (
        "train/digits/c (epoch 2/100, loss 0.5821, 4%, 12,345 images/s, 12 min left), "
        "train/digits/b (epoch 1/100, loss 0.5821, 4%, 12,345 images/s, 12 min left), and 3 more"
    )


def test_a_mixture_that_is_fitted_for_long_is_named_by_its_last_line(results):
    job = results.job("fit_prior", variant="gmm")
    results.say(job, START + 29, "INFO fitting", "INFO EM: iteration 7", begun=START)
    assert doing(read_logs([job], START)) == ""
    results.say(job, START + 31, "INFO fitting", "INFO EM: iteration 8", begun=START)
    assert doing(read_logs([job], START)) == "fit_prior/digits/a/gmm (EM: iteration 8)"


def test_names_and_lines_cannot_control_the_terminal(results):
    job = results.job("train", "\x1b[31ma")
    results.say(job, START + 1, "INFO training: \x1b[2Jepoch 1/2, 4%, 99 images/s, unknown time left")
    assert doing(read_logs([job], START)) == "train/digits/[31ma ([2Jepoch 1/2, 4%, 99 images/s)"


def test_a_line_is_logged_when_the_numbers_have_changed(results):
    trained = [results.job("train", name, work=1) for name in "ab"]
    scored = [results.job("score", name, variant="inception") for name in "ab"]
    results.write(results.folder / "datasets" / "digits" / "dataset.json", '{"images": {"train": 10}}', START)
    now = time.time()
    lines = []
    pauses = no_pauses(
        lambda: None,
        lambda: results.end(trained[0], now, 40),
        lambda: None,
        lambda: results.end(scored[0], now, 20),
        lambda: results.end(trained[1], now, 40),
        lambda: results.end(scored[1], now, 20),
        lambda: None,
    )
    watch(results.run(*trained, *scored, started=now - 60), lines.append, pauses)
    assert [text.split(";")[0] for text in lines] == [
        "0 of 2 cells scored, 1 more trained",
        "1 of 2 cells scored",
        "1 of 2 cells scored, 1 more trained",
        "2 of 2 cells scored",
    ]
    assert [" left, until " in text for text in lines] == [False, True, True, False]


def test_a_long_training_is_told_of_at_once_and_then_every_few_minutes(results, monkeypatch):
    """With a clock of the test's own."""
    job, other = (results.job("train", name, work=1) for name in "ab")
    now, lines = [START], []
    monkeypatch.setattr(run_progress.time, "time", lambda: now[0])

    def later(*records: str):
        def act() -> None:
            now[0] += run_progress.INTERVAL
            if records:
                results.say(job, now[0], "INFO computing", *records, begun=START + run_progress.INTERVAL)

        return act

    results.write(results.folder / "datasets" / "digits" / "dataset.json", '{"images": {"train": 10}}', START)
    every = run_progress.SILENCE // run_progress.INTERVAL
    training = [later(f"INFO training: {n}%, 9 images/s, 0:09:00 left") for n in range(2 * every + 1)]
    failure = later("INFO training: 9%, 9 images/s, 0:09:00 left", "ERROR no")
    pauses = no_pauses(later(), *training, failure, *[later()] * 2 * every)
    watch(results.run(job, other), lines.append, pauses)
    assert [text.split("; now ")[1] for text in lines] == [
        f"train/digits/a ({n}%, 9 images/s, 9 min left)" for n in (0, every, 2 * every)
    ]
    assert all(text.startswith("0 of 2 cells trained; about ") for text in lines)
    # No more once all is done, whatever else may run.
    results.end(job, now[0])
    results.end(other, now[0])
    table = results.job("table1")
    results.say(table, now[0], "INFO drawing: 4%, 9 images/s, 0:09:00 left")
    lines.clear()
    run = results.run(job, other, table)
    watch(run, lines.append, no_pauses(later(), *[later()] * (every + 1)))
    assert len(lines) == 1 and lines[0].startswith("2 of 2 cells trained")


def test_a_run_gives_signs_of_life_whatever_happens_to_its_file(results, monkeypatch):
    slept = []
    monkeypatch.setattr(run_progress.time, "sleep", slept.append)
    run = results.run(results.job("train"))
    results.write(run.path, "{}", START)
    pauses = run_progress.pauses_of(run)
    next(pauses)
    assert time.time() - run.path.stat().st_mtime < 60
    # A run that was suspended looks dead to another, which deletes its file.
    run.path.unlink()
    next(pauses)
    assert slept == [run_progress.INTERVAL] * 2 and run_records.read(run.path) == run
    # A disk that fails ends nothing.
    shutil.rmtree(run.folder)
    run.folder.write_text("")
    next(pauses)
    assert len(slept) == 3


def test_what_was_there_before_counts_as_done_and_not_as_measured(results):
    old, new = (results.job("train", name, work=1) for name in ("a", "b"))
    results.end(old, START - 1000, 500.0)
    jobs = [dataclasses.replace(old, due=False), new]
    assert standing(jobs, START) == Standing("cells trained", 2, ended=1, diverged=0, trained=0)
    assert left_of(jobs, START + 10) is None
    results.end(new, START + 5, 5.0)
    assert left_of(jobs, START + 10) == 0


STUB = """
import json
import time
from pathlib import Path

for path in snakemake.output:
    diverged = "vae-diverges" in path
    Path(path).write_text(json.dumps({"status": "diverged" if diverged else "ok", "images": {"train": 800}}))
# What follows from training lasts long enough to see that it has ended, and the one cell longer than the other.
if snakemake.rule == "encode":
    other = Path(snakemake.config["pathvars"]["results"], "benchmarks/encode/digits/vae-diverges/f2-d1-z4-s0.tsv")
    while "vae-diverges" not in snakemake.output[0] and not other.exists():
        time.sleep(0.1)
    time.sleep(2)
"""


def test_snakemake_logs_the_cells_of_a_run(project, tmp_path):
    """With scripts that compute nothing, and without the pause of half a minute."""
    folder = copy_project(project, tmp_path)
    scripts = folder / "workflow" / "scripts"
    for name in ("prepare_dataset", "train", "encode"):
        (scripts / f"{name}.py").write_text(STUB)
    module = scripts / "autoencoders" / "jobs" / "run_progress.py"
    text, pause = module.read_text(), f"INTERVAL = {run_progress.INTERVAL}\n"
    assert pause in text
    module.write_text(text.replace(pause, "INTERVAL = 0.1\n"))
    done = snakemake(folder, "all_codes", "--quiet", "rules")
    assert "\n0 of 2 cells done, 2 more trained" in done.stdout
    assert "\n1 of 2 cells done (1 diverged), 1 more trained" in done.stdout
    # A cell that is there already counts.
    shutil.rmtree(folder / "results/demo/cells/digits/vae-diverges")
    again = snakemake(folder, "all_codes", "--quiet", "rules")
    assert "\n1 of 2 cells done, 1 more trained" in again.stdout
    assert "\n0 of 2 cells" not in again.stdout
