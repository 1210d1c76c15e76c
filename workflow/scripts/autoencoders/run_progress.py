"""How far a run has come: cells that have ended, and about how long the others take, from the files that jobs leave.

Snakemake counts jobs, which says little where one cell costs a hundred times as much as another. Its main process
imports this module, so it needs the standard library only.
"""

import json
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from autoencoders.benchmark_files import read_seconds
from autoencoders.estimates import prepared_images

# At least so many seconds are between two lines.
INTERVAL = 30
# Fixed costs can't be told from those of operations by cells of which none has so many times the operations of another.
ALIKE = 2


@dataclass(frozen=True)
class Job:
    """A job of a cell; ``due`` where it has to run, or else its output is there already.

    ``variant`` sets apart the jobs of a rule that are not alike: a prior's or an extractor's name, or "". ``cell`` is
    the cell's folder, and ``output`` the file that the job writes last. ``work`` is what its time grows with, for each
    training image: for train `workload.training_flops`, for a mixture its components times the square of its units. It
    is 0 for others, whose time is mostly their start.
    """

    rule: str
    variant: str
    dataset: str
    cell: Path
    output: Path
    benchmark: Path
    work: int
    due: bool = True


@dataclass(frozen=True)
class Standing:
    """How many of ``total`` cells are ``what`` ("scored", or "trained" where nothing is to be scored), how many of
    these diverged, and how many more are trained.
    """

    what: str
    total: int
    ended: int
    diverged: int
    trained: int


def written(path: Path) -> float:
    """When a file was last written, in seconds since the epoch; -inf where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return -math.inf


def standing(jobs: Iterable[Job], since: float) -> Standing:
    """What has ended of ``jobs``: what was there already, and what was written since then."""
    of_cells: dict[str, dict[Path, list[Job]]] = {"score": defaultdict(list), "train": defaultdict(list)}
    for job in jobs:
        if job.rule in of_cells:
            of_cells[job.rule][job.cell].append(job)
    done = {
        rule: {cell for cell, both in cells.items() if all(not job.due or written(job.output) >= since for job in both)}
        for rule, cells in of_cells.items()
    }
    rule = "score" if of_cells["score"] else "train"
    ended = done[rule]
    return Standing(
        what={"score": "scored", "train": "trained"}[rule],
        total=len(of_cells[rule]),
        ended=len(ended),
        diverged=sum(has_diverged(cell) for cell in ended),
        trained=len((done["train"] & of_cells[rule].keys()) - ended),
    )


def has_diverged(cell: Path) -> bool:
    try:
        return json.loads((cell / "cell.json").read_text())["status"] == "diverged"
    except (OSError, ValueError, LookupError, TypeError):
        return False


def counted_images(datasets: Path, jobs: Iterable[Job]) -> dict[str, int]:
    """How many images the jobs' datasets train on, of those that are prepared in the folder ``datasets``."""
    found = {name: prepared_images(datasets / name / "dataset.json") for name in {job.dataset for job in jobs}}
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


def work_left(jobs: Iterable[Job], seconds: Mapping[Job, float], images: Mapping[str, int]) -> float | None:
    """Seconds that the jobs without an entry in ``seconds`` take, one after the other; None where that is not known.

    ``seconds`` are those of the jobs that have ended, NaN where a file could not be read. A job takes what others of
    its rule and variant took: those of its own dataset, or of any where none of its own has ended. ``images`` are the
    numbers of training images.
    """
    ended, waiting = defaultdict(lambda: defaultdict(list)), defaultdict(list)
    for job in jobs:
        work = job.work * images.get(job.dataset, math.nan) if job.work else 0.0
        if job not in seconds:
            waiting[job.rule, job.variant, job.dataset].append(work)
        elif math.isfinite(seconds[job]):
            ended[job.rule, job.variant][job.dataset].append((work, seconds[job]))
    total = 0.0
    for (rule, variant, dataset), works in waiting.items():
        alike = ended[rule, variant]
        points = alike.get(dataset) or [point for others in alike.values() for point in others]
        if not points:
            return None
        fixed, slope = fit_line(points)
        total += sum(fixed + slope * work for work in works)
    return total if math.isfinite(total) else None


def seconds_left(jobs: Sequence[Job], images: Mapping[str, int], since: float, now: float) -> float | None:
    """Seconds until the last of ``jobs`` that are due has ended, with as many at once as since the first one began.

    None where too little has ended to tell.
    """
    jobs = [job for job in jobs if job.due]
    ends = {job: written(job.benchmark) for job in jobs}
    seconds = {job: read_seconds(job.benchmark) for job in jobs if ends[job] >= since}
    known = {job: value for job, value in seconds.items() if math.isfinite(value)}
    if not known:
        return None
    elapsed = max(now - min(ends[job] - value for job, value in known.items()), 0.0)
    # A cell that diverged ended early: its jobs say nothing of others.
    diverged = {cell for cell in {job.cell for job in seconds} if has_diverged(cell)}
    left = work_left(jobs, {job: math.nan if job.cell in diverged else seconds[job] for job in seconds}, images)
    return None if left is None else left * elapsed / max(sum(known.values()), 1e-9)


def line(at: Standing, left: float | None, now: float) -> str:
    """What people are told at the time ``now`` (seconds since the epoch) where ``left`` seconds are left."""
    text = f"{at.ended} of {at.total} cells {at.what}"
    text += f" ({at.diverged} diverged)" if at.diverged else ""
    text += f", {at.trained} more trained" if at.trained else ""
    if left is None or at.ended == at.total:
        return text
    end = datetime.fromtimestamp(now + left)
    return f"{text}; about {duration(left)} left, until {end:%a} {end.day} {end:%b %H:%M}"


def duration(seconds: float) -> str:
    """In the two largest units: 3 d 4 h, 7 h 20 min, 12 min; at least a minute."""
    minutes = max(round(seconds / 60), 1)
    hours, minutes = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{days} d {hours_left} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def watch(
    jobs: Sequence[Job], datasets: Path, since: float, log: Callable[[str], None], pause: Callable[[], None]
) -> None:
    """Log a line after each ``pause`` in which a cell has ended or been trained, until all have ended."""
    said = standing(jobs, math.inf)
    while said.ended < said.total:
        pause()
        at = standing(jobs, since)
        if at != said:
            now = time.time()
            log(line(at, seconds_left(jobs, counted_images(datasets, jobs), since, now), now))
            said = at


def start(jobs: Sequence[Job], datasets: Path, log: Callable[[str], None]) -> None:
    """Watch in a thread that ends with the process. ``datasets`` is the folder of the prepared datasets."""
    arguments = (jobs, datasets, time.time(), log, lambda: time.sleep(INTERVAL))
    threading.Thread(target=watch, args=arguments, name="progress", daemon=True).start()
