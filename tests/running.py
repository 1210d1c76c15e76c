"""Running Snakemake as a user does, in a copy of the project, and holding its jobs until a test lets them continue."""

import contextlib
import copy
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from snakemake.utils import update_config

PROJECT = Path(__file__).parents[1]


def copy_project(project: Path, folder: Path) -> Path:
    for name in ("Snakefile", "workflow", "config", "envs"):
        source = project / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / name)
    shutil.copy2(project / "tests" / "tiny.yaml", folder / "tiny.yaml")
    return folder


# At the end of a copy's checkpoints.py.
HELD_TRAINING = """

class Checkpoint(Checkpoint):
    begun = False

    @property
    def due(self) -> bool:
        if not Path("hold").exists():
            return super().due
        first, self.begun = not self.begun, True
        if not first:
            self.path.with_name("waiting").touch()
        while not first and self.asked_by is None and Path("hold").exists():
            time.sleep(0.02)
        return first or super().due
"""
# At the end of a copy's job.py.
HELD_JOB = """

free_job = job

@contextlib.contextmanager
def job(log_file: str) -> Iterator[None]:
    import time

    with free_job(log_file):
        while Path("hold-" + job_name(Path(log_file)).split("/")[0]).exists():
            time.sleep(0.02)
        yield
"""


def hold_trainings(folder: Path) -> None:
    """While a copy of the project has a file ``hold``, each training writes a checkpoint after its first batch. After
    every other batch it touches ``waiting`` beside the checkpoint, and waits for a signal or until ``hold`` is removed.
    """
    append(folder / "workflow/scripts/autoencoders/jobs/checkpoints.py", HELD_TRAINING)


def hold_jobs(folder: Path) -> None:
    """While a copy has a file ``hold-RULE``, each job of that rule waits after it has created its log."""
    append(folder / "workflow/scripts/autoencoders/jobs/job.py", HELD_JOB)


def append(module: Path, text: str) -> None:
    """Add text to a module that must exist: opening it to append would create it."""
    module.write_text(module.read_text(encoding="utf-8") + text, encoding="utf-8")


def snakemake_command(*arguments: str, configs=("config/demo.yaml", "tiny.yaml"), gpu=0) -> list[str]:
    command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--resources", f"gpu={gpu}"]
    return [*command, "--configfile", *configs] if configs else command


def snakemake(folder: Path, *arguments: str, configs=("config/demo.yaml", "tiny.yaml"), gpu=0, check=True):
    command = snakemake_command(*arguments, configs=configs, gpu=gpu)
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if check:
        assert done.returncode == 0, done.stdout[-5000:]
    return done


def hear_ctrl_c() -> None:
    """For a new process: a shell's `&` starts programs that ignore SIGINT, and those that they start inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def started(folder: Path, command: list[str]) -> Iterator[subprocess.Popen]:
    """A command in the background, in its own process group, which is killed at the end; output.txt has its output."""
    with open(folder / "output.txt", "a", encoding="utf-8") as output:
        options = {"stdout": output, "stderr": subprocess.STDOUT, "start_new_session": True, "preexec_fn": hear_ctrl_c}
        process = subprocess.Popen(command, cwd=folder, **options)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(condition, process: subprocess.Popen, seconds: float = 300):
    """The first true value of ``condition``; fails if the process ends before, or after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert process.poll() is None, "the process has ended before"
        assert time.monotonic() < deadline, f"still waiting after {seconds} s"
        time.sleep(0.05)
    return found


def laid_over(base: dict, *extra: dict) -> dict:
    """A config with others laid over it, as Snakemake does."""
    merged = copy.deepcopy(base)
    for config in extra:
        update_config(merged, copy.deepcopy(config))
    return merged


def planned(output: str) -> dict[str, int]:
    """Rule name -> number of jobs, from the table that a dry run prints first."""
    table = output.split("Job stats:")[1].split("total")[0] if "Job stats:" in output else ""
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.MULTILINE)}


def rerun_table(project: Path) -> dict[str, set[str]]:
    """Module, relative to the package -> the rules in its row of the table in workflow/README.md."""
    package = project / "workflow" / "scripts" / "autoencoders"
    text = (project / "workflow" / "README.md").read_text(encoding="utf-8").split("| edit | runs |")[1].split("\n\n")[0]
    found = {}
    for line in text.splitlines()[2:]:
        edit, runs = line.strip("| ").split(" | ")
        for pattern in re.findall(r"`(.+?)`", edit):
            files = sorted(file for file in package.glob(pattern) if file.suffix == ".py")
            assert files, f"no file is {pattern}"
            for file in files:
                name = file.relative_to(package).as_posix()
                if name.endswith("__init__.py") and not pattern.endswith("__init__.py"):
                    continue
                assert name not in found or pattern.endswith("__init__.py"), f"{name} is in two rows"
                found[name] = set(re.findall(r"`(\w+)`", runs))
    return found
