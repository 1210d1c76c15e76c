"""Running Snakemake as a user does, in a copy of the project."""

import copy
import re
import shutil
import subprocess
import sys
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
SLOWER = """

class Checkpoint(Checkpoint):
    @property
    def due(self) -> bool:
        if Path("hold").exists():
            time.sleep(1)
        return super().due
"""


def train_slowly(folder: Path) -> None:
    """Have trainings in a copy of the project go on, but not get far, while there is a file ``hold`` in it."""
    append(folder / "workflow/scripts/autoencoders/jobs/checkpoints.py", SLOWER)


def append(module: Path, text: str) -> None:
    """To a module that has to be there: opening it to append would make another one where it has moved."""
    module.write_text(module.read_text() + text)


def snakemake(folder: Path, *arguments: str, configs=("config/demo.yaml", "tiny.yaml"), gpu=0, check=True):
    command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--resources", f"gpu={gpu}"]
    if configs:
        command += ["--configfile", *configs]
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if check:
        assert done.returncode == 0, done.stdout[-5000:]
    return done


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
    text = (project / "workflow" / "README.md").read_text().split("| edit | runs |")[1].split("\n\n")[0]
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
