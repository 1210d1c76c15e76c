"""The progress of runs: the line that a run prints now and then, and the page of `make status`.

A run records its jobs in its results folder. Everything else is read from the jobs' logs and benchmark files, on any
machine that sees them. Snakemake's main process and `make status` import this module, so it needs only the standard
library.
"""

import contextlib
import json
import math
import os
import re
import shlex
import socket
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import read_seconds, write_json

# Seconds between two lines on the terminal: at least, and at most while cells are computed.
INTERVAL, SILENCE = 30, 120
# Seconds without a sign of life after which a run, or a job of another machine, is taken for dead. Shared disks show
# changes up to a minute late, and a large batch may take minutes on a CPU.
DEAD, SILENT = 180, 300
# Of the records. Another version writes others.
FORMAT = 2
# How many jobs a line names, and how many of each state a page lists.
NAMED, LISTED = 2, 20
# Bytes to read from the end of a log.
TAIL = 65_536
# What reading a damaged file may raise.
DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
RECORD = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d{3} ([A-Z]+) (.*)")
PROCESS = re.compile(r"process (\d{1,9}) on (\S+)")
PROGRESS = re.compile(r".+?: ((?:.+, )?(\d{1,3})%, [\d,]+ [^\s,]+/s, (?:unknown time|(\d{1,9}):(\d\d):(\d\d)) left)")
STATES = ("done", "running", "interrupted", "failed", "not started")


@dataclass(frozen=True)
class Job:
    """A job with the log logs/``name``.log, such as "score/digits/dae/f2-d1-z4-s0/classifier".

    ``cell`` is "digits/dae/f2-d1-z4-s0", or "". Jobs of one ``kind`` ("score/classifier") take a time proportional to
    their ``work``: floating point operations, or 1. A job is not ``due`` if its output existed before the run.
    """

    name: str
    kind: str
    cell: str
    work: float
    due: bool


@dataclass(frozen=True)
class Run:
    """A run with results in ``folder``, ``started`` (by the disk's clock) as process ``pid`` on ``host``."""

    folder: Path
    jobs: tuple[Job, ...]
    started: float
    command: str
    host: str
    pid: int

    @property
    def record(self) -> Path:
        """Its own file, since runs may share a folder. The run touches it as a sign of life."""
        return self.folder / "logs" / "runs" / f"{int(self.started)}-{self.pid}.json"

    def log(self, job: Job) -> Path:
        return self.folder / "logs" / f"{job.name}.log"

    def is_alive(self, now: float) -> bool:
        return now - written(self.record) <= DEAD and not is_gone(self.pid, self.host)

    def save(self) -> None:
        """Write the record, and remove those of dead runs. Raises UserError if the disk is full or read-only."""
        for path in records(self.folder):
            try:
                alive = read_run(path).is_alive(self.started)
            except DAMAGED:
                alive = self.started - written(path) <= DEAD  # It may be another version's.
            if not alive:
                with contextlib.suppress(OSError):
                    path.unlink()
        write_json(
            self.record, {key: value for key, value in asdict(self).items() if key != "folder"} | {"format": FORMAT}
        )


@dataclass(frozen=True)
class Status:
    """A job's ``state`` (one of STATES), when it was ``begun`` and when its log or, once done, its benchmark file was
    ``written``, and the ``text`` for people. ``total`` is its duration in seconds over all attempts, and ``left`` the
    rest of it if it is running: NaN if not known, or of no use for estimating others.
    """

    state: str
    begun: float = math.nan
    written: float = math.nan
    text: str = ""
    total: float = math.nan
    left: float = math.nan
    diverged: bool = False


class OtherVersion(ValueError):
    """A record that this version can't read, though it is not damaged."""


def written(path: Path) -> float:
    """When a file was last written, in seconds since the epoch by its disk's clock; -inf if there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return -math.inf


def is_gone(pid: int, host: str) -> bool:
    """Whether a process has ended; False if it is on another machine."""
    try:
        if host == socket.gethostname():
            os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, ProcessLookupError)  # Otherwise it is another user's.
    return False


def records(folder: Path, *below: str) -> list[Path]:
    """The records of the runs with results in ``folder``, or in the folders ``below`` it: patterns such as "*/"."""
    found = [path for start in ("", *below) for path in folder.glob(f"{start}logs/runs/*.json")]
    return [path for path in found if path.name[0] != "."]  # A hidden one is being written.


def read_run(record: Path) -> Run:
    """Raises OtherVersion, or one of DAMAGED if the record can't be read."""
    facts = json.loads(record.read_text(encoding="utf-8"))
    if facts.pop("format", 1) != FORMAT:
        raise OtherVersion(f"{record} was written by another version. A new run removes it.")
    return Run(record.parents[2], **facts | {"jobs": tuple(Job(**job) for job in facts["jobs"])})


