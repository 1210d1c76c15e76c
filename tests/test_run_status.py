"""The status of runs, read from made-up files and from those of a real run that is interrupted, killed and fails."""

import contextlib
import dataclasses
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from running import append, copy_project, hold_trainings, snakemake, snakemake_command, started, wait_until

from autoencoders.jobs import run_status
from autoencoders.jobs.checkpoints import Checkpoint
from autoencoders.jobs.run_status import DEAD, INTERVAL, LISTED, SILENCE, SILENT, Job, Run, Status, statuses

START = 1_000_000.0
AT = "epoch 3/100, loss 0.5821, 2%, 12,345 images/s, 0:12:00 left"
TRAINING = f"INFO training: {AT}"


class Results:
    """A results folder whose files have the times that a test gives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *jobs: Job, alive=True, now=START + 60, **facts) -> Run:
        """A run with a record, which was touched too long ago if the run is not ``alive``."""
        known = {"started": START, "command": "snakemake all", "host": "elsewhere", "pid": 1234}
        run = Run(self.folder, jobs, **(known | facts))
        run.save()
        os.utime(run.record, (now - (1 if alive else 2 * DEAD),) * 2)
        return run

    def write(self, name: str | Path, text: str, at: float) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        os.utime(path, (at, at))
        return path

    def end(self, job: Job, at: float, seconds: float = 1.0) -> None:
        """A job succeeds after so many seconds."""
        if not (self.folder / f"logs/{job.name}.log").exists():
            self.write(f"logs/{job.name}.log", "", at)
        self.write(f"benchmarks/{job.name}.tsv", f"s\th:m:s\n{seconds}\t0:00:01\n", at)

    def say(self, job: Job, at: float, *lines: str, begun: float | None = None, ahead: float = 0) -> None:
        """A job's log, on a machine whose clock is so many seconds ``ahead``."""
        times = [at if begun is None else begun, *[at] * (len(lines) - 1)][: len(lines)]
        stamps = [datetime.fromtimestamp(when + ahead) for when in times]
        text = "".join(f"{stamp},000 {line}\n" for stamp, line in zip(stamps, lines, strict=True))
        self.write(f"logs/{job.name}.log", text, at)


@pytest.fixture
def results(tmp_path) -> Results:
    return Results(tmp_path / "results" / "demo")


def job(text: str, work=1.0, due=True) -> Job:
    """From its rule, its cell and, if any, what follows the cell in its name: "score a classifier"."""
    rule, name, *variant = text.split()
    cell = name if "/" in name else f"digits/{name}"
    return Job("/".join([rule, cell, *variant]), "/".join([rule, *variant]), cell, work, due)


TABLE = Job("table1", "table1", "", 1, True)


def test_a_new_run_removes_the_records_of_dead_runs_only(results):
    here, ended = {"host": socket.gethostname()}, subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    alive = [results.run(TABLE, pid=1), results.run(TABLE, pid=os.getpid(), **here)]
    dead = [results.run(TABLE, pid=2, alive=False).record, results.run(TABLE, pid=ended.pid, **here).record]
    broken, hidden = (results.write(f"logs/runs/{name}", "{", 1.0) for name in ("0-1.json", ".writing-1.json"))
    alive.append(results.run(TABLE, pid=3))
    assert {run.record for run in alive} == set(run_status.records(results.folder))
    assert hidden.exists() and not any(path.exists() for path in (*dead, broken))


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.update(jobs=3),
        lambda facts: facts.update(started=1e300),
        lambda facts: facts.update(host=socket.gethostname(), pid=1 << 70),
        lambda facts: facts["jobs"][0].update(name="a\0b"),
        lambda facts: facts["jobs"][0].update({"\x1b[31m": 1}),
        "null",
        "[" * 100_000,
    ],
)
def test_a_damaged_record_gets_a_line_and_other_runs_are_shown(results, tmp_path, capsys, change):
    record, other = results.run(TABLE).record, Results(tmp_path / "results" / "other").run(TABLE)
    facts = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(change if isinstance(change, str) else json.dumps([change(facts), facts][1]), encoding="utf-8")
    assert run_status.main(str(tmp_path)) == 1
    out, err = capsys.readouterr()
    assert out.startswith(f"{other.folder}: snakemake all\n") and str(results.folder) not in out
    assert f"{record} is damaged" in err and err.count("\n") == 1 and "\x1b" not in err


