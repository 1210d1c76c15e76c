"""A run's files without a run: jobs that have begun, ended or failed at times of a test's own."""

import json
import os
from datetime import datetime
from pathlib import Path

from autoencoders.jobs.run_records import Job, Run

START = 1_000_000.0
OF_CELLS = {"train", "encode", "fit_prior", "sample", "score"}


class Results:
    """A results folder whose files are written at times of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def job(self, rule, name="a", dataset="digits", variant="", work=0) -> Job:
        cell = self.folder / "cells" / dataset / name if rule in OF_CELLS else None
        part = "/".join(filter(None, [rule, dataset, name, variant]))
        benchmark, log = self.folder / "benchmarks" / f"{part}.tsv", self.folder / "logs" / f"{part}.log"
        return Job(rule, variant, dataset, cell, benchmark, log, work)

    def run(self, *jobs: Job, **facts) -> Run:
        known = {"started": START, "host": "elsewhere", "pid": 1234, "command": "snakemake all"}
        return Run(self.folder, jobs, **(known | facts))

    def write(self, path: Path, text: str, at: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (at, at))

    def end(self, job: Job, at: float, seconds: object = 1.0, status="ok") -> None:
        """What a job leaves that ends at a time after it has run for so long."""
        if job.rule == "train":
            self.write(job.cell / "cell.json", json.dumps({"status": status}), at)
        if not job.log.exists():
            self.write(job.log, "", at)
        self.write(job.benchmark, f"s\th:m:s\n{seconds}\t0:00:01\n", at)

    def say(self, job: Job, at: float, *records: str, begun: float | None = None) -> None:
        """A log of records such as "INFO computing", the last of them of a time, the first of when it was ``begun``."""
        times = [at] * len(records)
        if begun is not None:
            times[0] = begun
        lines = [f"{datetime.fromtimestamp(when)},000 {text}\n" for when, text in zip(times, records, strict=True)]
        self.write(job.log, "".join(lines), at)


def no_pauses(*actions):
    """Pauses of `run_progress.watch` in each of which one thing happens."""
    for action in actions:
        action()
        yield
