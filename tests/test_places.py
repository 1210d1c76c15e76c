"""Where things lie: the clone, a run's folder, the environment. Each works, or is refused in a line that names it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from running import PROJECT, copy_project, planned

MINE = {
    "pathvars": {"results": "results/mine"},
    "run": ["mine"],
    "run_on": ["digits"],
    "experiments": {"mine": [{"dataset": "digits", "model": "dae", "filters": 2}]},
}


def run(cwd: Path, *arguments: str, fails: bool = False, python: str = sys.executable) -> str:
    command = [python, "-m", "snakemake", "--cores", "2", *arguments]
    options = {"cwd": cwd, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, **options)
    assert (done.returncode != 0) == fails, done.stdout[-3000:]
    assert "Traceback" not in done.stdout
    return done.stdout


def clone(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return copy_project(PROJECT, folder)


# ---- another folder than the clone


def test_without_a_config_of_its_own_a_folder_gets_that_of_the_clone(tmp_path):
    """`mine.yaml` names no model: these come from the clone's config."""
    elsewhere, other = tmp_path / "elsewhere", clone(tmp_path / "clone")
    elsewhere.mkdir()
    demo = yaml.safe_load((other / "config/demo.yaml").read_text())["datasets"]
    (elsewhere / "mine.yaml").write_text(yaml.safe_dump({**MINE, "datasets": demo}))
    arguments = ("-s", str(other / "Snakefile"), "-n", "all_models", "--configfile", "mine.yaml")
    assert planned(run(elsewhere, *arguments))["train"] == 2
    # Its own replaces the clone's.
    (elsewhere / "config").mkdir()
    (elsewhere / "config/config.yaml").write_text("{}")
    refused = run(elsewhere, *arguments, fails=True)
    assert "the config lacks the key" in refused and f"config/config.yaml was read in {elsewhere}" in refused


# Laid over the demo's config and tiny.yaml.
ONE_CELL = {
    "run": ["normalisation", "scatter"],
    "run_priors": ["mvg"],
    "experiments": {
        name: [{"dataset": "digits", "model": "dae", "filters": 2}] for name in ("normalisation", "scatter")
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("by", ["cd", "--directory"])
def test_a_whole_run_from_elsewhere_writes_only_there(tmp_path, by):
    elsewhere, other = tmp_path / "else where", clone(tmp_path / "clone")
    elsewhere.mkdir()
    (other / "one_cell.yaml").write_text(yaml.safe_dump(ONE_CELL))
    configs = [str(other / name) for name in ("config/demo.yaml", "tiny.yaml", "one_cell.yaml")]
    arguments = ["-s", str(other / "Snakefile"), "--resources", "gpu=0", "--configfile", *configs]
    cwd = elsewhere if by == "cd" else tmp_path
    arguments += ["-d", str(elsewhere)] if by == "--directory" else []
    run(cwd, *arguments)
    results = elsewhere / "results/demo"
    assert (results / "figures/contact_sheet.png").exists() and (results / "tables/claims.md").exists()
    assert "Nothing to be done" in run(cwd, *arguments, "-n")
    run(cwd, "--report", str(tmp_path / "report.html"), *arguments)
    assert (tmp_path / "report.html").stat().st_size > 100_000
    assert not (other / "results").exists() and not (other / ".snakemake").exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"else where", "clone", "report.html", ".snakemake"}


# ---- names


@pytest.mark.slow
def test_a_clone_whose_path_has_braces_is_refused(tmp_path):
    for name in ("a{b}", "a{"):
        folder = clone(tmp_path / name)
        assert f"in the path of a workflow: move or rename {folder}" in run(folder, "-n", fails=True)


@pytest.mark.slow
def test_a_clone_runs_in_a_folder_of_any_other_name(tmp_path):
    """With the environment in it, as `make` puts it there: Snakemake starts its Python by a shell."""
    folder = clone(tmp_path / "-a [1] it's $HOME & ; (# % <x> *?\\ é")
    (folder / ".venv").symlink_to(sys.prefix)
    python = str(folder / ".venv" / "bin" / "python")
    run(folder, "all_datasets", "--configfile", "config/demo.yaml", "tiny.yaml", "--resources", "gpu=0", python=python)
    assert (folder / "results/demo/datasets/digits/train.npz").exists()


# ---- the environment of make


@pytest.fixture
def made(tmp_path) -> Path:
    """A project with an environment that make takes for complete."""
    shutil.copy2(PROJECT / "Makefile", tmp_path)
    for name in ("envs", "workflow"):
        (tmp_path / name).symlink_to(PROJECT / name)
    environment = tmp_path / ".venv"
    (environment / "bin").mkdir(parents=True)
    for name in ("python", "pip", "snakemake"):
        script(environment / "bin" / name, sys.executable)
    (environment / "installed").touch()
    return tmp_path


def script(path: Path, python: str) -> None:
    """A program of an environment: Python itself, or `pip` or another one that a Python runs."""
    if path.name == "python":
        path.unlink(missing_ok=True)
        path.write_text(f'#!/bin/sh\nexec {python} "$@"\n', encoding="utf-8")
    else:
        path.write_text(f"#!{python}\nprint('worked')\n", encoding="utf-8")
    path.chmod(0o755)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    if shutil.which("make") is None:
        pytest.skip("make is missing")
    command = ["make", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def moved(environment: Path) -> None:
    script(environment / "bin/pip", "/gone/bin/python")


def python_removed(environment: Path) -> None:
    (environment / "bin/python").unlink()
    (environment / "bin/python").symlink_to("/gone/python3")


def python_upgraded(environment: Path) -> None:
    """The packages are those of another version: -S leaves them out here."""
    script(environment / "bin/python", f"{sys.executable} -S")


def without_pip(environment: Path) -> None:
    (environment / "bin/pip").unlink()


def a_file(environment: Path) -> None:
    shutil.rmtree(environment)
    environment.touch()


def link_to_nothing(environment: Path) -> None:
    shutil.rmtree(environment)
    environment.symlink_to("/gone/environment")


def test_make_leaves_it_to_python_why_no_environment_can_be_made(made):
    """As on Debian without python3-venv: there is nothing to remove."""
    shutil.rmtree(made / ".venv")
    fake = made / "python"
    fake.write_text(f'#!/bin/sh\ntest "$1" != -m || {{ echo no ensurepip; exit 1; }}\nexec {sys.executable} "$@"\n')
    fake.chmod(0o755)
    done = make(made, "setup", f"PYTHON={fake}")
    assert done.returncode != 0 and "no ensurepip" in done.stdout and "Remove it" not in done.stdout


@pytest.mark.parametrize(
    "damage", [moved, python_removed, python_upgraded, without_pip, a_file, link_to_nothing], ids=lambda f: f.__name__
)
def test_make_names_a_broken_environment(made, damage):
    assert make(made, "setup").returncode == 0
    damage(made / ".venv")
    done = make(made, "demo")
    assert done.returncode != 0 and "Remove it, and run the same command again: rm -r .venv" in done.stdout
    assert "unlock" not in done.stdout
    # This one needs no environment.
    (made / "results").mkdir()
    assert "No run has results in results/" in make(made, "status").stdout
