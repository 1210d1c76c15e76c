"""`make status`: where runs stand that go on elsewhere, or have ended, from their files alone.

It starts at once, since it imports the standard library only.
"""

import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from autoencoders.jobs import run_records
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.run_progress import duration, ended_cells, line, printable, said, standing, time_left
from autoencoders.jobs.run_records import Job, Log, Run, read_logs, written

# So many jobs are listed under a heading.
LISTED = 20


def records(folder: Path) -> list[Path]:
    """The files of all runs with results in ``folder`` or below it."""
    found, seen = [], set()
    # A results folder is often a link to a larger disk.
    for place, folders, _ in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        found += run_records.run_files(Path(place))
        # Where all the files are, and no other run's.
        folders[:] = sorted(set(folders) - {"cells", "logs", "benchmarks", "datasets"})
    return found


def ago(seconds: float) -> str:
    return f"{max(round(seconds), 0)} s ago" if seconds < 60 else f"{duration(seconds)} ago"


def cell_counts(run: Run, kinds: Mapping[str, Mapping[Job, Log]]) -> dict[str, int]:
    """How many of the cells that have not ended have a job of each kind, the last of their kinds, and the rest."""
    cells = {cell for cell, ended in ended_cells(run.jobs, run.started).items() if not ended}
    of_kinds = {}
    for kind, logs in reversed(kinds.items()):
        of_kinds[kind] = cells & {job.cell for job in logs}
        cells -= of_kinds[kind]
    return {kind: len(of_kinds[kind]) for kind in kinds} | {"remaining": len(cells)}


def page(run: Run, now: float) -> str:
    """What people are told of a run at the time ``now``. Raises UserError where its file is there no more."""
    seen = written(run.path)
    if seen == -math.inf:
        raise UserError(f"{run.path} is there no more")
    # In this order, and what has ended meanwhile counts as that: else the last job's log would have no end.
    alive = run.goes_on(now)
    logs = read_logs(run.jobs, run.started)
    ended = {job for job in run.jobs if job.has_ended(run.started)}
    logs = {job: log for job, log in logs.items() if job not in ended}
    finished = len(ended) == len(run.jobs)
    if finished:
        state = "it has finished"
    elif alive:
        state = f"it goes on (process {run.pid} on {run.host})"
    else:
        state = f"it has stopped (last sign of life {ago(now - seen)}, on {run.host}); the same command does the rest, "
        state += "once what failed is mended, " if any(log.failed for log in logs.values()) else ""
        state += "with --rerun-incomplete after snakemake --unlock where Snakemake itself was killed"
    begun = datetime.fromtimestamp(run.started)
    lines = [
        f"{run.folder}: {run.command}",
        f"begun {begun:%a} {begun.day} {begun:%b %H:%M}; {state}",
        line(standing(run.jobs, run.started), time_left(run, logs, now) if alive else None, now),
    ]
    kinds = {"running": {}, "silent": {}} if alive else {"without an end": {}}
    kinds["failed"] = {job: log for job, log in logs.items() if log.failed}
    for job, log in logs.items():
        if log.open:
            kinds["without an end" if not alive else "running" if log.goes_on(now) else "silent"][job] = log
    counts = cell_counts(run, kinds)
    shown = [(kind, count) for kind, count in counts.items() if count or kind != "silent"]
    if any(counts.values()):
        told = ", ".join(f"{count} {kind}" for kind, count in shown)
        waiting = alive and not any(kinds.values()) and counts["remaining"]
        starting = " (a job that starts has no log for some seconds)" if waiting else ""
        others = sum(counts.values())
        lines.append(f"of the other {others} cell{'s' * (others > 1)}: {told}{starting}")
    elif not finished and any(job.cell for job in run.jobs):
        lines.append(f"{len(ended)} of {len(run.jobs)} jobs done: tables and figures are left")
    for kind, found in kinds.items():
        lines += listed(f"{kind}:", found, now)
    return "\n".join(map(printable, lines))


def listed(heading: str, logs: Mapping[Job, Log], now: float) -> Iterator[str]:
    """The jobs of ``logs`` under a heading, those first that have begun first; nothing where there are none."""
    if not logs:
        return
    yield heading
    for job in sorted(logs, key=lambda job: (logs[job].begun, job.name))[:LISTED]:
        log = logs[job]
        yield f"  {job.name}: {said(log)} ({ago(now - log.written)})"
        if log.failed:
            yield f"    {job.log}"
    if len(logs) > LISTED:
        yield f"  and {len(logs) - LISTED} more"


def main(folder: str) -> int:
    """Print the pages of all runs below ``folder``, the newest last; the exit status."""
    pages, damaged = [], []
    for path in records(Path(folder)):
        try:
            run = run_records.read(path)
            pages.append((run.started, page(run, time.time())))
        except UserError as error:
            # A new run may have deleted it meanwhile.
            if path.exists():
                damaged.append(str(error))
    if not pages and not damaged:
        print(
            f"There is no run in {Path(folder)}/. Start one, as by `make demo`; where its results lie elsewhere, say "
            "where: make status RESULTS=folder"
        )
    if pages:
        print("\n\n".join(text for _, text in sorted(pages)))
    for text in damaged:
        print(printable(text), file=sys.stderr)
    return 1 if damaged else 0
