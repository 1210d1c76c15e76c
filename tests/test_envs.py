"""The environments: one source of versions, a form that Snakemake, conda and pip all take, and the stand-in for conda.

That they can be created, and that each rule finds its packages in its own, is shown by `make environments`.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from environments import rules, stand_in
from environments.channel import NoInterpreter, find_interpreter
from packaging.requirements import Requirement
from rattler import MatchSpec


@pytest.fixture(scope="module")
def pins(project) -> set[str]:
    return rules.pins(project)


@pytest.fixture(scope="module")
def envs(project) -> dict[str, dict]:
    return rules.environments(project)


def test_every_pin_is_an_exact_version(pins):
    for pin in pins:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9.]*", pin), pin
        Requirement(pin)
    names = [pin.split("==")[0] for pin in pins]
    assert len(names) == len(set(names))


def test_envs_repeat_the_pins_and_have_the_agreed_form(pins, envs):
    assert envs
    for name, env in envs.items():
        assert set(env) == {"channels", "dependencies"}, name
        assert env["channels"] == ["conda-forge"], name
        python, pip, packages = env["dependencies"]
        assert re.fullmatch(r"python=3\.1[123]", python), name
        assert MatchSpec(python, strict=True).version == python.removeprefix("python=") + ".*", name
        assert pip == "pip", name
        assert set(packages) == {"pip"}, name
        drifted = set(packages["pip"]) - pins
        assert not drifted, f"{name} and requirements.txt differ in {drifted}"
        assert len(packages["pip"]) == len(set(packages["pip"])), name


def test_no_pin_files(project):
    # Snakemake would use them instead of the yaml file, and so drop its pip section.
    assert not list((project / "envs").glob("*.pin.txt"))


def test_every_rule_with_a_script_has_an_env_log_benchmark_and_resources(project, envs):
    used = rules.environments_of_rules(project)
    for name, rule in rules.rules(project).items():
        assert "message:" in rule, name
        assert ("script:" in rule) == (name in used), name
        if "script:" not in rule:
            continue
        for directive in ("log:", "benchmark:", "mem_mb=", "runtime=", "modules=modules("):
            assert directive in rule, f"{name} lacks {directive}"
        text = rules.script_of(project, name).read_text()
        # Whatever computes on a device asks for one, and nothing else does.
        assert ("gpu=" in rule) == ("autoencoders.jobs.device" in text), name
        script = re.search(r'script:\s+"\.\./scripts/(.+?)"', rule)[1]
        assert script == f"{name}.py", f"the script of rule {name} is {script}"
        assert f'modules("{name}"' in rule, name
    assert set(used.values()) == set(envs)


def test_the_page_says_which_rules_use_which_env(project):
    page = (project / "envs" / "README.md").read_text()
    told = {}
    for env, names in re.findall(r"^\| `(\w+\.yaml)` \| (.+) \|$", page, flags=re.MULTILINE):
        told |= dict.fromkeys(re.findall(r"`(\w+)`", names), env)
    assert told == rules.environments_of_rules(project)


def test_every_env_has_what_its_scripts_import(project, envs):
    """Every third-party package that a rule's script or a module of its inputs imports is in the rule's env."""
    for rule, env in rules.environments_of_rules(project).items():
        have = {rules.import_name(pin) for pin in rules.pip_pins(envs[env])}
        needed = rules.third_party_imports(rules.script_of(project, rule))
        assert needed <= have, f"{rule} needs {needed - have}"


def test_snakemake_itself_needs_no_package_of_an_env(project, envs):
    """It need not have any where each rule has an environment of its own."""
    files = [project / "Snakefile", *sorted((project / "workflow" / "rules").glob("*.smk"))]
    text = "\n".join(file.read_text() for file in files)
    imports = re.findall(r"^ *(from autoencoders[\w.]* import .+)$", text, flags=re.MULTILINE)
    assert imports
    missing = sorted({rules.import_name(pin) for env in envs.values() for pin in rules.pip_pins(env)})
    code = [f"import sys; sys.modules.update(dict.fromkeys({missing}))", *imports]
    env = os.environ | {"PYTHONPATH": str(project / "workflow" / "scripts")}
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_stand_in_understands_every_env(project, envs):
    for name, env in envs.items():
        read = stand_in.parse_environment((project / "envs" / name).read_text())
        assert [*read.specs, {"pip": read.requirements}] == env["dependencies"]


GOOD = {"channels": ["conda-forge"], "dependencies": ["python=3.12", "pip", {"pip": ["numpy==2.4.6"]}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "mine"}, "nothing else"),
        ({"prefix": "/somewhere"}, "nothing else"),
        ({"channels": ["conda-forge", "defaults"]}, "only channel is conda-forge"),
        ({"channels": []}, "only channel is conda-forge"),
        ({"dependencies": None}, "no list of dependencies"),
        ({"dependencies": ["python=3.12=="]}, "no match spec"),
        ({"dependencies": ["pip", {"pip": "numpy"}]}, "no list of requirements"),
        ({"dependencies": ["pip", {"pip": []}]}, "no list of requirements"),
        ({"dependencies": [{"npm": ["left-pad"]}]}, "neither a match spec"),
        ({"dependencies": ["pip", {"pip": ["a"]}, {"pip": ["b"]}]}, "neither a match spec"),
        ({"dependencies": ["pip", {"pip": ["--index-url=https://example.org"]}]}, "no requirement for pip"),
        ({"dependencies": ["pip", {"pip": ["-r other.txt"]}]}, "no requirement for pip"),
        ({"dependencies": ["pip", {"pip": ["a @ https://example.org/a.whl"]}]}, "no requirement with an address"),
        ({"dependencies": ["python=3.12", {"pip": ["a"]}]}, "needs pip among the dependencies"),
    ],
)
def test_the_stand_in_refuses_what_it_does_not_understand_in_a_file(change, message):
    with pytest.raises(stand_in.Refused, match=message):
        stand_in.parse_environment(yaml.safe_dump(GOOD | change))


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "info",
        "info --json --all",
        "info --js",
        "activate env",
        "create --quiet --no-default-packages --file e.yaml --prefix env",
        "config --get channels --json",
        "config --set channel_priority strict",
        "clean --tarballs",
        "clean -y --all",
        "env export --prefix env",
        "env create --quiet --file e.yaml --prefix env",
        "env create --quiet --no-default-packages --file e.yaml --prefix env --force",
        "env create --quiet --no-default-packages --file e.yaml --name env",
    ],
)
def test_the_stand_in_refuses_calls_that_it_does_not_know(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        stand_in.main(arguments.split(), tmp_path)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_stand_in_overwrites_nothing(tmp_path):
    file, prefix = tmp_path / "e.yaml", tmp_path / "env"
    file.write_text(yaml.safe_dump(GOOD))
    prefix.mkdir()
    with pytest.raises(stand_in.Refused, match="there is something in"):
        stand_in.create(tmp_path, file, prefix)
    assert not list(prefix.iterdir())


def test_the_stand_in_is_called_as_conda_is(tmp_path):
    """By the file that Snakemake finds on PATH; its answers are what Snakemake looks at."""
    conda = stand_in.write_base(tmp_path) / "conda"

    def call(*arguments):
        return subprocess.run([conda, *arguments], capture_output=True, text=True)

    assert re.findall(r"\d+\.\d+\.\d+", call("--version").stdout) == [stand_in.VERSION]
    assert json.loads(call("info", "--json").stdout)["conda_prefix"] == str(tmp_path / "base")
    priority = json.loads(call("config", "--get", "channel_priority", "--json").stdout)
    assert priority == {"get": {"channel_priority": "strict"}}
    refused = call("env", "create", "--quiet", "--no-default-packages", "--file", "/dev/null", "--prefix", "env")
    assert refused.returncode == 1
    assert refused.stderr.startswith("stand_in: an environment has channels")


def test_activation_puts_an_environment_first_and_takes_nothing_else(tmp_path):
    activate, python = stand_in.write_base(tmp_path) / "activate", tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)

    def activated(env: Path):
        script = f"set -euo pipefail; source {activate} '{env}'; command -v python; echo $CONDA_PREFIX"
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True)

    assert "no environment in" in activated(tmp_path / "env").stderr
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    assert activated(tmp_path / "env").stdout.split() == [str(python), str(tmp_path / "env")]


def test_a_missing_python_is_said_with_what_to_install():
    with pytest.raises(NoInterpreter, match=r"Python 3\.2 .*pyenv install 3\.2"):
        find_interpreter("3.2")
