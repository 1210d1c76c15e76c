"""About how long the rest of a run takes, from what the jobs that have ended took and from where those under way stand.

Standard library only, for Snakemake's main process and `make status`.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from autoencoders.jobs.files import read_seconds
from autoencoders.jobs.logs import Log
from autoencoders.jobs.resources import prepared_images
from autoencoders.jobs.run_record import Job, written

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

    ``logs`` are `logs.read_logs`. Of a job under way counts what is left: of a training what its log says, of
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
