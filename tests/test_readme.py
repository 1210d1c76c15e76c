"""What the README tells users to write is accepted, and means what it says."""

import copy
import re
import shlex

import pytest
import yaml

from autoencoders import settings


def blocks(project, language: str) -> list[str]:
    text = (project / "README.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def laid_over(base: dict, extra: dict) -> dict:
    """As Snakemake lays one config over another: mappings key by key, everything else replaced."""
    merged = copy.deepcopy(base)
    for key, value in extra.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = laid_over(merged[key], value) if both else value
    return merged


@pytest.fixture
def paper(project) -> dict:
    return yaml.safe_load((project / "config" / "config.yaml").read_text())


def test_every_config_example_is_valid(project, paper, tmp_path):
    examples = blocks(project, "yaml")
    assert len(examples) == 3
    counts = []
    for example in examples:
        (tmp_path / "a").mkdir(exist_ok=True)
        config = settings.resolve(laid_over(paper, yaml.safe_load(example.replace("path/to/images", str(tmp_path)))))
        counts.append(len(settings.cells(config)))
    # widths x models x latent sizes of each example
    assert counts == [2 * 2 * 2, 3 * 14, 2 * 2 * 3]


@pytest.mark.parametrize("name", ["demo", "laptop"])
def test_the_configs_that_come_along_are_valid(project, paper, name):
    config = settings.resolve(laid_over(paper, yaml.safe_load((project / "config" / f"{name}.yaml").read_text())))
    assert settings.cells(config)
    assert config["pathvars"]["results"] == f"results/{name}"


def test_commands_name_targets_and_files_that_exist(project):
    rules = "".join(file.read_text() for file in [project / "Snakefile", *(project / "workflow/rules").glob("*.smk")])
    makefile = (project / "Makefile").read_text()
    commands = [line.split("  #")[0] for block in blocks(project, "sh") for line in block.splitlines() if line]
    assert len(commands) >= 6
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "make":
            assert re.search(rf"^{arguments[0]}:", makefile, flags=re.MULTILINE), command
            continue
        assert program == "snakemake", command
        for argument in arguments:
            if argument == "all" or argument.startswith("all_"):
                assert f"rule {argument}:" in rules, command
