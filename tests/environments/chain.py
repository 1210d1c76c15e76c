"""The environments of envs/, created for real, and the digits chain in them: `make environments`, in minutes.

    pytest tests/environments/chain.py

Snakemake runs from an environment that holds nothing else. `conda` is stand_in.py, and conda-forge a local channel with
this machine's Python (channel.py); what pip would install comes from PyPI. What conda-forge would give, and whether
CUDA works, is not shown.

Everything lies in a temporary folder, which is removed in the end.
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
from environments import channel, rules, stand_in
from running import copy_project, planned

# What a machine has to have free. 7 GB are used, most of it by PyTorch and CUDA, which environments share.
ROOM_GB = 9
# Rules that need a network to run. What their scripts need is imported in their environments instead.
DOWNLOADS = {"download_dataset", "download_extractor"}
CONFIG = ["--configfile", "config/demo.yaml", "tiny.yaml", "one_cell.yaml"]
# What one environment has and another does not: (environment, import name). More is tested; these have to be among it.
STRANGERS = {
    ("report.yaml", "torch"),
    ("network.yaml", "seaborn"),
    ("prior.yaml", "pytorch_fid"),
    ("data.yaml", "pandas"),
    ("score.yaml", "gdown"),
}
# Packages of Snakemake's own, which scripts see behind their environment's: joblib, NumPy and PyTorch use them where
# they find them, and do without else.
TOLERATED = {"charset_normalizer", "jinja2", "psutil", "tabulate"}

# Questions to an environment's Python; arguments and answers are JSON. Which packages a job would find and where, given
# the paths of Snakemake, which it searches last:
FOUND = """
import importlib.util, json, sys
sys.path += json.loads(sys.argv[1])
specs = {name: importlib.util.find_spec(name) for name in json.loads(sys.argv[2])}
print(json.dumps({name: spec.origin for name, spec in specs.items() if spec}))
"""
# Which versions are installed:
INSTALLED = """
import importlib.metadata, json
print(json.dumps({found.name: found.version for found in importlib.metadata.distributions()}))
"""
SEARCH_PATHS = "import json, sys; print(json.dumps([path for path in sys.path if path]))"


def execute(*command: object, **options: object) -> str:
    """The output of a command, which is shown where it fails."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(list(map(str, command)), **output, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-10000:]}"
    return done.stdout