def statuses(run: Run, now: float) -> dict[Job, Status]:
    alive = run.is_alive(now)
    cells = {cell: read_cell(run.folder / "cells" / cell) for cell in {job.cell for job in run.jobs} - {""}}
    return {job: status(run, job, cells.get(job.cell, {}), alive, now) for job in run.jobs}


def read_cell(cell: Path) -> Mapping:
    """The record of a cell's training; {} if there is none."""
    try:
        return dict(json.loads((cell / "cell.json").read_text(encoding="utf-8")))
    except DAMAGED:
        return {}


def status(run: Run, job: Job, cell: Mapping, alive: bool, now: float) -> Status:
    """The status of a job, from its files and the record of its ``cell``."""
    benchmark, log = run.folder / "benchmarks" / f"{job.name}.tsv", run.log(job)

    def is_done() -> bool:
        # Snakemake writes the benchmark file after a job has succeeded. On a cluster, a job is repeated if another job
        # of its group fails: then its log is newer, or removed.
        return not job.due or run.started <= written(benchmark) >= written(log) > -math.inf

    found = Status("not started")
    if not is_done() and written(log) >= run.started and log.is_file():
        with contextlib.suppress(OSError, ValueError):
            found = read_log(log, alive, now)
    # Checked again, since the job may have ended while its log was read.
    if not is_done():
        return found
    diverged = cell.get("status") == "diverged"
    if not job.due:
        return Status("done", diverged=diverged)
    seconds, end = read_seconds(benchmark), written(benchmark)
    # A diverged cell ended early. An earlier job may have done a part of a training.
    total = math.nan if diverged else seconds + (cell.get("earlier_seconds", 0.0) if job.kind == "train" else 0.0)
    return Status("done", end - seconds, end, total=total, diverged=diverged)


def read_log(path: Path, alive: bool, now: float) -> Status:
    """The status of a job that has not succeeded, from its log. ``alive`` is whether its run is."""
    at = path.stat().st_mtime
    with path.open("rb") as file:
        start = file.readline(TAIL)
        file.seek(max(path.stat().st_size - TAIL, len(start)))
        lines = [line for line in (start + file.read(TAIL)).decode(errors="replace").splitlines() if line.strip()]
    found = [match for match in map(RECORD.fullmatch, lines) if match]
    if not found:
        return Status("running" if alive else "interrupted", at, at, "nothing in its log")
    # A difference of times, since the job's machine may have another clock or time zone.
    first, last = (datetime.fromisoformat(match[1]) for match in (found[0], found[-1]))
    begun, text = at - max((last - first).total_seconds(), 0.0), found[-1][3]
    if lines[-1] != found[-1][0]:
        text += f" … {lines[-1].strip()}"  # The last line of a traceback, for example.
    over, quiet = found[-1][2] == "ERROR", now - at
    if over and not text.startswith("interrupted"):
        return Status("failed", begun, at, text)
    process, told = (
        next(filter(None, (pattern.fullmatch(match[3]) for match in reversed(found))), None)
        for pattern in (PROCESS, PROGRESS)
    )
    # Snakemake writes the benchmark file soon after a successful job's process has ended.
    gone = process is not None and is_gone(int(process[1]), process[2]) and (quiet > INTERVAL or not alive)
    here = process is not None and process[2] == socket.gethostname()
    if over or gone or (quiet > SILENT and not here and (told or not alive)):
        epoch = re.search(r"epoch \d+/\d+", told[1]) if told else None
        text = "interrupted" if over else "killed" if gone else "killed, or hangs,"
        return Status("interrupted", begun, at, f"{text} at {epoch[0]}" if epoch else text)
    if told is None:
        return Status("running", begun, at, text)
    done, left = int(told[2]) / 100, 3600 * int(told[3]) + 60 * int(told[4]) + int(told[5]) if told[3] else math.nan
    # Percentages are too coarse near the end, and a resumed job has spent only a part of the time.
    total = left / (1 - done) if done < 0.9 else max(now - begun + left, left / (1.005 - done))
    return Status("running", begun, at, told[1], total, left)


