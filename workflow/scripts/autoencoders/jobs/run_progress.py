"""How far a run has come, as lines that it prints while it goes on: cells that have ended, what is under way, and about
how long the others take, from the files that jobs leave.

Snakemake counts jobs, which says little where one cell costs a hundred times as much as another. How long the rest
takes comes from what the jobs that have ended took, and from where those under way stand. Snakemake's main process and
`make status` import this module, so it needs the standard library only.
"""

import contextlib
import json
import math
import os
import shlex
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from autoencoders.jobs import run_records
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import read_seconds
from autoencoders.jobs.progress import Point
from autoencoders.jobs.resources import prepared_images
from autoencoders.jobs.run_records import Job, Log, Run, read_logs, written

# At least so many seconds are between two lines.
INTERVAL = 30
# At most so many are, while something tells how far it is: 720 lines a day where no cell ends.
SILENCE = 120
# So many jobs under way have their names in a line.
NAMED = 2


@dataclass(frozen=True)
class Standing:
    """How many of ``total`` are ``what`` ("cells scored"; where nothing is to be scored, "cells trained" or, with what
    follows from that, "cells done"; "jobs done" where there are no cells), how many of these diverged, and how many
    more cells are trained.
    """

    what: str
    total: int
    ended: int
    diverged: int
    trained: int


def ended_cells(jobs: Sequence[Job], since: float) -> dict[Path, bool]:
    """The cells that a run is for, and whether they have ended: with their scores or, where nothing is to be scored,
    with all that the run makes of them.
    """
    return _ended(jobs, since, "score") or _ended(jobs, since)


def _ended(jobs: Iterable[Job], since: float, rule: str | None = None) -> dict[Path, bool]:
    """Each cell with jobs of the rule, or of any, and whether all of them have ended, before the run or since then."""
    cells: dict[Path, bool] = defaultdict(lambda: True)
    for job in jobs:
        if job.cell is not None and rule in (None, job.rule):
            cells[job.cell] &= job.has_ended(since)
    return cells


def standing(jobs: Sequence[Job], since: float) -> Standing:
    """What has ended of ``jobs``: what was there already, and what was written since then."""
    cells = ended_cells(jobs, since)
    if not cells:
        finished = sum(job.has_ended(since) for job in jobs)
        return Standing("jobs done", len(jobs), finished, diverged=0, trained=0)
    rules = {job.rule for job in jobs if job.cell is not None}
    ended = {cell for cell, has_ended in cells.items() if has_ended}
    trained = {cell for cell, has_ended in _ended(jobs, since, "train").items() if has_ended}
    return Standing(
        what="cells scored" if "score" in rules else "cells trained" if rules == {"train"} else "cells done",
        total=len(cells),
        ended=len(ended),
        diverged=sum(map(has_diverged, ended)),
        trained=len((trained & cells.keys()) - ended),
    )


def line(at: Standing, left: float | None, now: float) -> str:
    """What people are told at the time ``now`` (seconds since the epoch) where ``left`` seconds are left."""
    text = f"{at.ended} of {at.total} {at.what}"
    text += f" ({at.diverged} diverged)" if at.diverged else ""
    text += f", {at.trained} more trained" if at.trained else ""
    if left is None or at.ended == at.total:
        return text
    end = datetime.fromtimestamp(now + left)
    return f"{text}; about {duration(left)} left, until {end:%a} {end.day} {end:%b %H:%M}"


def where(point: Point) -> str:
    """epoch 3/100, loss 0.5821, 4%, 12,345 images/s, 12 min left"""
    left = "" if point.left is None else f"{duration(point.left)} left"
    return ", ".join(filter(None, [point.detail, f"{point.percent}%", point.pace, left]))


def said(log: Log) -> str:
    """Where the job of a log stands, or what it has said last."""
    return where(log.point) if log.open and log.point else log.last or "nothing in its log"


