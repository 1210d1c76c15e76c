"""The environments: one source of versions, and the form that Snakemake, conda and pip all take."""

import re

import pytest
import yaml
from packaging.requirements import Requirement


@pytest.fixture(scope="module")
def pins(project) -> set[str]:
    lines = (project / "envs" / "requirements.txt").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


@pytest.fixture(scope="module")
def envs(project) -> dict[str, dict]:
    return {file.name: yaml.safe_load(file.read_text()) for file in sorted((project / "envs").glob("*.yaml"))}


def test_every_pin_is_an_exact_version(pins):
    for pin in pins:
        assert re.fullmatch(r"[A-Za-z0-9.-]+==[0-9][0-9.]*", pin), pin
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
        assert pip == "pip", name
        assert set(packages) == {"pip"}, name
        drifted = set(packages["pip"]) - pins
        assert not drifted, f"{name} and requirements.txt differ in {drifted}"


def test_no_pin_files(project):
    # Snakemake would use them instead of the yaml file, and so drop its pip section.
    assert not list((project / "envs").glob("*.pin.txt"))


def test_every_rule_with_a_script_has_an_env_log_benchmark_and_resources(project, envs):
    used = set()
    for file in sorted((project / "workflow" / "rules").glob("*.smk")):
        for rule in re.split(r"^rule ", file.read_text(), flags=re.MULTILINE)[1:]:
            name = rule.split(":", 1)[0]
            assert "message:" in rule, name
            if "script:" not in rule:
                continue
            for directive in ("log:", "benchmark:", "mem_mb=", "runtime=", "modules=modules("):
                assert directive in rule, f"{name} lacks {directive}"
            # Whatever computes on a device asks for one, and nothing else does.
            assert ("gpu=" in rule) == ("autoencoders.device" in script_text(project, name)), name
            env = re.search(r'conda:\s+"\.\./\.\./envs/(.+?)"', rule)
            assert env and env[1] in envs, name
            used.add(env[1])
            script = re.search(r'script:\s+"\.\./scripts/(.+?)"', rule)[1]
            assert script == f"{name}.py", f"the script of rule {name} is {script}"
            assert f'modules("{name}")' in rule, name
    assert used == set(envs)


def script_text(project, name: str) -> str:
    return (project / "workflow" / "scripts" / f"{name}.py").read_text()


IMPORT_NAMES = {"scikit-learn": "sklearn", "pillow": "PIL", "pytorch-fid": "pytorch_fid"}


def test_every_env_has_what_its_scripts_import(project, envs):
    """Every third-party package that a rule's script or a module of its inputs imports is in the rule's env."""
    import ast
    import sys

    from autoencoders.imports import imported_modules

    # Installed by what is pinned; torchvision's CelebA loader and to_markdown import gdown and tabulate themselves.
    for file in sorted((project / "workflow" / "rules").glob("*.smk")):
        for rule in re.split(r"^rule ", file.read_text(), flags=re.MULTILINE)[1:]:
            if "script:" not in rule:
                continue
            env = envs[re.search(r"envs/(.+?)\"", rule)[1]]
            names = {pin.split("==")[0] for pin in env["dependencies"][2]["pip"]}
            have = {IMPORT_NAMES.get(name, name) for name in names}
            script = project / "workflow" / "scripts" / f"{rule.split(':', 1)[0]}.py"
            needed = set()
            for source in [script, *imported_modules(script)]:
                for node in ast.walk(ast.parse(source.read_text())):
                    if isinstance(node, ast.Import):
                        needed |= {alias.name.split(".")[0] for alias in node.names}
                    elif isinstance(node, ast.ImportFrom):
                        needed.add(node.module.split(".")[0])
            needed -= {*sys.stdlib_module_names, "autoencoders"}
            assert needed <= have, f"{script.name} needs {needed - have}"