def resumption(cell: Path, now: float) -> str:
    """Where the next run resumes a cell's interrupted training."""
    path = cell / "checkpoint.safetensors"
    if not path.exists():
        return "there is no checkpoint: the next run starts it over"
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), 1 << 24)))
        position = json.loads(header["__metadata__"]["checkpoint"])["progress"]
        epoch, batches = int(position["epoch"]), int(position["batches"])
    except DAMAGED:
        return "its checkpoint is damaged: the next run starts it over"
    where = f"epoch {epoch + 1}, after batch {batches}" if batches else f"the end of epoch {epoch}"
    return f"the checkpoint is from {where} ({ago(now - written(path))}); the next run resumes it"


def seconds_left(jobs: Mapping[Job, Status], now: float) -> tuple[float, bool]:
    """Seconds until the cells' jobs have ended, as far as known, and whether every job could be estimated.

    The estimate assumes that a job takes as long as others of its kind (on its dataset, if there are any) in proportion
    to their work: those with the nearest work, within a factor of two. It assumes that as many jobs run at once as on
    average so far.
    """
    jobs = {job: found for job, found in jobs.items() if job.cell}
    measured, spent, left = defaultdict(list), {}, {}
    for job, found in jobs.items():
        if math.isfinite(found.begun) and found.state in ("done", "running"):
            spent[job] = (found.written if found.state == "done" else now) - found.begun
        # Jobs other than trainings report the progress of only a part of their work.
        if math.isfinite(found.total) and (found.state == "done" or job.kind == "train"):
            for key in (job.kind, job.cell.split("/")[0]), job.kind:
                measured[key].append((job.work, found.total))
    for job, found in jobs.items():
        points = measured[job.kind, job.cell.split("/")[0]] or measured[job.kind]
        if job.kind == "train" and math.isfinite(found.left):
            left[job] = found.left
        elif points and found.state != "done":
            nearest = min((work for work, _ in points), key=lambda work: abs(math.log(work / job.work)))
            near = [point for point in points if 0.5 <= point[0] / nearest <= 2]
            total = job.work * sum(seconds for _, seconds in near) / sum(work for work, _ in near)
            left[job] = max(total - spent.get(job, 0.0), 0.0)
    if not spent:
        return math.nan, False
    at_once = sum(spent.values()) / max(now - min(jobs[job].begun for job in spent), 1e-9)
    longest = max((left[job] for job in left if job in spent), default=0.0)
    complete = all(job in left for job, found in jobs.items() if found.state != "done")
    return max(sum(left.values()) / max(at_once, 1e-9), longest), complete


def counts(jobs: Mapping[Job, Status]) -> str:
    """12 of 346 cells scored (1 diverged), 1 more trained"""

    def complete(some: Iterable[Job]) -> set[str]:
        return {job.cell for job in some} - {job.cell for job in some if jobs[job].state != "done"}

    scores = [job for job in jobs if job.kind.startswith("score/")]
    counted = scores or [job for job in jobs if job.cell]
    if not counted:
        return f"{sum(found.state == 'done' for found in jobs.values())} of {len(jobs)} jobs done"
    cells, done = {job.cell for job in counted}, complete(counted)
    diverged = {job.cell for job, found in jobs.items() if found.diverged} & done
    trained = (complete([job for job in jobs if job.kind == "train"]) & cells) - done
    text = f"{len(done)} of {len(cells)} cells {'scored' if scores else 'done'}"
    text += f" ({len(diverged)} diverged)" if diverged else ""
    return text + (f", {len(trained)} more trained" if trained else "")


def time_left(jobs: Mapping[Job, Status], now: float) -> str:
    """; about 7 h 20 min left, until Tue 24 Nov 03:10"""
    seconds, complete = seconds_left(jobs, now)
    if not 0 < seconds < 1e9:  # Larger numbers come from damaged files.
        return ""
    end = datetime.fromtimestamp(now + seconds)
    until = f", until {end:%a} {end.day} {end:%b %H:%M}" if complete else ""
    return f"; {'about' if complete else 'more than'} {duration(max(seconds, 60))} left{until}"


def duration(seconds: float) -> str:
    """In the two largest units: 3 d 4 h, 7 h 20 min, 12 min, 5 s."""
    if seconds < 60:
        return f"{max(round(seconds), 0)} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{days} d {hours_left} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def ago(seconds: float) -> str:
    return f"{duration(seconds)} ago"


def printable(text: str) -> str:
    """The text without control characters: names and lines come from files."""
    return "".join(letter for letter in text if letter.isprintable())


