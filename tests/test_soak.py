"""A soak test: jobs of a small grid are killed at random, and the results must be those of an undisturbed run.

The grid of soak.yaml first runs undisturbed. In another copy of the project, most of its jobs are killed (SIGKILL), at
a random moment or while they write a file: alone, so that Snakemake retries them, or with the whole run, which is then
unlocked and started again. Some jobs get SIGTERM instead, and some runs Ctrl-C. When the run has ended, its results
must be the undisturbed ones, byte by byte. Then all results, or those of one cell, are deleted and the run is repeated,
until there are enough kills, or for SOAK_MINUTES minutes (`make soak`).
"""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from comparing import lasting_results
from running import copy_project, snakemake_command, started

pytestmark = pytest.mark.slow

RESULTS = "results/demo"
KILLS, MINUTES = 50, float(os.environ.get("SOAK_MINUTES", 0))
# More than any run of the grid takes on a slow, busy machine.
HANGS_SECONDS = 1200
# The least number of kills in each stage.
STAGES, LEAST = ("train", "encode", "fit_prior", "sample", "score", "tables"), 2
TABLES = ("collect_scores", "collect_latent_statistics", "table1", "table2", "table3", "claims", "parameters", "costs")
# Pairs (signal, whether the whole run gets it or one job), and how often each is chosen. A run gets no SIGTERM: the
# handler in Snakemake 9.27 takes a lock that the same thread may hold, and then waits for ever.
BLOWS = [(signal.SIGKILL, False), (signal.SIGKILL, True), (signal.SIGTERM, False), (signal.SIGINT, True)]
WEIGHTS = [30, 6, 4, 2]


def command(*arguments: str) -> list[str]:
    return snakemake_command("all_tables", *arguments, configs=("config/demo.yaml", "soak.yaml"))


def output(folder: Path) -> str:
    return (folder / "output.txt").read_text(encoding="utf-8")


def undisturbed(folder: Path, *arguments: str) -> str:
    with started(folder, command(*arguments)) as run:
        assert run.wait(HANGS_SECONDS) == 0, output(folder)[-5000:]
    return output(folder)


def jobs(run: subprocess.Popen) -> dict[psutil.Process, str]:
    """The processes of a run's jobs, and their rules: Snakemake names their scripts tmp<random>.<rule>.py."""
    found = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(run.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                script = Path(process.cmdline()[-1])
                if script.parent.name == "scripts" and script.name.startswith("tmp"):
                    found[process] = script.suffixes[-2][1:]
    return found


def is_writing(process: psutil.Process) -> bool:
    return any(Path(file.path).name.startswith(".writing-") for file in process.open_files())


class Disturber:
    """Kills jobs of the runs in ``folder``. Counts blows by (stage, signal, whole run), SIGKILLs by stage, and blows to
    jobs that were writing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.random = folder, random.Random(0)
        self.blows, self.kills, self.writing, self.begun = Counter(), Counter(), 0, time.monotonic()

    @property
    def over(self) -> bool:
        if MINUTES:
            return time.monotonic() - self.begun > 60 * MINUTES
        return self.kills.total() >= KILLS and all(self.kills[stage] >= LEAST for stage in STAGES)

    def strike(self, run: subprocess.Popen, process: psutil.Process, stage: str, writing: bool) -> None:
        ((number, whole),) = self.random.choices(BLOWS, WEIGHTS)
        while writing and not is_writing(process):
            time.sleep(0.002)
        if process.status() != psutil.STATUS_ZOMBIE:
            if whole:
                os.killpg(run.pid, number)
            else:
                process.send_signal(number)
            self.blows[stage, number, whole] += 1
            self.kills[stage] += number == signal.SIGKILL
            self.writing += writing

    def disturb(self, run: subprocess.Popen) -> None:
        """Until the run ends, hit most jobs once, some seconds after their start (imports take two seconds)."""
        seen, doomed, begun = set(), {}, time.monotonic()
        while run.poll() is None:
            assert time.monotonic() - begun < HANGS_SECONDS, f"the run hangs:\n{output(self.folder)[-5000:]}"
            for process, rule in jobs(run).items():
                stage = "tables" if rule in TABLES else rule
                chance = 0.95 if stage == "train" or self.kills[stage] < LEAST else 0.6
                if process not in seen and not self.over and self.random.random() < chance:
                    delay = self.random.uniform(0.5, 12 if stage == "train" else 4)
                    doomed[process] = stage, time.monotonic() + delay, self.random.random() < 0.5
                seen.add(process)
            for process, (stage, moment, writing) in list(doomed.items()):
                if time.monotonic() >= moment:
                    del doomed[process]
                    with contextlib.suppress(psutil.Error, ProcessLookupError):
                        self.strike(run, process, stage, writing)
            time.sleep(0.03)

    def run_to_the_end(self) -> None:
        while True:
            hit = self.blows.total()
            with started(self.folder, command("--keep-going", "--retries", "2", "--rerun-incomplete")) as run:
                self.disturb(run)
            if run.returncode == 0:
                return
            assert self.blows.total() > hit, f"the run fails undisturbed:\n{output(self.folder)[-5000:]}"
            if run.returncode == -signal.SIGKILL:
                undisturbed(self.folder, "--unlock")


def test_results_are_the_same_however_often_jobs_and_runs_are_killed(project, tmp_path):
    calm, disturbed = (tmp_path / name for name in ("undisturbed", "disturbed"))
    for folder in (calm, disturbed):
        folder.mkdir()
        copy_project(project, folder)
        shutil.copy2(project / "tests" / "soak.yaml", folder)
    undisturbed(calm)
    expected = lasting_results(calm / RESULTS)
    assert not [name for name in expected if re.search(r"\.writing-|checkpoint\.safetensors$", name)]
    disturber, rounds = Disturber(disturbed), 0
    while rounds == 0 or not disturber.over:
        if rounds:
            # Delete everything every fourth time, otherwise one cell and all tables.
            results = disturbed / RESULTS
            cell = disturber.random.choice(sorted((results / "cells").glob("*/*/*")))
            for folder in [results] if rounds % 4 == 0 else [cell, results / "tables"]:
                shutil.rmtree(folder)
        disturber.run_to_the_end()
        found = lasting_results(disturbed / RESULTS)
        assert found.keys() == expected.keys()
        assert [name for name in expected if found[name] != expected[name]] == []
        (disturbed / "output.txt").rename(disturbed / f"output-{rounds}.txt")
        assert "Nothing to be done" in undisturbed(disturbed, "-n")
        rounds += 1
        print(f"round {rounds}: {disturber.kills.total()} kills, {disturber.writing} hits while writing", flush=True)
    print(dict(disturber.blows))
    logs = [file.read_text(encoding="utf-8") for file in disturbed.glob("output-*.txt")]
    assert any("from the checkpoint: epoch" in log for log in logs) and disturber.writing