def ask(python: Path, question: str, *arguments: object):
    """What code prints as JSON, in an environment, whatever the user has set or installed."""
    command = [python, "-I", "-c", question, *map(json.dumps, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Run:
    """What the chain was and left: the copy of the project, Snakemake's Python, and a record of every job's script."""

    project: Path
    runner: Path
    prefixes: dict[str, Path]
    planned: set[str]
    jobs: dict[str, list[dict]]

    def prefix(self, rule: str) -> Path:
        return self.prefixes[rules.environments_of_rules(self.project)[rule]]

    def python(self, env: str) -> Path:
        return self.prefixes[env] / "bin" / "python"


def make_channel(root: Path, project: Path) -> None:
    versions = {env["dependencies"][0].removeprefix("python=") for env in rules.environments(project).values()}
    pythons = [channel.find_interpreter(version) for version in sorted(versions)]
    for python in pythons:
        print(f"making a channel of Python {python.version} ({python.executable}) and {python.pip.name}", flush=True)
    channel.write_channel(root / "channels" / "conda-forge", pythons)


def make_runner(folder: Path, project: Path) -> Path:
    """An environment with Snakemake alone; returns its Python."""
    from uv import find_uv_bin

    execute(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    (pin,) = (pin for pin in rules.pins(project) if pin.startswith("snakemake=="))
    install = [find_uv_bin(), "pip", "install", "--quiet", "--cache-dir", folder.parent / "wheels"]
    execute(*install, "--python", python, pin)
    return python


def put_recorders(project: Path) -> dict[str, Path]:
    """Make every environment of a run record its jobs' modules; returns their folders by the names of their files."""
    names = {file.read_text(): file.name for file in (project / "envs").glob("*.yaml")}
    prefixes = {}
    # Snakemake puts a copy of its file beside each.
    for file in (project / ".snakemake" / "conda").glob("*.yaml"):
        prefix = prefixes[names[file.read_text()]] = file.with_suffix("")
        (site,) = prefix.glob("lib/python3.*/site-packages")
        shutil.copy2(Path(__file__).with_name("recorder.py"), site / "sitecustomize.py")
    return prefixes


def run_chain(root: Path, project: Path) -> Run:
    """Make all that is needed below ``root``, which is empty, and run the chain there as a user would."""
    free = shutil.disk_usage(root).free / 1e9
    if free < ROOM_GB:
        pytest.fail(f"{ROOM_GB} GB are needed in {root.parent}, and {free:.1f} are free: set TMPDIR to a larger folder")
    make_channel(root, project)
    runner = make_runner(root / "runner", project)
    (root / "project").mkdir()
    copy = copy_project(project, root / "project")
    shutil.copy2(Path(__file__).with_name("one_cell.yaml"), copy)
    records = root / "records"
    records.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CONDA", "PYTHON", "VIRTUAL_ENV"))}
    env |= {
        "PATH": os.pathsep.join([str(stand_in.write_base(root)), str(runner.parent), env["PATH"]]),
        # Packages of the user's own would come before an environment's, with the real conda as well.
        "PYTHONNOUSERSITE": "1",
        "XDG_CACHE_HOME": str(root / "cache"),
        "RECORD_MODULES_IN": str(records),
    }
    snakemake = ["snakemake", "--cores", "2", "--resources", "gpu=0", "--sdm", "conda"]
    plan = planned(execute(*snakemake, "--dry-run", *CONFIG, cwd=copy, env=env))
    print("creating the environments", flush=True)
    execute(*snakemake, "--conda-create-envs-only", "--conda-cleanup-pkgs", "cache", *CONFIG, cwd=copy, env=env)
    prefixes = put_recorders(copy)
    print(f"running {sum(plan.values())} jobs in {len(prefixes)} environments", flush=True)
    execute(*snakemake, *CONFIG, cwd=copy, env=env)
    jobs = defaultdict(list)
    for file in sorted(records.glob("*.json")):
        job = json.loads(file.read_text())
        jobs[job["rule"]].append(job)
    return Run(copy, runner, prefixes, set(plan), dict(jobs))


@pytest.fixture(scope="module")
def run(project) -> Iterator[Run]:
    with tempfile.TemporaryDirectory(prefix="environments-") as folder:
        yield run_chain(Path(folder).resolve(), project)


def test_every_environment_is_created(run, project):
    assert set(run.prefixes) == set(rules.environments(project))


def test_every_script_ran_in_its_own_environment(run, project):
    scripts = rules.environments_of_rules(project)
    assert run.planned & set(scripts) == set(scripts) - DOWNLOADS
    assert set(run.jobs) == set(scripts) - DOWNLOADS
    for rule, jobs in run.jobs.items():
        for job in jobs:
            assert job["prefix"] == str(run.prefix(rule)), rule
            assert Path(job["executable"]).parent == run.prefix(rule) / "bin", rule


def test_what_a_script_imports_is_its_environments(run, project):
    """Also what it imports in a function that this config does not call, and what a rule imports that did not run."""
    search_paths = ask(run.runner, SEARCH_PATHS)
    for rule in rules.environments_of_rules(project):
        needed = rules.third_party_imports(rules.script_of(project, rule))
        found = ask(run.prefix(rule) / "bin" / "python", FOUND, search_paths, sorted(needed))
        for modules in (found, *(job["modules"] for job in run.jobs.get(rule, []))):
            for name in needed & set(modules):
                assert Path(modules[name]).is_relative_to(run.prefix(rule)), f"{rule}: {name} is {modules[name]}"
        assert needed == set(found), f"{rule} lacks {needed - set(found)}"


def test_what_the_other_rules_need_can_be_imported(run, project):
    for rule in DOWNLOADS:
        needed = sorted(rules.third_party_imports(rules.script_of(project, rule)))
        execute(run.prefix(rule) / "bin" / "python", "-I", "-c", f"import {', '.join(needed)}")


def test_nothing_else_comes_from_snakemakes_environment(run):
    """Else what a script finds would depend on where Snakemake was started from."""
    for rule, jobs in run.jobs.items():
        homes = (run.prefix(rule), run.project / "workflow")
        for job in jobs:
            outside = {name for name, file in job["modules"].items() if not any(map(Path(file).is_relative_to, homes))}
            packages = {name.split(".")[0] for name in outside}
            assert {name for name in packages if not name.startswith("snakemake")} <= TOLERATED, rule
            # That the search is not in vain: Snakemake's own modules are there.
            assert "snakemake.iocontainers" in outside, rule


def test_versions_are_the_pinned_ones(run, project):
    for name, env in rules.environments(project).items():
        installed = ask(run.python(name), INSTALLED)
        for pin in rules.pip_pins(env):
            package, version = pin.split("==")
            assert installed.get(package) == version, f"{name}: {pin}"


def test_one_environments_packages_are_not_in_another(run, project):
    search_paths = ask(run.runner, SEARCH_PATHS)
    pinned = {name: rules.pip_pins(env) for name, env in rules.environments(project).items()}
    strangers = set()
    for name, pins in pinned.items():
        installed = ask(run.python(name), INSTALLED)
        # Others may be there because a pinned package needs them, as scikit-learn needs scipy.
        absent = {pin for pin in set.union(*pinned.values()) - pins if pin.split("==")[0] not in installed}
        names = {rules.import_name(pin) for pin in absent} - TOLERATED
        found = ask(run.python(name), FOUND, search_paths, sorted(names))
        assert not found, f"{name} has {found}"
        strangers |= {(name, package) for package in names}
    assert strangers >= STRANGERS


def test_snakemakes_environment_has_none_of_them(run, project):
    names = {rules.import_name(pin) for env in rules.environments(project).values() for pin in rules.pip_pins(env)}
    found = ask(run.runner, FOUND, [], sorted(names))
    assert set(found) <= TOLERATED
