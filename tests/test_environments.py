"""The digits chain in real environments, created from the files in envs/.

Snakemake runs from an environment of its own. environments/stand_in.py stands in for `conda`: Python is this machine's,
and packages come from PyPI. So this does not test conda-forge's packages or CUDA. It needs 7 GB in a temporary folder,
most of it for PyTorch and CUDA, which the environments share.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import timm
from environments import rules, stand_in
from PIL import Image
from running import copy_project, planned
from safetensors.torch import save_file

pytestmark = pytest.mark.slow

ROOM_GB = 9
HERE = Path(stand_in.__file__).parent
# Rules that would download data: their scripts' packages are only imported in their environments.
DOWNLOADS = {"download_dataset", "download_extractor"}
CONFIG = ["--configfile", "config/demo.yaml", "tiny.yaml", "one_cell.yaml"]
# Packages from Snakemake's environment, which comes last on a script's search path: joblib, NumPy and PyTorch use these
# if they are there.
TOLERATED = {"charset_normalizer", "jinja2", "psutil", "tabulate"}

# Code for an environment's Python, with JSON arguments and answers. FOUND: which of some packages a job would find and
# where, given Snakemake's search path, which comes last.
FOUND = """
import importlib.util, json, sys
sys.path += json.loads(sys.argv[1])
specs = {name: importlib.util.find_spec(name) for name in json.loads(sys.argv[2])}
print(json.dumps({name: spec.origin for name, spec in specs.items() if spec}))
"""
SEARCH_PATHS = "import json, sys; print(json.dumps([path for path in sys.path if path]))"


def execute(*command: object, **options: object) -> str:
    """The output of a command, which is shown if it fails."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(list(map(str, command)), **output, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-10000:]}"
    return done.stdout


def ask(python: Path, question: str, *arguments: object):
    """The JSON that code prints in an environment, without the user's own settings and packages."""
    return json.loads(execute(python, "-I", "-c", question, *map(json.dumps, arguments)))


@dataclass(frozen=True)
class Run:
    """The chain in ``project``, a copy: Snakemake's Python and search path, each environment's folder by its file's
    name, the planned rules, and the records of the jobs' scripts by rule.
    """

    project: Path
    runner: Path
    search_paths: list[str]
    prefixes: dict[str, Path]
    planned: set[str]
    jobs: dict[str, list[dict]]

    def environments(self) -> list[tuple[str, str]]:
        """Every rule with each of its environments."""
        return [(rule, env) for rule, envs in rules.environments_of_rules(self.project).items() for env in sorted(envs)]

    def prefix(self, job: dict) -> Path:
        """The environment that a job must have run in."""
        envs = rules.environments_of_rules(self.project)[job["rule"]]
        kind = "timm" if job["extractor"] == "backbone" else "classifier"
        return self.prefixes[rules.environment_of_extractor(kind) if len(envs) > 1 else min(envs)]

    def found(self, prefix: Path, names: set[str]) -> dict[str, str]:
        return ask(prefix / "bin" / "python", FOUND, self.search_paths, sorted(names))


def put_recorders(project: Path) -> dict[str, Path]:
    """Make every environment record its jobs' modules; returns the environments' folders by their files' names."""
    names = {file.read_text(encoding="utf-8"): file.name for file in (project / "envs").glob("*.yaml")}
    prefixes = {}
    # Snakemake puts a copy of the file beside its environment.
    for file in (project / ".snakemake" / "conda").glob("*.yaml"):
        prefix = prefixes[names[file.read_text(encoding="utf-8")]] = file.with_suffix("")
        (site,) = prefix.glob("lib/python3.*/site-packages")
        shutil.copy2(HERE / "recorder.py", site / "sitecustomize.py")
    return prefixes


@pytest.fixture(scope="module")
def run(project) -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="environments-") as folder:
        yield run_chain(Path(folder).resolve(), project)


