"""What the README tells users to write is accepted, and means what it says."""

import copy
import re
import shlex
import subprocess
import sys

import pytest
import yaml
from PIL import Image
from running import copy_project, planned

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
    assert len(examples) == 6
    counts = []
    for example in examples:
        (tmp_path / "a").mkdir(exist_ok=True)
        config = settings.resolve(laid_over(paper, yaml.safe_load(example.replace("path/to/images", str(tmp_path)))))
        counts.append(len(settings.cells(config)))
    # the paper's cells; seeds x these; CelebA's and 20 CIFAR-10 networks x latent sizes; widths x models x latent sizes
    assert counts == [346, 3 * 346, 66 + 20 * 3, 2 * 2 * 2, 5 * 14, 2 * 2 * 3]


@pytest.mark.parametrize("name", ["demo", "laptop", "precision"])
def test_the_configs_that_come_along_are_valid(project, paper, name):
    config = settings.resolve(laid_over(paper, yaml.safe_load((project / "config" / f"{name}.yaml").read_text())))
    assert settings.cells(config)
    assert config["pathvars"]["results"] == f"results/{name}"


def test_every_make_target_exists(project):
    makefile = (project / "Makefile").read_text()
    for command in commands(project, "make"):
        assert re.search(rf"^{command[1]}:", makefile, flags=re.MULTILINE), command


def test_every_snakemake_command_plans_its_jobs(project, tmp_path):
    """Word for word as Snakemake parses it, but as a dry run, and of one latent size a dataset to save time."""
    folder = copy_project(project, tmp_path)
    config = yaml.safe_load((folder / "config" / "config.yaml").read_text())
    for dataset in config["datasets"].values():
        dataset["latent"] = dataset["comparison_latent"]
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "images").mkdir()
    Image.new("RGB", (64, 64)).save(folder / "images" / "a.png")
    own = [example for example in blocks(project, "yaml") if "path/to/images" in example]
    (folder / "mine.yaml").write_text(own[0].replace("path/to/images", "images"))
    found = commands(project, "snakemake")
    assert len(found) >= 6
    for command in found:
        # Nothing is there yet that could be touched.
        arguments = [argument for argument in command[1:] if argument != "--touch"]
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments, "--dry-run"],
            cwd=folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout[-2000:]
        assert planned(done.stdout), command


def commands(project, program: str) -> list[list[str]]:
    lines = [line.split("  #")[0] for block in blocks(project, "sh") for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.split(" ")[0] == program]


@pytest.mark.parametrize("page", ["README.md", "config/README.md", "results/README.md"])
def test_links_lead_somewhere(project, page):
    text = (project / page).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        file = (project / page).parent / path if path else project / page
        assert file.exists(), target
        headings = re.findall(r"^#+ (.+)$", file.read_text(), flags=re.MULTILINE) if anchor else []
        assert not anchor or anchor in [heading.lower().replace(" ", "-") for heading in headings], target
