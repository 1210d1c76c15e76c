"""How a job ends: its exit status, its log, and its message about an error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from running import hear_ctrl_c

from autoencoders.jobs import job

SCRIPTS = Path(job.__file__).parents[2]
SCRIPT = """
import atexit
import logging
import signal
import tempfile

from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.job import job
from autoencoders.jobs.progress import Progress

class OutOfMemoryError(RuntimeError):
    '''The name of PyTorch's.'''

atexit.register(print, "exit function")
folder = tempfile.TemporaryDirectory(dir="{folder}", prefix="temporary-")
with job("{folder}/logs/a.log"):
    print("worked", end=" ")
    {work}
"""
AGAIN = "interrupted; the next run repeats this job, from its last checkpoint"


def run(folder: Path, work: str) -> subprocess.CompletedProcess:
    # With Python's own buffers, wherever this runs.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", SCRIPT.format(folder=folder, work=work)]
    options = {"cwd": SCRIPTS, "env": environment, "capture_output": True, "text": True}
    return subprocess.run(command, preexec_fn=hear_ctrl_c, **options)


@pytest.mark.parametrize(
    ("work", "status", "message", "traceback"),
    [
        ("pass", 0, "", False),
        ("raise UserError('write something else')", 70, "write something else", False),
        ("raise OutOfMemoryError", 70, "Run fewer jobs at once (--cores, cells_per_gpu)", False),
        ("raise RuntimeError('x')", 70, "this is a bug in the pipeline", True),
        ("open('missing.npy')", 70, "missing.npy", True),
        ("raise KeyboardInterrupt", 70, AGAIN, False),
        ("raise KeyboardInterrupt('a checkpoint is written')", 70, "a checkpoint is written", False),
        ("signal.raise_signal(signal.SIGINT)", 70, AGAIN, False),
        ("signal.raise_signal(signal.SIGTERM)", 70, AGAIN, False),
        ("signal.raise_signal(signal.SIGUSR1)", 0, "", False),
    ],
)
def test_a_job_ends_with_its_status_and_its_message_and_loses_nothing(tmp_path, work, status, message, traceback):
    done = run(tmp_path, work)
    assert done.returncode == status, done.stderr
    log = (tmp_path / "logs" / "a.log").read_text(encoding="utf-8")
    for text in (done.stderr, log):
        assert message in text and ("Traceback" in text) == traceback
    # Output that was still in a buffer, and what libraries do on exit.
    assert done.stdout == "worked exit function\n"
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_progress_is_only_in_the_log(tmp_path):
    """Hundreds of jobs at once would flood the terminal."""
    done = run(tmp_path, "Progress('a', 1).line(); logging.info('more')")
    assert done.stderr.endswith("] a: more\n") and done.stderr.count("\n") == 1
    assert "images/s" in (tmp_path / "logs" / "a.log").read_text(encoding="utf-8")


def test_a_fault_of_ones_own_kind_is_named_with_its_line(tmp_path):
    (tmp_path / "mine.py").write_text("def penalty(step, options):\n    return step / 0\n", encoding="utf-8")
    done = run(tmp_path, f"kinds.load('penalties', {str(tmp_path / 'mine.py')!r}).penalty(1, None)")
    assert done.returncode == 70
    assert f"this is a bug in {tmp_path / 'mine.py'}, line 2" in done.stderr
    assert "bug in the pipeline" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_log_on_a_full_disk_does_not_bury_the_message():
    code = "from autoencoders.jobs.job import *\nwith job('/dev/full'): raise UserError('write something else')"
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True)
    assert done.returncode == 70
    assert done.stderr.count("\n") == 1 and done.stderr.endswith(": write something else\n")