def run_chain(root: Path, project: Path) -> Run:
    """Create the environments below ``root``, an empty folder, and run the chain there as a user would."""
    from uv import find_uv_bin

    free = shutil.disk_usage(root).free / 1e9
    if free < ROOM_GB:
        pytest.fail(f"{ROOM_GB} GB are needed in {root.parent}, and {free:.1f} are free: set TMPDIR to a larger folder")
    runner = root / "runner" / "bin" / "python"
    (pin,) = (pin for pin in rules.pins(project) if pin.startswith("snakemake=="))
    execute(sys.executable, "-m", "venv", "--without-pip", root / "runner")
    execute(find_uv_bin(), "pip", "install", "--quiet", "--cache-dir", root / "wheels", "--python", runner, pin)
    (root / "project").mkdir()
    copy = copy_project(project, root / "project")
    shutil.copy2(HERE / "one_cell.yaml", copy)
    save_file(timm.create_model("resnet10t.c3_in1k").state_dict(), copy / "backbone.safetensors")
    (copy / "drawn").mkdir()
    for grey in range(12):
        Image.new("RGB", (32, 32), (20 * grey, 255 - 20 * grey, 90)).save(copy / "drawn" / f"{grey}.png")
    records = root / "records"
    records.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CONDA", "PYTHON", "VIRTUAL_ENV"))}
    env |= {
        "PATH": os.pathsep.join([str(stand_in.write_base(root)), str(runner.parent), env["PATH"]]),
        # Packages of the user's own would come before an environment's, with the real conda too.
        "PYTHONNOUSERSITE": "1",
        "XDG_CACHE_HOME": str(root / "cache"),
        "RECORD_MODULES_IN": str(records),
    }
    snakemake = ["snakemake", "--cores", "2", "--resources", "gpu=0", "--sdm", "conda"]
    plan = planned(execute(*snakemake, "--dry-run", *CONFIG, cwd=copy, env=env))
    execute(*snakemake, "--conda-create-envs-only", "--conda-cleanup-pkgs", "cache", *CONFIG, cwd=copy, env=env)
    prefixes = put_recorders(copy)
    execute(*snakemake, *CONFIG, cwd=copy, env=env)
    jobs = defaultdict(list)
    for file in sorted(records.glob("*.json")):
        job = json.loads(file.read_text(encoding="utf-8"))
        jobs[job["rule"]].append(job)
    return Run(copy, runner, ask(runner, SEARCH_PATHS), prefixes, set(plan), dict(jobs))


def test_every_script_ran_in_its_own_environment(run, project):
    assert set(run.prefixes) == set(rules.environments(project))
    scripts = set(rules.environments_of_rules(project))
    assert run.planned & scripts == set(run.jobs) == scripts - DOWNLOADS
    for rule, jobs in run.jobs.items():
        for job in jobs:
            assert job["prefix"] == str(run.prefix(job)), rule
            assert Path(job["executable"]).parent == run.prefix(job) / "bin", rule
        # Jobs of both extractors have run.
        several = rules.environments_of_rules(project)[rule]
        assert {job["prefix"] for job in jobs} == {str(run.prefixes[env]) for env in several}, rule


def test_a_scripts_packages_come_from_its_environment(run, project):
    """Including imports in functions that this config does not call, and scripts of rules that did not run."""
    for rule, env in run.environments():
        prefix, needed = run.prefixes[env], rules.third_party_imports(rules.script_of(project, rule), env)
        found = run.found(prefix, needed)
        assert needed == set(found), f"{rule} lacks {needed - set(found)}"
        jobs = [job["modules"] for job in run.jobs.get(rule, []) if run.prefix(job) == prefix]
        for modules in (found, *jobs):
            for name in needed & set(modules):
                assert Path(modules[name]).is_relative_to(prefix), f"{rule}: {name} is {modules[name]}"
        if rule in DOWNLOADS:
            execute(prefix / "bin" / "python", "-I", "-c", f"import {', '.join(sorted(needed))}")


def test_nothing_else_comes_from_snakemakes_environment(run, project):
    """Otherwise, what a script finds would depend on where Snakemake was started from."""
    for rule, jobs in run.jobs.items():
        for job in jobs:
            # The standard library of a venv is that of its Python.
            version = (run.prefix(job) / "pyvenv.cfg").read_text(encoding="utf-8").split("home = ")[1].split("\n")[0]
            homes = (run.prefix(job), run.project / "workflow", Path(version).resolve().parent)
            outside = {name for name, file in job["modules"].items() if not any(map(Path(file).is_relative_to, homes))}
            packages = {name.split(".")[0] for name in outside}
            assert {name for name in packages if not name.startswith("snakemake")} <= TOLERATED, rule
            # Snakemake's own modules are found there.
            assert "snakemake.iocontainers" in outside, rule
    names = {rules.import_name(pin) for env in rules.environments(project).values() for pin in rules.pip_pins(env)}
    assert set(ask(run.runner, FOUND, [], sorted(names))) <= TOLERATED
