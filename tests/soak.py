"""A soak: a small grid is run while its jobs are killed at random, and has to end as if nothing had happened.

    python tests/soak.py --kills 50
    python tests/soak.py --minutes 60

First the grid of soak.yaml runs undisturbed. Then it runs again, in another copy of the project, and most of its jobs
are killed (SIGKILL), at any moment or while they write a file: by themselves, so that Snakemake tries them again, or
with the whole run, which is then unlocked and started again. Some are asked to end (SIGTERM) instead, and some runs
interrupted (Ctrl-C). In the end the run is let through, and its results are compared with the undisturbed ones, byte by
byte. That is one round; the next one begins without results, or without those of one cell.

Ends with 1, saying what differs, where results do, and with a run's log where a run fails undisturbed or hangs.
"""

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from comparing import differences, leftovers
from running import copy_project

PROJECT = Path(__file__).parents[1]
RESULTS = Path("results/demo")
SNAKEMAKE = [sys.executable, "-m", "snakemake", "all_tables", "--cores", "2", "--resources", "gpu=0"]
CONFIG = ["--configfile", "config/demo.yaml", "soak.yaml"]
GO_ON = ["--keep-going", "--retries", "2", "--rerun-incomplete"]
# Longer than any run of the grid takes, on a slow machine with other things to do.
HANGS_SECONDS = 1200
# Seconds between two looks at the jobs, and at a file that is being written.
LOOK, LOOK_CLOSELY = 0.05, 0.002
# Each is killed at least so many times, however many kills are asked for.
STAGES, LEAST = ("train", "encode", "fit_prior", "sample", "score", "tables"), 2
TABLES = ("collect_scores", "collect_latent_statistics", "table1", "table2", "table3", "claims", "parameters", "costs")


@dataclass(frozen=True)
class Blow:
    """What happens to a run at the moment that was drawn for one of its jobs, and how often it is chosen."""

    name: str
    signal: signal.Signals
    hits: str  # job, or everything
    weight: int


# No SIGTERM for Snakemake itself: 9.27's handler takes a lock that the same thread may hold, and then waits for ever.
BLOWS = (
    Blow("job killed", signal.SIGKILL, "job", 30),
    Blow("all killed", signal.SIGKILL, "everything", 6),
    Blow("job ended", signal.SIGTERM, "job", 4),
    Blow("Ctrl-C", signal.SIGINT, "everything", 2),
)


@dataclass(frozen=True)
class Doom:
    """That a job is hit so many seconds after its start; with ``writing``, when it next writes a file."""

    rule: str
    seconds: float
    writing: bool


class Failure(Exception):
    """A run that fails undisturbed or hangs, or results that differ."""


@dataclass
class Tally:
    """What has happened: blows by (rule, blow), and how many hit a job that was writing a file; rounds that ended with
    equal results; trainings and fits of mixtures that went on from a checkpoint.
    """

    blows: Counter = field(default_factory=Counter)
    writing: int = 0
    rounds: int = 0
    resumed: int = 0
    resumed_fits: int = 0

    @property
    def kills(self) -> int:
        return sum(count for (_, blow), count in self.blows.items() if blow.endswith("killed"))

    def stages(self) -> Counter:
        """Kills by stage."""
        kills = Counter()
        for (rule, blow), count in self.blows.items():
            kills[stage(rule)] += count * blow.endswith("killed")
        return kills

    def __str__(self) -> str:
        names = [blow.name for blow in BLOWS]
        rows = [["", *names]]
        for rule in sorted({rule for rule, _ in self.blows}):
            rows.append([rule, *(str(self.blows[rule, name]) for name in names)])
        rows.append(["all", *(str(sum(n for (_, blow), n in self.blows.items() if blow == name)) for name in names)])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
        end = (
            f"{self.kills} kills; {self.writing} of all blows hit a job that was writing a file\n"
            f"{self.resumed} trainings and {self.resumed_fits} fits went on from a checkpoint\n"
            f"{self.rounds} rounds ended with the undisturbed run's results"
        )
        return "\n".join([*lines, end])


def stage(rule: str) -> str:
    return "tables" if rule in TABLES else rule


def jobs(run: subprocess.Popen) -> dict[psutil.Process, str]:
    """The processes of a run's jobs, and their rules: Snakemake names the file that it runs tmp<random>.<rule>.py."""
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


