"""A section in a process of its own, which is ended at its limit; and, in that process, the section's work.

    python -m gpu_check.running SECTION FOLDER SECONDS

The process writes rows and lines for people to its standard output, as they come.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from gpu_check import rows

# Begins the reason that stands for an error; all other reasons are those of a section that had no time.
ENDED = "its process ended with"
SCRIPTS = Path(__file__).parents[1]


class Log:
    """Lines for people, to the terminal and to a file, each flushed."""

    def __init__(self, file: TextIO) -> None:
        self.file, self.started = file, time.monotonic()

    def __call__(self, text: str) -> None:
        seconds = time.monotonic() - self.started
        for stream in (sys.stdout, self.file):
            print(f"{seconds // 60:.0f}:{seconds % 60:04.1f}  {text}", file=stream, flush=True)


@contextlib.contextmanager
def own_group(command: list[str]) -> Iterator[subprocess.Popen]:
    """A process with all that it starts, which is killed when the block ends, however it does."""
    environment = os.environ | {"PYTHONPATH": f"{SCRIPTS}{os.pathsep}{SCRIPTS / 'scripts'}", "PYTHONUNBUFFERED": "1"}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "start_new_session": True, "env": environment}
    process = subprocess.Popen(command, **options, text=True, encoding="utf-8", errors="replace")
    try:
        yield process
    finally:
        kill(process)
        process.wait()


def kill(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def run(command: list[str], seconds: float, log: Log, keep: list[dict]) -> str:
    """Run a section's command, adding its rows to ``keep`` as they come. Returns why it did not end well, or ""."""
    stopped = threading.Event()
    with own_group(command) as process:

        def stop() -> None:
            stopped.set()
            kill(process)

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            for text in process.stdout:
                row = rows.read(text)
                if row is not None:
                    keep.append(row)
                log(text.rstrip("\n") if row is None else rows.line(row))
            code = process.wait()
        finally:
            timer.cancel()
    if stopped.is_set():
        return f"stopped at its limit of {seconds:.0f} s"
    return "" if code == 0 else f"{ENDED} {code}; see log.txt"


def work(name: str, folder: Path, seconds: float) -> None:
    """The work of a section, in its own process."""
    from benchmark.machine import Machine, this_machine
    from gpu_check.sections import SECTIONS
    from gpu_check.sizes import DRY_RUN, ON_A_GPU, Check

    machine = this_machine()
    if not machine.gpu:
        # Threads that wait for each other would make a dry run longer on a busy machine.
        machine = Machine(gpu=0, threads=1)
    earlier = tuple(json.loads(Path(folder, "rows.json").read_text(encoding="utf-8")))
    check = Check(machine, ON_A_GPU if machine.gpu else DRY_RUN, folder, seconds, earlier)
    section = next(section for section in SECTIONS if section.name == name)
    for row in section.run(check):
        print(rows.written(rows.without_a_gpu(row) if check.dry else row), flush=True)


if __name__ == "__main__":
    try:
        work(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
    except Exception:
        traceback.print_exc(file=sys.stdout)
        sys.exit(1)
