"""What the Snakefile does to Snakemake's scheduler before the first job."""

import subprocess
import sys

import pytest
from running import copy_project

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
def test_local_runs_have_no_rate_limiter_unless_one_is_asked_for(project, tmp_path, arguments, limit):
    folder = copy_project(project, tmp_path)
    (folder / "workflow" / "scripts" / "prepare_dataset.py").write_text(
        "for path in snakemake.output:\n    open(path, 'w').close()\n"
    )
    command = ["all_datasets", "--cores", "1", "--resources", "gpu=0", "--configfile", "config/demo.yaml", *arguments]
    done = subprocess.run([sys.executable, "-c", WATCHED, *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"rate limiter: {limit}\n" in done.stdout