def test_a_record_of_another_version_is_no_damage_and_stays_while_it_may_be_of_a_run_that_lives(results, capsys):
    record = results.run(TABLE).record
    record.write_text(json.dumps(json.loads(record.read_text(encoding="utf-8")) | {"format": 1}), encoding="utf-8")
    assert run_status.main(str(results.folder)) == 0
    assert f"{record} was written by another version" in capsys.readouterr().out
    for at, stays in ((START, True), (START - 2 * DEAD, False)):
        os.utime(record, (at, at))
        results.run(TABLE, pid=7)
        assert record.exists() == stays


def test_an_interrupted_mixture_resumes_from_its_checkpoint(results):
    one = job("fit_prior a gmm")
    results.say(one, START + 5, "ERROR interrupted by SIGINT")
    run = results.run(one)
    assert "; the next run repeats it" in run_status.page(run, START + 60)
    results.write("cells/digits/a/priors/gmm.checkpoint.safetensors", "", START)
    assert "; the next run resumes it" in run_status.page(run, START + 60)


def test_all_runs_in_a_folder_and_below_it_are_shown_once_the_newest_last_also_if_it_was_moved(tmp_path, capsys):
    moved = tmp_path / "moved"
    for place, begun in (("", START + 3), ("demo", START + 1), ("a/b", START + 2), ("cells/d/m/f", START)):
        Results(tmp_path / "results" / place).run(TABLE, started=begun, command=f"at {place}")
    (tmp_path / "results").rename(moved).joinpath("link").symlink_to(moved / "demo")
    assert run_status.main(str(moved)) == 0
    found = re.findall(r"(.*): at (.*)\n", capsys.readouterr().out)
    assert found == [(f"{moved}/demo", "demo"), (f"{moved}/a/b", "a/b"), (f"{moved}", "")]
    assert run_status.main(f"{tmp_path}/missing/") == 0
    assert re.match(rf"No run .*{tmp_path}/missing/.*make demo.*RESULTS=", capsys.readouterr().out)