def watch(run: Run, log: Callable[[str], None]) -> None:
    """Log a line when a cell is done or trained, and every SILENCE seconds while jobs are running."""
    said, said_at = "", 0.0
    while True:
        time.sleep(INTERVAL)
        with contextlib.suppress(*DAMAGED, UserError):  # A shared disk may fail for a moment.
            if not run.record.exists():
                run.save()  # A run that was suspended looks dead to another one, which removes the record.
            os.utime(run.record)
            now = time.time()
            jobs = statuses(run, now)
            counted, running = counts(jobs), [job for job in jobs if jobs[job].state == "running"]
            running.sort(key=lambda job: (job.kind != "train", jobs[job].begun))
            if counted == said and not (running and now - said_at >= SILENCE):
                continue
            named = [f"{job.name} ({jobs[job].text})" for job in running[:NAMED]]
            named += [f"{len(running) - NAMED} more"] if len(running) > NAMED else []
            log(printable(counted + time_left(jobs, now) + ("; now " + ", ".join(named) if named else "")))
            said, said_at = counted, now


def start(folder: Path, jobs: Iterable[Job], started: float, log: Callable[[str], None]) -> None:
    """Record this process's run, and watch it in a thread that ends with the process. ``log`` prints a line.

    ``started`` is by the disk's clock, like the files' times. Raises UserError if nothing can be written.
    """
    command = shlex.join(["snakemake", *sys.argv[1:]])
    run = Run(folder, tuple(jobs), started, command, socket.gethostname(), os.getpid())
    run.save()
    threading.Thread(target=watch, args=(run, log), name="progress", daemon=True).start()


def page(run: Run, now: float) -> str:
    """What `make status` prints about a run."""
    jobs, alive, begun = statuses(run, now), run.is_alive(now), datetime.fromtimestamp(run.started)
    total = Counter(found.state for found in jobs.values())
    state = "finished" if total["done"] == len(jobs) else "running" if alive else "stopped"
    seen = f"as process {run.pid} on {run.host}, last sign of life {ago(now - written(run.record))}"
    lines = [
        f"{run.folder}: {run.command}",
        f"{state}: started {begun:%a} {begun.day} {begun:%b %H:%M} {seen}",
        counts(jobs) + (time_left(jobs, now) if alive else ""),
        f"{len(jobs)} jobs: " + ", ".join(f"{total[state]} {state}" for state in STATES if total[state]),
    ]
    if state == "stopped":
        lines.append(
            "The same command resumes it. If Snakemake was killed, run `snakemake --unlock` first, and add "
            "--rerun-incomplete."
        )
        if total["running"]:
            lines.append("Some jobs are still running: wait for them, or kill them, before the next run.")
    for state in STATES[1:-1]:
        listed = sorted((job for job in jobs if jobs[job].state == state), key=lambda job: (jobs[job].begun, job.name))
        lines += [f"{state}:"] if listed else []
        for job in listed[:LISTED]:
            lines.append(f"  {job.name}: {jobs[job].text} ({ago(now - jobs[job].written)})")
            if state == "interrupted":
                cell = run.folder / "cells" / job.cell
                mixture = cell / "priors" / f"{Path(job.name).name}.checkpoint.safetensors"
                resumed = job.kind.startswith("fit_prior/") and mixture.exists()
                again = "the next run resumes it" if resumed else "the next run repeats it"
                lines[-1] += f"; {resumption(cell, now) if job.kind == 'train' else again}"
            lines += [f"    {run.log(job)}"] if state == "failed" else []
        lines += [f"  and {len(listed) - LISTED} more"] if len(listed) > LISTED else []
    return "\n".join(map(printable, lines))


def main(folder: str) -> int:
    """Print the pages of all runs with results in ``folder`` or up to two folders below; the exit status."""
    pages, damaged = [], []
    for path in {path.resolve(): path for path in records(Path(folder), "*/", "*/*/")}.values():
        try:
            run = read_run(path)
            pages.append((run.started, page(run, time.time())))
        except OtherVersion as error:
            pages.append((written(path), str(error)))
        except DAMAGED as error:
            reason = f"{path} is damaged ({type(error).__name__}: {error}). The next run removes it."
            damaged += [reason] if path.exists() else []  # Or a new run has just removed it.
    if not pages and not damaged:
        print(
            f"No run has results in {Path(folder)}/. Start one with `make demo`, or name another folder: "
            "make status RESULTS=folder"
        )
    print("\n\n".join(text for _, text in sorted(pages)), end="\n" if pages else "")
    for text in damaged:
        print(printable(text), file=sys.stderr)
    return 1 if damaged else 0
