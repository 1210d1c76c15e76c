"""What `make status` tells of runs, from files that are made up and from a run that is really interrupted."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from made_up_run import START, Results
from running import copy_project, snakemake

from autoencoders.jobs import run_progress, run_records
from autoencoders.jobs import status as run_status
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.progress import Point
from autoencoders.jobs.run_records import DEAD, SILENT, read_log
from autoencoders.jobs.status import main, page, records

PROGRESS = "INFO training: epoch 3/100, loss 0.5821, 2%, 12,345 images/s, 0:12:00 left"


@pytest.fixture
def results(tmp_path) -> Results:
    return Results(tmp_path / "results" / "demo")


def told(run, now=START + 60, alive=True) -> str:
    """The page of a run on another machine that has just given a sign of life, or has not for long."""
    run_records.write(run)
    sign = now - (1 if alive else 2 * DEAD)
    os.utime(run.path, (sign, sign))
    return page(run_records.read(run.path), now)


# ---- the file of a run


def test_a_runs_file_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Results(Path("results/demo"))
    train, score = made.job("train", work=3), made.job("score", variant="inception")
    download = replace(train, rule="download_dataset", cell=None, due=False)
    run = made.run(train, score, download, command="snakemake -c1 'a b'")
    run_records.write(run)
    assert run_records.read(run.path) == run
    # From another folder, and after the results have been moved.
    Path("results").rename("moved")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    found = run_records.read(Path("../moved/demo") / run.path.relative_to("results/demo"))
    assert found.folder == Path("../moved/demo")
    assert found.jobs[0].cell == Path("../moved/demo/cells/digits/a")
    assert found.jobs[0].name == "train/digits/a"


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.pop("jobs"),
        lambda facts: facts.update(jobs=3),
        lambda facts: facts.update(started="soon"),
        lambda facts: facts.update(started=float("nan")),
        lambda facts: facts.update(started=1e300),
        lambda facts: facts.update(pid=-1),
        lambda facts: facts.update(pid=1 << 40),
        lambda facts: facts["jobs"][0].pop("log"),
        lambda facts: facts["jobs"][0].update(log=None),
        lambda facts: facts["jobs"][0].update(log="a\0b"),
        lambda facts: facts["jobs"][0].update(work=float("inf")),
    ],
)
def test_a_damaged_file_is_told_and_other_runs_are_shown(results, tmp_path, capsys, change):
    other = Results(tmp_path / "results" / "other")
    for made in (results, other):
        run_records.write(made.run(made.job("train")))
    (path,) = run_records.run_files(results.folder)
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))
    with pytest.raises(UserError):
        run_records.read(path)
    assert main(str(tmp_path)) == 1
    out, err = capsys.readouterr()
    assert f"{other.folder}: snakemake all\n" in out and str(results.folder) not in out
    assert err.startswith(f"{path} does not say what a run is about") and err.count("\n") == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\x1b[31m"])
def test_what_is_no_json_object_is_told_too(tmp_path, capsys, text):
    results = Results(tmp_path / "\x1b[31mresults")
    results.write(results.folder / run_records.FOLDER / "0-1.json", text, START)
    assert main(str(tmp_path)) == 1
    out, err = capsys.readouterr()
    assert not out and "does not say what a run is about" in err and "\x1b" not in err


def test_runs_that_share_a_folder_are_all_shown_while_they_go_on(results, capsys, monkeypatch):
    """Each touches its own file alone, so that no dead run is kept alive by another."""
    job = results.job("train")
    now = time.time()
    long, dead, new = (results.run(job, started=now - age, pid=pid) for age, pid in ((9000, 1), (8000, 2), (5, 3)))
    for run in (long, dead):
        run_records.write(run)
    os.utime(dead.path, (now - 2 * DEAD, now - 2 * DEAD))
    monkeypatch.setattr(run_progress.time, "sleep", lambda _: None)
    next(run_progress.pauses_of(long))
    assert run_records.run_files(results.folder) == [long.path, dead.path]
    assert main(str(results.folder)) == 0
    out = capsys.readouterr().out
    assert out.index("it goes on (process 1 on elsewhere)") < out.index("it has stopped (last sign of life 6 min ago")
    # Nobody can read it, and has not for long.
    broken, writing = (results.folder / run_records.FOLDER / name for name in ("0-1.json", ".writing-0-2.json.x.json"))
    for path in (broken, writing):
        path.write_text("{")
    run_records.write(new)
    assert run_records.run_files(results.folder) == [broken, long.path, new.path]
    os.utime(broken, (now - 2 * DEAD, now - 2 * DEAD))
    run_records.write(new)
    # What another run is still writing is left alone.
    assert run_records.run_files(results.folder) == [long.path, new.path] and writing.exists()
    assert main(str(results.folder)) == 0


def test_without_a_run_it_says_what_to_do(tmp_path, capsys):
    assert main(f"{tmp_path}/results/") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"There is no run in {tmp_path}/results/. ") and "make demo" in out


def test_the_newest_run_is_the_last(tmp_path, capsys):
    for name, started in (("a", START + 2), ("b", START), ("c", START + 1)):
        made = Results(tmp_path / name)
        run_records.write(made.run(made.job("train"), started=started))
    assert main(str(tmp_path)) == 0
    assert re.findall(rf"{tmp_path}/(\w)", capsys.readouterr().out) == ["b", "c", "a"]


def test_runs_are_found_in_the_folder_and_below_it_but_not_among_cells(tmp_path):
    for place in ("", "demo", "a/b", "cells/a"):
        made = Results(tmp_path / place)
        run_records.write(made.run(made.job("train")))
    assert sorted(path.parents[2] for path in records(tmp_path)) == [tmp_path, tmp_path / "a/b", tmp_path / "demo"]


# ---- what logs say

JOB = """
import signal
import sys

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.job import job, logger