JOB = """
import os, signal, sys
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.job import job, logger
from autoencoders.jobs.progress import Progress

with job(sys.argv[1]):
    {}
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(
    ("work", "state", "text"),
    [
        ("raise UserError('write this\\ninstead')", "failed", "write this … instead"),
        ("Progress('a', 100).line('epoch 1/2'); raise KeyboardInterrupt", "interrupted", "interrupted at epoch 1/2"),
        ("logger.info('computing')", "interrupted", "killed"),
    ],
)
def test_logs_are_read_as_jobs_write_them(results, project, work, state, text):
    one, before = job("encode a"), time.time()
    log = results.folder / "logs" / f"{one.name}.log"
    environment = os.environ | {"PYTHONPATH": str(project / "workflow" / "scripts")}
    subprocess.run([sys.executable, "-c", JOB.format(work), log], env=environment, capture_output=True)
    found = statuses(results.run(one, alive=False, now=before, started=before - 1), before)[one]
    assert found.state == state and text in found.text
    assert before - 1 <= found.begun <= found.written <= time.time()


HERE, GONE = (f"INFO process {pid} on {socket.gethostname()}" for pid in (os.getpid(), 999_999_999))


@pytest.mark.parametrize(
    ("lines", "quiet", "alive", "state", "text"),
    [
        ([], 9999, True, "running", "nothing in its log"),
        (["INFO fitting"], 9999, True, "running", "fitting"),
        (["INFO fitting"], SILENT + 1, False, "interrupted", "killed, or hangs,"),
        ([TRAINING, "WARNING no room"], SILENT - 1, True, "running", AT),
        ([TRAINING], SILENT + 1, True, "interrupted", "killed, or hangs, at epoch 3/100"),
        ([HERE, TRAINING], 1, False, "running", AT),
        # A living process is running, however long a batch takes.
        ([HERE, TRAINING], SILENT + 1, True, "running", AT),
        ([GONE, TRAINING], 1, False, "interrupted", "killed at epoch 3/100"),
        # It may have succeeded, and Snakemake writes its benchmark file soon.
        ([GONE, TRAINING], 1, True, "running", AT),
        ([GONE, TRAINING], INTERVAL + 1, True, "interrupted", "killed at epoch 3/100"),
        # Only the first line and the end of a long log are read.
        ([GONE, *[TRAINING] * 2000], 1, False, "interrupted", "killed at epoch 3/100"),
    ],
)
def test_a_job_that_has_not_succeeded(results, lines, quiet, alive, state, text):
    one, other = job("train a"), job("train b")
    run = results.run(one, other, alive=alive, now=START + 5000 + quiet)
    results.say(one, START + 5000, *lines, begun=START + 10, ahead=3 * 3600)
    os.mkfifo(results.folder / f"logs/{other.name}.log")  # Reading it would never end.
    found = statuses(run, START + 5000 + quiet)
    assert (found[one].state, found[one].text, found[one].written) == (state, text, START + 5000)
    assert found[one].begun == START + (10 if len(lines) > 1 else 5000)
    assert found[other].state == "not started"


def test_a_job_is_done_when_its_benchmark_file_is_newer_than_the_run_and_its_log(results, monkeypatch):
    one, old = job("encode a"), job("train a", due=False)
    run = results.run(one, old)

    def state(of: Job = one) -> str:
        return statuses(run, START + 60)[of].state

    results.say(one, START - 9, "ERROR no")
    results.end(one, START - 5)
    assert (state(), state(old)) == ("not started", "done")
    results.end(one, START + 10)
    assert state() == "done"
    # On a cluster, Snakemake repeats a group that failed: it removes logs and outputs, but not benchmark files.
    (results.folder / f"logs/{one.name}.log").unlink()
    assert state() == "not started"
    results.say(one, START + 50, "INFO computing")
    assert state() == "running"
    # It ends while its log is read.
    read = run_status.read_log
    monkeypatch.setattr(run_status, "read_log", lambda *facts: [read(*facts), results.end(one, START + 51)][0])
    assert state() == "done"


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        ({"epoch": 15, "batches": 120}, "from epoch 16, after batch 120 (3 min ago); the next run resumes it"),
        ({"epoch": 15, "batches": 0}, "from the end of epoch 15 (3 min ago); the next run resumes it"),
        ({"epoch": "\x1b"}, "its checkpoint is damaged: the next run starts it over"),
        (None, "there is no checkpoint: the next run starts it over"),
    ],
)
def test_an_interrupted_training_shows_its_epoch_and_checkpoint(results, progress, expected):
    one, path = job("train a"), results.folder / "cells/digits/a/checkpoint.safetensors"
    if progress:
        Checkpoint(path, "key", 1).save({"weights": np.zeros(100)}, progress)
        os.utime(path, (START, START))
    results.say(one, START + 180, TRAINING, "ERROR interrupted by SIGINT; the next run goes on from here")
    page = run_status.page(results.run(one, now=START + 185), START + 185)
    assert re.search(rf"\n  {one.name}: interrupted at epoch 3/100 \(5 s ago\); .*{re.escape(expected)}", page)


def ended(at: float, seconds: float, total: float | None = None) -> Status:
    return Status("done", START + at - seconds, START + at, total=seconds if total is None else total)


def running(begun: float, *total_and_left: float) -> Status:
    return Status("running", START + begun, START + 100, "", *total_and_left)


WAITING, NAN = Status("not started"), math.nan


@pytest.mark.parametrize(
    ("jobs", "seconds", "complete"),
    [
        ({"train a": WAITING}, NAN, False),
        # Two at once, for 80 seconds.
        ({"train a": ended(100, 80), "train b": ended(60, 40), "train c": WAITING}, 60 / (120 / 80), True),
        # Those with the nearest work count, in proportion.
        ({"train a": ended(90, 90), "train b *100": ended(100, 10), "train c *60": WAITING}, 6, True),
        # Trainings under way, before any has ended. An earlier job has done a part of the second.
        ({"train a": running(0, 200, 100), "train b": running(0, 1000, 300), "train c": WAITING}, 500, True),
        # A run takes no less than its longest job.
        ({"train a": running(0, 900, 800), "train b": running(0, 105, 5)}, 800, True),
        # Other jobs report progress of a part of their work. One that takes longer than others has nothing left.
        ({"score a x": ended(100, 20), "score b x": running(90, 9, 9)}, 20 - 10, True),
        ({"score a x": ended(20, 20), "score b x": running(20, 9, 9)}, 0, True),
        # Each prior, and each dataset if anything is known of it.
        ({"fit_prior a m": ended(10, 10), "fit_prior f/a m": ended(100, 90), "fit_prior b m": WAITING}, 10, True),
        ({"fit_prior a m": ended(100, 100), "fit_prior f/a m": WAITING, "fit_prior a gmm": WAITING}, 100, False),
        # A cell that diverged ended early.
        ({"train a": ended(50, 50, NAN), "train b": ended(100, 50), "train c": WAITING}, 50, True),
    ],
)
def test_the_time_left_follows_from_work_and_rates(jobs, seconds, complete):
    found = {}
    for text, status in jobs.items():
        name, _, work = text.partition(" *")
        found[job(name, work=float(work or 1))] = status
    found |= {TABLE: WAITING, job("train x", due=False): Status("done")}
    assert run_status.seconds_left(found, START + 100) == (pytest.approx(seconds, nan_ok=True), complete)


@pytest.mark.parametrize(
    ("percent", "clock", "total"),
    [
        *((25, "0:01:30", 120), (50, "1:00:05", 7210), (95, "0:00:03", 63), (50, "unknown time", NAN)),
        # Resumed: this job has spent 60 s, earlier ones the rest of about 500 s / 5 %.
        (95, "0:08:20", 500 / 0.055),
    ],
)
def test_what_a_training_takes(results, percent, clock, total):
    one, other, score = job("train a"), job("train b"), job("score b x")
    run = results.run(one, other, score)
    results.say(one, START + 60, "INFO a", f"INFO training: {percent}%, 9 images/s, {clock} left", begun=START)
    assert statuses(run, START + 60)[one].total == pytest.approx(total, nan_ok=True)
    # Once it is done: with earlier jobs, unless it diverged.
    for each in (other, score):
        results.end(each, START + 50, 20)
    for status, totals in (("ok", [20 + percent, 20]), ("diverged", [NAN, NAN])):
        results.write("cells/digits/b/cell.json", json.dumps({"status": status, "earlier_seconds": percent}), START)
        found = statuses(run, START + 60)
        assert [found[each].total for each in (other, score)] == pytest.approx(totals, nan_ok=True)
        assert found[other].begun == START + 30 and found[other].diverged == (status == "diverged")


def test_cells_count_as_scored_trained_or_diverged():
    first, second, other = job("score a x"), job("score a y"), job("score b x")
    done, jobs = Status("done"), dict.fromkeys([first, second, other, *map(job, ("train a", "train b"))], WAITING)
    assert run_status.counts(jobs) == "0 of 2 cells scored"
    jobs |= {first: done, job("train a"): done, job("train c"): done}
    assert run_status.counts(jobs) == "0 of 2 cells scored, 1 more trained"
    jobs |= {second: Status("done", diverged=True)}
    assert run_status.counts(jobs) == "1 of 2 cells scored (1 diverged)"
    jobs = {job("fit_prior a m"): done, job("fit_prior b m"): WAITING, job("train b"): done}
    assert run_status.counts(jobs) == "1 of 2 cells done, 1 more trained"
    assert run_status.counts({TABLE: done, dataclasses.replace(TABLE, name="table2"): WAITING}) == "1 of 2 jobs done"


def test_durations_have_two_units():
    texts = {-3: "0 s", 59: "59 s", 1771: "30 min", 3599: "1 h 0 min", 275_040: "3 d 4 h"}
    assert {seconds: run_status.duration(seconds) for seconds in texts} == texts


@pytest.mark.parametrize("alive", [True, False])
def test_a_page_counts_the_jobs_that_it_lists(results, alive):
    failed, interrupted, *others, ended, waiting = (job(f"train {number:02}") for number in range(LISTED + 9))
    for one in others:
        results.say(one, START + 50, HERE, TRAINING, begun=START + 5)
    results.say(failed, START + 20, "ERROR no\x1b[31m weights")
    results.say(TABLE, START + 20, "ERROR no table")
    results.say(interrupted, START + 20, "ERROR interrupted")
    results.end(ended, START + 9)
    run = results.run(failed, interrupted, *others, ended, waiting, TABLE, alive=alive, host="a-\x1b[2Jnode")
    page = run_status.page(run, START + 60)
    assert "\x1b" not in page and f"1 of {LISTED + 9} cells done" in page
    assert ("running: started" in page, "left, until" in page) == (alive, alive)
    assert ("--unlock" in page, "still running" in page) == (not alive, not alive)
    # Failed jobs count with or without a cell.
    assert "\n30 jobs: 1 done, 25 running, 1 interrupted, 2 failed, 1 not started\n" in page
    listed = {text.split(":")[0]: text.count(" ago)") for text in re.split(r"\n(?=\w)", page)}
    assert (listed["running"], listed["interrupted"], listed["failed"]) == (LISTED, 1, 2) and "  and 5 more" in page
    assert f"  train/digits/00: no[31m weights (40 s ago)\n    {results.folder}/logs/train/digits/00.log" in page
    for one in run.jobs:
        results.end(one, START + 55)
    assert "\nfinished: started" in run_status.page(run, START + 60)


def test_a_run_prints_a_line_when_a_cell_has_ended_and_every_two_minutes(results, monkeypatch):
    first, second, mixture = job("train a"), job("train b"), job("fit_prior d gmm")
    now, lines, touched, away = [START], [], [], results.folder.with_name("away")
    run = results.run(first, second, mixture)
    actions = {
        1: lambda: results.say(mixture, now[0], "INFO \x1b[2JEM: iteration 8"),
        2: lambda: touched.append(run.record.stat().st_mtime > 2 * START),
        6: lambda: results.say(second, now[0], "INFO computing", TRAINING, begun=START),
        # Another run has removed this one's record.
        8: lambda: (run.record.unlink(), results.end(first, now[0], 30)),
        # The disk fails for a moment.
        9: lambda: (
            results.end(second, now[0]),
            shutil.move(results.folder, away),
            results.folder.write_text("", encoding="utf-8"),
        ),
        10: lambda: (results.folder.unlink(), shutil.move(away, results.folder)),
    }

    def sleep(seconds: float) -> None:
        assert seconds == INTERVAL
        now[0] += INTERVAL
        if now[0] == START + 11 * INTERVAL:
            raise StopIteration
        actions.get((now[0] - START) / INTERVAL, lambda: None)()

    monkeypatch.setattr(run_status.time, "sleep", sleep)
    monkeypatch.setattr(run_status.time, "time", lambda: now[0])
    with pytest.raises(StopIteration):
        run_status.watch(run, lambda line: lines.append((now[0] - START, line)))
    assert touched == [True]
    times, texts = zip(*lines, strict=True)
    assert times == (INTERVAL, INTERVAL + SILENCE, 8 * INTERVAL, 10 * INTERVAL)
    assert texts[0] == texts[1] == "0 of 3 cells done; now fit_prior/digits/d/gmm ([2JEM: iteration 8)"
    assert re.match(r"1 of 3 cells done; more than \d+ min left; now train/digits/b \(epoch 3.*, fit_prior", texts[2])
    assert texts[3].startswith("2 of 3 cells done") and run_status.read_run(run.record) == run


def test_status_needs_the_standard_library_only(project):
    code = "import sys; sys.argv[1:] = ['missing']; import status; print(*sys.modules)"
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, cwd=project / "workflow", capture_output=True, text=True, check=True)
    assert not {"numpy", "pandas", "torch", "yaml", "snakemake"} & set(done.stdout.split())


CELL = "train/digits/dae/f2-d1-z4-s0"


@pytest.mark.slow
def test_a_real_run_that_is_interrupted_killed_and_fails(project, tmp_path):
    folder, configs = copy_project(project, tmp_path), ("config/demo.yaml", "tiny.yaml", "long.yaml")
    log, images = (folder / "results/demo" / name for name in (f"logs/{CELL}.log", "datasets/digits/train.npz"))
    shutil.copy2(project / "Makefile", folder)
    (folder / "long.yaml").write_text("{run: [width], training: {epochs: 100000}}", encoding="utf-8")
    hold_trainings(folder)
    # Print lines at once, not after ten and thirty seconds.
    append(folder / "workflow/scripts/autoencoders/jobs/progress.py", "\nProgress.due = True\n")
    append(folder / "workflow/scripts/autoencoders/jobs/run_status.py", "\nINTERVAL, SILENCE = 1, 2\n")

    def status() -> str:
        command = ["make", "--silent", "status", f"PYTHON={sys.executable}"]
        return subprocess.run(command, cwd=folder, text=True, check=True, stdout=subprocess.PIPE).stdout

    @contextlib.contextmanager
    def run_until(line: str) -> Iterator[subprocess.Popen]:
        """A run, once it has printed the line while the cell is trained."""
        log.unlink(missing_ok=True)
        (folder / "output.txt").unlink(missing_ok=True)
        with started(folder, snakemake_command("all_scores", "--rerun-incomplete", configs=configs)) as run:
            printed = re.compile(rf"\n{line}.*; now {CELL} \(epoch")
            wait_until(lambda: printed.search((folder / "output.txt").read_text(encoding="utf-8")), run)
            yield run

    snakemake(
        folder,
        f"results/demo/cells/{CELL[6:].replace('dae', 'vae-diverges')}/scores/classifier.parquet",
        configs=configs,
    )
    (folder / "hold").touch()
    with run_until(r"1 of 2 cells scored \(1 diverged\)") as run:
        assert re.search(rf"\nrunning: .*{run.pid} on (.*\n)*running:\n  {CELL}: epoch \d+/100000, loss 0\.", status())
        os.killpg(run.pid, signal.SIGINT)
        run.wait(120)
    ago = r"\(\d+ s ago\)"
    at = rf"at epoch (?P<at>\d+)/100000 {ago}; the checkpoint is from epoch (?P=at), after batch \d+ {ago}"
    assert re.search(rf"\nstopped: (.*\n)*interrupted:\n  {CELL}: interrupted {at}; the next run", status())
    with run_until("1 of 2 cells scored") as run:
        run.kill()
        run.wait()
        assert re.search(rf"\nstopped: (.*\n)*.*still running(.*\n)*running:\n  {CELL}: epoch", status())
        os.kill(int(re.search(r"process (\d+)", log.read_text(encoding="utf-8"))[1]), signal.SIGKILL)
        killed = rf"interrupted:\n  {CELL}: killed at epoch .*; the checkpoint is from epoch "
        deadline = time.monotonic() + 120
        while not re.search(killed, status()):
            assert time.monotonic() < deadline, status()
    # A failure: unreadable images. Planning and unlocking leave the record as it is.
    kept = images.stat()
    images.write_bytes(b"no images")
    os.utime(images, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    for option in ("--unlock", "--touch", "--dry-run"):
        snakemake(folder, "all_models", option, configs=configs)
        assert f"{run.pid} on" in status()
    snakemake(folder, "all_models", "--rerun-incomplete", configs=configs, check=False)
    failed = rf"1 failed(.*\n)*failed:\n  {CELL}: .*train\.npz is not a readable npz.* ago\)\n    results/.*{CELL}\.log"
    assert re.search(failed, status())