@contextlib.contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """A run of Snakemake in a process group of its own, of which nothing is left at the end."""
    command = [*SNAKEMAKE, *arguments, *CONFIG]
    with open(folder / "soak.log", "a") as log:
        run = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield run
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def log_end(folder: Path) -> str:
    return (folder / "soak.log").read_text()[-5000:]


def undisturbed(folder: Path, *arguments: str) -> None:
    with started(folder, *arguments) as run:
        try:
            code = run.wait(HANGS_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failure(f"a run hangs in {folder}:\n{log_end(folder)}") from None
    if code:
        raise Failure(f"a run fails undisturbed in {folder}:\n{log_end(folder)}")


def usual_seconds(results: Path) -> dict[str, list[float]]:
    """How long each job of every rule took, from Snakemake's benchmark files."""
    seconds, folder = defaultdict(list), results / "benchmarks"
    for file in sorted(folder.rglob("*.tsv")):
        rule = file.relative_to(folder).with_suffix("").parts[0]
        seconds[rule].append(float(file.read_text().splitlines()[1].split("\t")[0]))
    return dict(seconds)


class Soak:
    """The disturbed run in ``folder``: until there were so many ``kills``, some of each of STAGES, or until a time."""

    def __init__(self, folder: Path, seconds: dict[str, list[float]], seed: int, kills: int, until: float) -> None:
        self.folder, self.seconds, self.random = folder, seconds, random.Random(seed)
        self.wanted, self.until = kills, until
        self.tally = Tally()
        self.begun = self.said = time.monotonic()

    @property
    def over(self) -> bool:
        if self.until:
            return time.monotonic() >= self.until
        return self.enough and not self.lacking

    @property
    def enough(self) -> bool:
        """Whether there were as many kills as were asked for, wherever they fell."""
        return not self.until and self.tally.kills >= self.wanted

    @property
    def lacking(self) -> set[str]:
        kills = self.tally.stages()
        return {name for name in STAGES if kills[name] < LEAST}

    def doomed(self, rule: str) -> bool:
        """Whether a job that has begun is to be hit: the more likely a training, and one of a stage with few kills."""
        kills, stages = self.tally.stages(), {stage(name) for name in self.seconds}
        if self.enough and stage(rule) not in self.lacking:
            return False
        likely = rule == "train" or kills[stage(rule)] * len(stages) <= kills.total()
        return self.random.random() < (0.95 if likely else 0.6)

    def doom(self, rule: str) -> Doom:
        """When a job is hit: within the time that such jobs usually take; imports, at the start, are hit less."""
        writing = self.random.random() < 0.5
        seconds = self.random.uniform(0.2, 0.9) * self.random.choice(self.seconds[rule])
        # Training writes checkpoints again and again, and other jobs their results at the end.
        return Doom(rule, 0 if writing and rule != "train" else seconds, writing)

    def strike(self, run: subprocess.Popen, process: psutil.Process, doom: Doom) -> bool:
        """Hit a job that is still there, or all of its run; whether it was."""
        blow = self.random.choices(BLOWS, [blow.weight for blow in BLOWS])[0]
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            if blow.hits == "everything":
                os.killpg(run.pid, blow.signal)
            else:
                process.send_signal(blow.signal)
        except (psutil.NoSuchProcess, ProcessLookupError):
            return False
        self.tally.blows[doom.rule, blow.name] += 1
        self.tally.writing += doom.writing
        return True

    def disturb(self, run: subprocess.Popen) -> bool:
        """Hit jobs of ``run`` until it ends or enough are hit; whether any was."""
        seen, doomed, hit = set(), {}, False
        started = looked = time.monotonic()
        while run.poll() is None:
            if time.monotonic() - started > HANGS_SECONDS:
                raise Failure(f"a disturbed run hangs in {self.folder}:\n{log_end(self.folder)}")
            if time.monotonic() - looked >= LOOK and not self.over:
                looked = time.monotonic()
                for process, rule in jobs(run).items():
                    if process not in seen:
                        seen.add(process)
                        if self.doomed(rule):
                            doomed[process] = self.doom(rule)
                self.say()
            for process, doom in list(doomed.items()):
                try:
                    due = time.time() - process.create_time() >= doom.seconds
                    due = due and (not doom.writing or is_writing(process))
                except psutil.Error:
                    del doomed[process]  # It has ended before.
                    continue
                if due and not self.over:
                    hit |= self.strike(run, process, doom)
                    del doomed[process]
            time.sleep(LOOK_CLOSELY if any(doom.writing for doom in doomed.values()) else LOOK)
        return hit

    def round(self, expected: Path) -> None:
        """From whatever is there to the end, against all disturbances; compare what comes out."""
        while True:
            with started(self.folder, *GO_ON) as run:
                hit = self.disturb(run)
            if run.returncode == 0:
                break
            if not hit:
                raise Failure(f"a run fails undisturbed in {self.folder}:\n{log_end(self.folder)}")
            if run.returncode == -signal.SIGKILL:
                undisturbed(self.folder, "--unlock")
        found = differences(expected, self.folder / RESULTS)
        if found:
            raise Failure("\n".join([f"results differ in {self.folder} from those in {expected}:", *found]))
        undisturbed(self.folder, "-n")
        if "Nothing to be done" not in log_end(self.folder):
            raise Failure(f"a finished run finds something to do in {self.folder}:\n{log_end(self.folder)}")
        self.tally.rounds += 1
        resumed = re.findall(r"going on from the checkpoint: (epoch)?", (self.folder / "soak.log").read_text())
        self.tally.resumed += resumed.count("epoch")
        self.tally.resumed_fits += resumed.count("")

    def say(self) -> None:
        """Every quarter of a minute, where the soak stands."""
        now = time.monotonic()
        if now - self.said < 15:
            return
        self.said = now
        kills = self.tally.kills
        if self.until:
            left, of = self.until - now, ""
        else:
            left, of = (now - self.begun) / max(kills, 1) * max(self.wanted - kills, 0), f" of {self.wanted}"
        print(f"round {self.tally.rounds + 1}: {kills}{of} kills; about {max(left, 0) / 60:.0f} min left", flush=True)

    def clear(self) -> None:
        """Delete what the next round makes again: one cell and all tables, and every fourth time everything."""
        (self.folder / "soak.log").unlink()
        results = self.folder / RESULTS
        cells = sorted((results / "cells").glob("*/*/*"))
        for folder in [results] if self.tally.rounds % 4 == 0 else [self.random.choice(cells), results / "tables"]:
            shutil.rmtree(folder)


def soak(folder: Path, seed: int, kills: int = 0, minutes: float = 0) -> Tally:
    """Run the grid in ``folder`` undisturbed, and again until ``kills`` kills or for ``minutes``; raises Failure."""
    places = {}
    for name in ("undisturbed", "disturbed"):
        places[name] = folder / name
        places[name].mkdir(parents=True)
        copy_project(PROJECT, places[name])
        shutil.copy2(PROJECT / "tests" / "soak.yaml", places[name])
    print(f"an undisturbed run, in {places['undisturbed']}", flush=True)
    begun, results = time.monotonic(), places["undisturbed"] / RESULTS
    undisturbed(places["undisturbed"])
    print(f"took {time.monotonic() - begun:.0f} s; now the disturbed one, in {places['disturbed']}", flush=True)
    if left := leftovers(results):
        raise Failure("\n".join([f"the undisturbed run leaves in {results}:", *left]))
    until = time.monotonic() + 60 * minutes if minutes else 0
    running = Soak(places["disturbed"], usual_seconds(results), seed, kills, until)
    while True:
        running.round(results)
        if running.over:
            return running.tally
        running.clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument(
        "--kills", type=int, default=0, help="how many jobs and runs to kill, at least; two at each stage"
    )
    length.add_argument("--minutes", type=float, default=0, help="how long to kill, after the undisturbed run")
    parser.add_argument(
        "--seed", type=int, default=0, help="of all random choices; moments still vary with the machine"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="a new one, which stays (default: a temporary one, which stays where the soak fails)",
    )
    arguments = parser.parse_args()
    # A shell's `&` would leave runs deaf to Ctrl-C; and whoever ends the soak ends its run as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        print(soak(folder.resolve(), arguments.seed, arguments.kills, arguments.minutes))
    except Failure as failure:
        sys.exit(str(failure))
    if arguments.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