def doing(running: Mapping[Job, Log]) -> str:
    """The names of a few jobs under way and where they stand, and how many more there are; "" where none tells that.

    Of a job that has talked for a while of other things, as a mixture's fit does, it is the last line. Trainings come
    first, those that have run longest before others, so that the same ones are named again.
    """
    telling = [job for job, log in running.items() if log.point or log.written - log.begun >= INTERVAL]
    telling.sort(key=lambda job: (job.rule != "train", running[job].begun, job.name))
    named = [f"{printable(job.name)} ({printable(said(running[job]))})" for job in telling[:NAMED]]
    more = len(running) - len(named)
    return ", ".join(named) + (f", and {more} more" if more and named else "")


def printable(text: str) -> str:
    """Without what could control a terminal: names and lines come from files."""
    return "".join(letter for letter in text if letter.isprintable())


def duration(seconds: float) -> str:
    """In the two largest units: 3 d 4 h, 7 h 20 min, 12 min; at least a minute."""
    minutes = max(round(seconds / 60), 1)
    hours, minutes = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{days} d {hours_left} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def time_left(run: Run, logs: Mapping[Job, Log], now: float) -> float | None:
    """As ``seconds_left``, with the numbers of images that are known by now."""
    return seconds_left(run.jobs, logs, counted_images(run.datasets, run.jobs), run.started, now)


def watch(run: Run, log: Callable[[str], None], pauses: Iterable[None]) -> None:
    """After each of ``pauses``, log a line where a cell has ended or been trained, and every SILENCE seconds while
    something tells how far it is.
    """
    said, said_at = standing(run.jobs, math.inf), -math.inf
    for _ in pauses:
        at, now = standing(run.jobs, run.started), time.time()
        if at == said and (at.ended == at.total or now - said_at < SILENCE):
            continue
        logs = read_logs(run.jobs, run.started)
        current = doing({job: found for job, found in logs.items() if found.goes_on(now)})
        if at != said or current:
            log(line(at, time_left(run, logs, now), now) + (f"; now {current}" if current else ""))
            said, said_at = at, now


def pauses_of(run: Run) -> Iterator[None]:
    """Without an end: a sign of the run's life, and a pause, again and again."""
    while True:
        # A shared disk may fail for a moment; the next sign is soon.
        with contextlib.suppress(OSError, UserError):
            try:
                os.utime(run.path)
            except FileNotFoundError:
                # Another run took this one for dead, as one that was suspended looks.
                run_records.write(run)
        time.sleep(INTERVAL)
        yield


def start(folder: Path, jobs: Iterable[Job], started: float, log: Callable[[str], None]) -> None:
    """Write what this process's run with results in ``folder`` is about, for `make status`, and watch it in a thread
    that ends with the process.

    ``started`` is by the clock of the disk that ``folder`` is on, since what jobs write there is compared with it.
    ``log`` prints a line: at most one every INTERVAL seconds, when a cell has ended or been trained, and else one every
    SILENCE seconds. All is read from the files that the jobs leave, their logs among them, since they may run on other
    machines. Raises UserError where the run's file can't be written.
    """
    command = shlex.join(["snakemake", *sys.argv[1:]])
    run = Run(folder, tuple(jobs), started, socket.gethostname(), os.getpid(), command)
    run_records.write(run)
    threading.Thread(target=watch, args=(run, log, pauses_of(run)), name="progress", daemon=True).start()


# Fixed costs can't be told from those of operations by cells of which none has so many times the operations of another.
ALIKE = 2
# No more seconds than this are told: thirty years come from a file that is wrong.
MOST = 1e9


def has_diverged(cell: Path) -> bool:
    try:
        return json.loads((cell / "cell.json").read_text())["status"] == "diverged"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def counted_images(datasets: Path, jobs: Iterable[Job]) -> dict[str, int]:
    """How many images the jobs' datasets train on, of those that are prepared in the folder ``datasets``."""
    names = {job.dataset for job in jobs if job.dataset}
    found = {name: prepared_images(datasets / name / "dataset.json") for name in names}
    return {name: images for name, images in found.items() if images is not None}


