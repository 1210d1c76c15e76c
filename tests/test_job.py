"""How a job ends: its exit status, its log, and what it tells people of an error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autoencoders.jobs import job

SCRIPT = """
import atexit
import signal

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.job import job

class OutOfMemoryError(RuntimeError):
    '''Named as PyTorch's.'''

atexit.register(print, "tidied up")
with job("{log}"):
    print("worked", end=" ")
    {work}
"""


@pytest.mark.parametrize(
    ("work", "status", "message"),
    [
        ("pass", 0, ""),
        ("raise UserError('write something else')", 70, "write something else"),
        ("raise OutOfMemoryError", 70, "Run fewer jobs at once (--cores, cells_per_gpu)"),
        ("raise RuntimeError('x')", 70, "this is a fault of the pipeline"),
        ("raise KeyboardInterrupt", 70, "interrupted; the next run does this job again, from its last checkpoint if"),
        ("raise KeyboardInterrupt('a checkpoint is kept')", 70, "a checkpoint is kept"),
        (
            "signal.raise_signal(signal.SIGTERM)",
            70,
            "interrupted; the next run does this job again, from its last checkpoint if",
        ),
        ("signal.raise_signal(signal.SIGUSR1)", 0, ""),
    ],
)
def test_a_job_ends_with_its_status_and_its_message_and_loses_nothing(tmp_path, work, status, message):
    code = SCRIPT.format(log=tmp_path / "logs" / "a.log", work=work)
    # With Python's own buffers, wherever this runs.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(job.__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert message in (tmp_path / "logs" / "a.log").read_text()
    # What is still in a buffer, and what libraries do at the end.
    assert done.stdout == "worked tidied up\n"


def test_lines_of_progress_are_in_the_log_alone(tmp_path):
    """Hundreds of jobs at once would flood the terminal."""
    imports = "import logging; from autoencoders.jobs.progress import Progress"
    work = f"{imports}; Progress('a', 1).line(); logging.info('going on')"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(log=tmp_path / "logs" / "a.log", work=work)],
        cwd=Path(job.__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.stderr.endswith("] a: going on\n") and done.stderr.count("\n") == 1
    assert "a: 0%, 0 images/s, unknown time left" in (tmp_path / "logs" / "a.log").read_text()


def test_a_fault_of_ones_own_kind_is_called_that(tmp_path):
    (tmp_path / "mine.py").write_text("def penalty(step, options):\n    return step / 0\n")
    work = f"kinds.load('penalties', {str(tmp_path / 'mine.py')!r}).penalty(1, None)"
    code = SCRIPT.format(log=tmp_path / "a.log", work=f"from autoencoders.jobs import kinds; {work}")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(job.__file__).parents[2], capture_output=True, text=True
    )
    assert done.returncode == 70
    assert f"this is a fault of {tmp_path / 'mine.py'}, line 2" in done.stderr
    assert "fault of the pipeline" not in done.stderr