with job(sys.argv[1]):
    {}
"""


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        ("logger.info('computing')", (False, False, "computing", None)),
        ("logger.info('a: 4%, 2 b/s, 0:00:01 left')", (False, False, "a: 4%, 2 b/s, 0:00:01 left", 1)),
        ("logger.info('a: 4%, 2 b/s, 0:00:01 left'); logger.warning('no room')", (False, False, "no room", 1)),
        ("raise UserError('write this\\ninstead')", (True, False, "write this instead", None)),
        ("raise RuntimeError('x')", (True, False, "RuntimeError: x", None)),
        ("raise MemoryError", (True, False, None, None)),
        ("raise KeyboardInterrupt", (False, True, None, None)),
        ("signal.raise_signal(signal.SIGTERM)", (False, True, None, None)),
        ("raise KeyboardInterrupt('interrupted by SIGTERM; this state could not be kept')", (False, True, None, None)),
    ],
)
def test_logs_are_read_as_jobs_write_them(tmp_path, project, work, expected):
    log, before = tmp_path / "a.log", time.time()
    environment = os.environ | {"PYTHONPATH": str(project / "workflow" / "scripts")}
    subprocess.run([sys.executable, "-c", JOB.format(work), log], env=environment, capture_output=True)
    found = read_log(log)
    failed, interrupted, last, left = expected
    assert (found.failed, found.interrupted, found.open) == (failed, interrupted, not failed and not interrupted)
    assert last in (None, found.last)
    assert (found.point and found.point.left) == left
    # To the second.
    assert before - 1 <= found.begun <= found.written


def test_only_the_end_of_a_long_log_is_read(results):
    job = results.job("train")
    lines = [PROGRESS.replace("2%", f"{share}%") for share in range(100)] * 100
    results.say(job, START + 50_000, "INFO computing", *lines, begun=START)
    found = read_log(job.log)
    assert found.begun == START
    assert found.point == Point("training", "epoch 3/100, loss 0.5821", 99, "12,345 images/s", 720)


def test_what_is_no_log_is_none(tmp_path):
    assert read_log(tmp_path / "missing") is None
    assert read_log(tmp_path) is None
    os.mkfifo(tmp_path / "pipe")
    assert read_log(tmp_path / "pipe") is None
    (tmp_path / "odd").write_bytes(b"9999-99-99 00:00:00,000 INFO \xff\n")
    found = read_log(tmp_path / "odd")
    assert found.begun == found.written and found.open


# ---- what is told


def test_a_page_counts_every_cell_once_and_names_what_runs_and_what_failed(results):
    names = ["done", "odd", "running", "failed", "waiting"]
    trained = {name: results.job("train", name, work=1) for name in names}
    scored = {name: results.job("score", name, variant="inception") for name in names}
    priors = [results.job("fit_prior", "failed"), replace(results.job("fit_prior", "waiting"), due=False)]
    for name in ("done", "odd", "failed"):
        results.end(trained[name], START + 5, status="diverged" if name == "odd" else "ok")
    for name in ("done", "odd"):
        results.end(scored[name], START + 6)
    results.say(trained["running"], START + 52, "INFO computing", PROGRESS)
    results.say(scored["failed"], START + 20, "INFO computing", PROGRESS, "ERROR no weights")
    # Another job of a cell that has failed, and one of another run.
    results.say(priors[0], START + 30, "INFO fitting")
    results.say(priors[1], START + 30, "INFO fitting")
    # Of an earlier run.
    results.say(trained["waiting"], START - 9, "ERROR no")
    run = results.run(*trained.values(), *scored.values(), *priors, host="a-node")
    begun = datetime.fromtimestamp(START)
    assert told(run) == "\n".join(
        [
            f"{results.folder}: snakemake all",
            f"begun {begun:%a} {begun.day} {begun:%b %H:%M}; it goes on (process 1234 on a-node)",
            "2 of 5 cells scored (1 diverged), 1 more trained",
            "of the other 3 cells: 1 running, 1 failed, 1 remaining",
            "running:",
            "  fit_prior/digits/failed: fitting (30 s ago)",
            "  train/digits/running: epoch 3/100, loss 0.5821, 2%, 12,345 images/s, 12 min left (8 s ago)",
            "failed:",
            "  score/digits/failed/inception: no weights (40 s ago)",
            f"    {scored['failed'].log}",
        ]
    )


def test_a_silent_job_tells_its_last_line_and_for_how_long(results):
    job = results.job("fit_prior", variant="gmm")
    results.say(job, START + 1, "INFO fitting 10 components")
    page = told(results.run(job), now=START + 3 * 3600)
    assert "\n  fit_prior/digits/a/gmm: fitting 10 components (3 h 0 min ago)" in page
    assert "\n0 of 1 cells done\nof the other 1 cell: 1 running, 0 failed, 0 remaining\n" in page
    # Most jobs have nothing to say.
    results.write(job.log, "", START + 1)
    assert "\n  fit_prior/digits/a/gmm: nothing in its log (4 s ago)" in told(results.run(job), now=START + 5)


def test_what_was_tried_again_or_interrupted_has_not_failed(results):
    jobs = [results.job("train", name) for name in "abc"]
    results.say(jobs[0], START + 8, "INFO computing")
    results.end(jobs[0], START + 9)
    results.say(jobs[1], START + 9, PROGRESS, "ERROR interrupted by SIGINT; the next run goes on from here")
    results.say(jobs[2], START + 9, "INFO computing")
    page = told(results.run(*jobs))
    assert "of the other 2 cells: 1 running, 0 failed, 1 remaining\nrunning:\n  train/digits/c: " in page
    assert "failed:" not in page and "train/digits/b" not in page
    assert "of the other 1 cell: 0 running, 0 failed, 1 remaining" in told(results.run(*jobs[:2]))


def test_what_a_group_does_again_runs_until_its_benchmark_is_newer_than_its_log(results):
    """On a cluster a group that failed is computed whole; Snakemake then removes outputs and logs, no benchmarks."""
    train, encode, score = results.job("train"), results.job("encode"), results.job("score", variant="inception")
    results.end(train, START + 5)
    results.end(encode, START + 10)
    assert encode.has_ended(START)
    encode.log.unlink()
    assert not encode.has_ended(START)
    run = results.run(train, encode, score)
    assert "0 of 1 cells scored, 1 more trained\nof the other 1 cell: 0 running, 0 failed, 1 remaining" in told(run)
    results.say(encode, START + 50, "INFO computing")
    assert "of the other 1 cell: 1 running, 0 failed, 0 remaining\nrunning:\n  encode/digits/a: computing" in told(run)
    results.say(encode, START + 51, "ERROR no")
    assert "of the other 1 cell: 0 running, 1 failed, 0 remaining\nfailed:\n  encode/digits/a: no" in told(run)
    results.end(encode, START + 52)
    assert "0 failed, 1 remaining" in told(run) and "encode" not in told(run)


def test_a_job_that_told_how_far_it_is_and_no_longer_does_is_silent(results):
    jobs = [results.job("train", name) for name in "ab"]
    results.say(jobs[0], START + 10, "INFO computing", PROGRESS)
    results.say(jobs[1], START + 9, "INFO computing")
    page = told(results.run(*jobs), now=START + 10 + SILENT)
    assert (
        "of the other 2 cells: 1 running, 1 silent, 0 failed, 0 remaining\nrunning:\n  train/digits/b: computing"
        in page
    )
    assert "\nsilent:\n  train/digits/a: epoch 3/100" in page and " left, until" not in page
    assert "of the other 2 cells: 2 running, 0 failed, 0 remaining\n" in told(
        results.run(*jobs), now=START + 9 + SILENT
    )


def test_the_time_zone_of_a_jobs_machine_does_not_matter(results, monkeypatch):
    job = results.job("train")
    results.say(job, START + 600, "INFO computing", PROGRESS, begun=START)
    for zone in ("UTC0", "EST5EDT,M3.2.0,M11.1.0", "JST-9"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert read_log(job.log).begun == START
    monkeypatch.undo()
    time.tzset()


def test_names_of_jobs_begin_below_logs_whatever_a_dataset_is_called(results):
    assert results.job("train", dataset="blogs").name == "train/blogs/a"
    assert results.job("train", dataset="logs").name == "train/logs/a"


def test_runs_behind_a_link_are_found_once(results, tmp_path):
    run_records.write(results.run(results.job("train")))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "demo").symlink_to(results.folder)
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "elsewhere")
    assert len(records(tmp_path / "elsewhere")) == 1


@pytest.mark.parametrize("text", ["[" * 100_000, '{"images": {"train": Infinity}, "status": NaN}'])
def test_odd_results_end_nothing(results, text):
    train, score = results.job("train", work=1), results.job("score", variant="inception")
    results.end(train, START + 5)
    results.end(score, START + 6)
    results.write(train.cell / "cell.json", text, START + 5)
    results.write(results.folder / "datasets" / "digits" / "dataset.json", text, START)
    other = results.job("train", "b", work=1)
    assert "1 of 1 cells scored" in told(results.run(train, score, other))


def test_a_run_that_has_stopped_says_so_and_no_job_of_it_runs_for_ever(results):
    jobs = [results.job("train", name) for name in "ab"]
    results.say(jobs[0], START + 50, "INFO computing", PROGRESS, begun=START)
    run = results.run(*jobs)
    page = told(run, alive=False)
    assert f"it has stopped (last sign of life {2 * DEAD // 60} min ago, on elsewhere); the same command" in page
    assert "running" not in page and " left, until" not in page
    assert (
        "of the other 2 cells: 1 without an end, 0 failed, 1 remaining\nwithout an end:\n  train/digits/a: epoch 3"
        in page
    )
    for job in jobs:
        results.end(job, START + 55)
    assert "it has finished\n2 of 2 cells trained" in told(run, alive=False)
    assert "of the other" not in told(run, alive=False)


def test_on_this_machine_the_process_is_looked_for(results, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    job = results.job("train")
    mine = results.run(job, host=socket.gethostname(), pid=os.getpid())
    assert "it goes on" in told(mine)
    assert "it has stopped" in told(mine, alive=False)
    assert "it has stopped" in told(results.run(job, host=socket.gethostname(), pid=ended.pid))
    assert "it goes on" in told(results.run(job, pid=ended.pid))

    def refuse(*_: object) -> None:
        raise PermissionError

    # Somebody else's.
    monkeypatch.setattr(run_records.os, "kill", refuse)
    assert "it goes on" in told(mine)


def test_a_job_that_ends_while_it_is_looked_at_has_ended(results, monkeypatch):
    jobs = [results.job("train", name) for name in "ab"]
    results.end(jobs[0], START + 1)
    results.say(jobs[1], START + 2, "INFO computing", PROGRESS)
    read = run_status.read_logs

    def meanwhile(*arguments):
        found = read(*arguments)
        results.end(jobs[1], START + 3)
        return found

    monkeypatch.setattr(run_status, "read_logs", meanwhile)
    page = told(results.run(*jobs))
    assert page.endswith("it has finished\n2 of 2 cells trained")


def test_a_run_that_is_forgotten_while_it_is_looked_at_is_left_out(results, tmp_path, monkeypatch, capsys):
    other = Results(tmp_path / "other")
    for made in (results, other):
        run_records.write(made.run(made.job("train")))
    read = run_records.read

    def meanwhile(path):
        run = read(path)
        if run.folder == results.folder:
            path.unlink()
        return run

    monkeypatch.setattr(run_records, "read", meanwhile)
    assert main(str(tmp_path)) == 0
    out, err = capsys.readouterr()
    assert str(other.folder) in out and str(results.folder) not in out and not err


def test_many_failures_are_counted(results):
    jobs = [results.job("train", f"{number:02}") for number in range(25)]
    for job in jobs:
        results.say(job, START + 1, "ERROR no")
    page = told(results.run(*jobs))
    assert page.count(": no (") == 20 and page.endswith("\n  and 5 more")


def test_names_and_lines_cannot_control_the_terminal(results):
    job = results.job("train", "a")
    results.say(job, START + 1, "ERROR \x1b[31mno")
    page = told(results.run(job, host="\x1b[2J", command="snakemake \x1b[1m"))
    assert "\x1b" not in page and "[31mno" in page


# ---- real runs

CONFIG = """
run: [width]
training: { epochs: 100000 }
"""
CELL = "train/digits/dae/f2-d1-z4-s0"


def status(folder: Path, *arguments: str) -> str:
    """`make status`, from the folder that a user is in."""
    done = subprocess.run(
        ["make", "--silent", "status", f"PYTHON={sys.executable}", *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def wait_for(condition, run: subprocess.Popen) -> None:
    for _ in range(1800):
        if condition():
            return
        assert run.poll() is None, "the run has ended before"
        time.sleep(0.1)
    raise AssertionError("waited for three minutes")


def test_a_run_is_told_of_while_it_trains_and_after_it_was_interrupted_and_after_a_failure(project, tmp_path):
    folder = copy_project(project, tmp_path)
    (folder / "Makefile").write_text((project / "Makefile").read_text())
    (folder / "long.yaml").write_text(CONFIG)
    # A dry run is no run.
    snakemake(folder, "all_scores", "--dry-run")
    assert "There is no run in results/" in status(folder)
    # Lines at once instead of after ten seconds.
    module = folder / "workflow" / "scripts" / "autoencoders" / "jobs" / "progress.py"
    text = module.read_text()
    assert "interval: float = 10.0" in text
    module.write_text(text.replace("interval: float = 10.0", "interval: float = 0.1"))
    configs = ("config/demo.yaml", "tiny.yaml", "long.yaml")
    command = [sys.executable, "-m", "snakemake", "all_scores", "--cores", "2", "--resources", "gpu=0"]
    with open(folder / "output.txt", "w") as output:
        run = subprocess.Popen(
            [*command, "--configfile", *configs], cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    log, records_of_runs = (folder / "results/demo/logs" / name for name in (f"{CELL}.log", "runs"))
    # Snakemake writes it when the job has ended, a while after the scores themselves.
    diverged = folder / "results/demo/benchmarks/score/digits/vae-diverges/f2-d1-z4-s0/classifier.tsv"
    try:
        wait_for(lambda: diverged.exists() and log.exists() and " loss " in log.read_text(), run)
        during = status(folder)
    finally:
        os.killpg(run.pid, signal.SIGINT)
        run.wait(120)
    assert f"results/demo: snakemake {' '.join(command[3:])} --configfile {' '.join(configs)}\n" in during
    assert f"it goes on (process {run.pid} on {socket.gethostname()})" in during
    assert "\n1 of 2 cells scored (1 diverged)\nof the other 1 cell: 1 running, 0 failed, 0 remaining\n" in during
    at = rf"{CELL}: epoch \d+/100000, loss 0\.\d+, 0%, [\d,]+ images/s, [\dhdmin ]+ left \(\d+ s ago\)"
    assert re.search(at, during)
    after = status(folder, "RESULTS=results/demo")
    assert "it has stopped" in after
    assert "1 of 2 cells scored (1 diverged)\nof the other 1 cell: 0 without an end, 0 failed, 1 remaining" in after
    # A failure: images that cannot be read. What only plans or touches leaves the record as it is.
    images = folder / "results/demo/datasets/digits/train.npz"
    kept = images.stat()
    images.write_bytes(b"no images")
    os.utime(images, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    for option in ("--dry-run", "--touch", "--unlock"):
        snakemake(folder, "all_models", option, "--rerun-incomplete", configs=configs)
    assert [path.stem.split("-")[1] for path in records_of_runs.iterdir()] == [str(run.pid)]
    done = snakemake(folder, "all_models", "--rerun-incomplete", configs=configs, check=False)
    assert done.returncode != 0
    failed = status(folder)
    assert (
        "it has stopped" in failed
        and "of the other 1 cell: 0 without an end, 1 failed, 0 remaining\nfailed:\n" in failed
    )
    said = r"results/demo/datasets/digits/train\.npz is not a readable npz file"
    assert re.search(rf"  {CELL}: {said}.* \(\d+ s ago\)\n    results/demo/logs/{CELL}\.log\n", failed)


def test_status_starts_at_once(project):
    """It imports nothing that takes time: what is not in the standard library may not even be installed."""
    code = "import sys; sys.argv[1:] = ['missing']; import status; status.main('missing'); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=project / "workflow", capture_output=True, text=True, check=True
    )
    assert not {"numpy", "pandas", "torch", "yaml", "snakemake"} & set(done.stdout.split())