def fit_line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(a, b) of the line seconds = a + b · work, neither below 0, that is nearest to (work, seconds) pairs in squares.

    b is 0 for jobs without work, and a where their works are too much alike to tell the two apart.
    """
    works, times = ([point[axis] for point in points] for axis in (0, 1))
    work, seconds = sum(works) / len(works), sum(times) / len(times)
    if max(works) == 0:
        return seconds, 0.0
    if max(works) < ALIKE * min(works):
        return 0.0, seconds / work
    slope = sum((x - work) * (y - seconds) for x, y in points) / sum((x - work) ** 2 for x in works)
    if slope < 0:
        return seconds, 0.0
    if slope * work > seconds:
        return 0.0, sum(x * y for x, y in points) / sum(x * x for x in works)
    return seconds - slope * work, slope


def expected_seconds(
    jobs: Iterable[Job], seconds: Mapping[Job, float], images: Mapping[str, int]
) -> dict[Job, float] | None:
    """Seconds that each of the jobs without an entry in ``seconds`` takes; None where that is not known of all.

    ``seconds`` are those of the jobs that have ended, NaN where they say nothing of others. A job takes what others of
    its rule and variant took: those of its own dataset, or of any where none of its own has ended. ``images`` are the
    numbers of training images.
    """
    ended, waiting = defaultdict(lambda: defaultdict(list)), {}
    for job in jobs:
        work = job.work * images.get(job.dataset, math.nan) if job.work else 0.0
        if job not in seconds:
            waiting[job] = work
        elif math.isfinite(seconds[job]):
            ended[job.rule, job.variant][job.dataset].append((work, seconds[job]))
    lines = {}
    for key in {(job.rule, job.variant, job.dataset) for job in waiting}:
        alike = ended[key[:2]]
        points = alike.get(key[2]) or [point for others in alike.values() for point in others]
        if not points:
            return None
        lines[key] = fit_line(points)
    found = {}
    for job, work in waiting.items():
        fixed, slope = lines[job.rule, job.variant, job.dataset]
        found[job] = fixed + slope * work
    return found if all(map(math.isfinite, found.values())) else None


def seconds_left(
    jobs: Sequence[Job], logs: Mapping[Job, Log], images: Mapping[str, int], since: float, now: float
) -> float | None:
    """Seconds until the last job of a cell that is due has ended, with as many at once as since the first one began.

    ``logs`` are `run_records.read_logs`. Of a job under way counts what is left: of a training what its log says, of
    others what like jobs took but for the time that it has run. None where too little has ended to tell.
    """
    jobs = [job for job in jobs if job.due and job.cell is not None]
    ended = {job: read_seconds(job.benchmark) for job in jobs if job.has_ended(since)}
    known = {job: seconds for job, seconds in ended.items() if math.isfinite(seconds)}
    # After that: a job may end meanwhile, and its benchmark of an earlier run is older than this run.
    ends = {job: written(job.benchmark) for job in known}
    running = {job: logs[job] for job in jobs if job in logs and job not in ended and logs[job].goes_on(now)}
    if not known and not running:
        return None
    # A cell that diverged ended early: its jobs say nothing of others.
    diverged = {cell for cell in {job.cell for job in ended} if has_diverged(cell)}
    seconds = {job: math.nan if job.cell in diverged else seconds for job, seconds in ended.items()}
    spent = {job: max(now - log.begun, 0.0) for job, log in running.items()}
    told = {}
    for job, log in running.items():
        # A training is one work; others are several, and tell of the present one.
        if job.rule == "train" and log.point is not None and log.point.left is not None:
            told[job] = float(log.point.left)
            # The percents count what an earlier job has done of it. Near the end they are too coarse: they may be too
            # high by half of one, and the whole is no less than what this job has done and what is left.
            rest = 1 - log.point.percent / 100
            least = max(spent[job] + told[job], told[job] / (rest + 0.005))
            seconds[job] = told[job] / rest if rest > 0.1 else least
    left = expected_seconds(jobs, seconds, images)
    if left is None:
        return None
    left |= told | {job: max(left[job] - spent[job], 0.0) for job in running.keys() - told.keys()}
    first = min([ends[job] - seconds for job, seconds in known.items()] + [log.begun for log in running.values()])
    at_once = (sum(known.values()) + sum(spent.values())) / max(now - first, 1e-9)
    longest = max((left[job] for job in running), default=0.0)
    total = max(sum(left.values()) / max(at_once, 1e-9), longest)
    return total if total < MOST else None
