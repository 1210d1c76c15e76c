"""The order and the rate in which Snakemake starts jobs."""

import subprocess
import sys

import pytest
from running import copy_project, snakemake

pytestmark = pytest.mark.slow

WATCHED = """
from snakemake.cli import main
from snakemake.scheduling.job_scheduler import JobScheduler

schedule = JobScheduler.schedule

def watched(self):
    print("rate limiter:", self.job_rate_limiter and self.job_rate_limiter.max_jobs)
    return schedule(self)

JobScheduler.schedule = watched
main()
"""


@pytest.mark.parametrize(("arguments", "limit"), [([], "None"), (["--max-jobs-per-timespan", "50/1s"], "50")])
def test_runs_have_no_rate_limiter_unless_one_is_requested(project, tmp_path, arguments, limit):
    folder = copy_project(project, tmp_path)
    (folder / "workflow" / "scripts" / "prepare_dataset.py").write_text(
        "for path in snakemake.output:\n    open(path, 'w').close()\n", encoding="utf-8"
    )
    command = ["all_datasets", "--cores", "1", "--resources", "gpu=0", "--configfile", "config/demo.yaml", *arguments]
    done = subprocess.run([sys.executable, "-c", WATCHED, *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"rate limiter: {limit}\n" in done.stdout


STUB = """
from pathlib import Path

for path in snakemake.output:
    Path(path).write_text("{}")
with open("order", "a") as file:
    print(snakemake.rule, file=file)
"""


def test_a_trained_cell_is_scored_before_another_one_trains(project, tmp_path):
    """With scripts that only record when they run."""
    folder = copy_project(project, tmp_path)
    for script in (folder / "workflow" / "scripts").glob("*.py"):
        script.write_text(STUB, encoding="utf-8")
    # Each job takes both cores.
    snakemake(folder, "all_scores", "--quiet", "--config", "threads=2")
    order = [
        rule for rule in (folder / "order").read_text(encoding="utf-8").split() if rule in ("train", "sample", "score")
    ]
    assert order == ["train", "sample", "score"] * 2
