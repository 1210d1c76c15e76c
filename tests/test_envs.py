"""The environments: one source of versions, in a form that Snakemake, conda and pip accept.

test_environments.py creates them, and shows that each rule finds its packages in its own.
"""

import json
import os
import re
import subprocess
import sys

import pytest
from environments import rules, stand_in
from packaging.requirements import Requirement
from running import copy_project, snakemake


@pytest.fixture(scope="module")
def pins(project) -> set[str]:
    return rules.pins(project)


@pytest.fixture(scope="module")
def envs(project) -> dict[str, dict]:
    return rules.environments(project)


def test_envs_repeat_the_pins_in_the_agreed_form(pins, envs):
    for pin in pins:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9.]*", pin), pin
        Requirement(pin)
    assert len(pins) == len({pin.split("==")[0] for pin in pins})
    assert envs
    for name, env in envs.items():
        assert set(env) == {"channels", "dependencies"} and env["channels"] == ["conda-forge"], name
        python, pip, packages = env["dependencies"]
        assert re.fullmatch(r"python=3\.1[123]", python), name
        assert pip == "pip", name
        assert set(packages) == {"pip"}, name
        drifted = set(packages["pip"]) - pins
        assert not drifted, f"{name} and requirements.txt differ in {drifted}"
        assert len(packages["pip"]) == len(set(packages["pip"])), name


def test_no_pin_files(project):
    # Snakemake would use them instead of the yaml file, and drop its pip section.
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
        text = rules.script_of(project, name).read_text(encoding="utf-8")
        # Rules that compute on a device request one, and no others.
        assert ("gpu=" in rule) == ("autoencoders.jobs.device" in text), name
        assert f'"../scripts/{name}.py"' in rule and f'modules("{name}"' in rule, name
    assert set().union(*used.values()) == set(envs)


def test_the_page_says_which_rules_use_which_env(project):
    page = (project / "envs" / "README.md").read_text(encoding="utf-8")
    told, used = {}, rules.environments_of_rules(project)
    for env, names in re.findall(r"^\| `(\w+\.yaml)` \| (.+) \|$", page, flags=re.MULTILINE):
        # Rules come first, then what the jobs are of.
        for name in re.findall(r"`(\w+)`", names.split(" of ")[0]):
            told.setdefault(name, set()).add(env)
    assert told == used


def test_an_extractors_environment_is_that_of_all_others_and_its_own_packages(envs):
    """Otherwise rules that use both would compute measures by other versions."""
    score, timm = (rules.pip_pins(envs[name]) for name in ("score.yaml", "timm.yaml"))
    assert {rules.import_name(pin) for pin in timm - score} == {"timm"} and score < timm


def test_every_env_has_what_its_scripts_import(project, envs):
    """Every package that a rule's script or one of its modules imports is in the rule's env."""
    for rule, used in rules.environments_of_rules(project).items():
        for env in used:
            have = {rules.import_name(pin) for pin in rules.pip_pins(envs[env])}
            needed = rules.third_party_imports(rules.script_of(project, rule), env)
            assert needed <= have, f"{rule} needs {needed - have} in {env}"
    assert "timm" in rules.third_party_imports(rules.script_of(project, "score"), "timm.yaml")


@pytest.mark.slow
def test_only_jobs_of_an_extractor_that_needs_it_get_its_environment(project, tmp_path, monkeypatch):
    """As Snakemake lists the environments of a target's jobs."""
    base = stand_in.write_base(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(base), os.environ["PATH"]]))
    (tmp_path / "project").mkdir()
    folder = copy_project(project, tmp_path / "project")
    (folder / "weights.safetensors").touch()
    backbone = {"kind": "timm", "model": "resnet10t.c3_in1k", "img_size": 32, "weights": "weights.safetensors"}
    config = {"datasets": {"digits": {"extractors": ["random", "backbone"]}}, "extractors": {"backbone": backbone}}
    (folder / "mine.yaml").write_text(json.dumps(config), encoding="utf-8")
    found = {}
    for name in ("random", "backbone"):
        target = f"results/demo/redraws/digits-{name}.parquet"
        arguments = (target, "--sdm", "conda", "--list-conda-envs")
        configs = ("config/demo.yaml", "tiny.yaml", "mine.yaml")
        output = snakemake(folder, *arguments, configs=configs).stdout
        found[name] = set(re.findall(r"(\w+)\.yaml\t", output)) & {"score", "timm"}
    assert found == {"random": {"score"}, "backbone": {"timm"}}


def test_snakemake_itself_needs_no_package_of_an_env(project, envs):
    """Each rule may have an environment of its own."""
    files = [project / "Snakefile", *sorted((project / "workflow" / "rules").glob("*.smk"))]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    imports = re.findall(r"^ *(from autoencoders[\w.]* import .+)$", text, flags=re.MULTILINE)
    assert imports
    missing = sorted({rules.import_name(pin) for env in envs.values() for pin in rules.pip_pins(env)})
    code = [f"import sys; sys.modules.update(dict.fromkeys({missing}))", *imports]
    env = os.environ | {"PYTHONPATH": str(project / "workflow" / "scripts")}
    done = subprocess.run([sys.executable, "-c", "\n".join(code)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
