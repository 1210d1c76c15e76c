"""What the README tells users to write is accepted, and means what it says."""

import re
import shlex
import subprocess
import sys

import pytest
import yaml
from PIL import Image
from running import copy_project, laid_over, planned

from autoencoders.config import settings
from autoencoders.config.grid import cells

# Those whose commands are run here; the others have none, or say what they need.
TESTED = ("README.md", "config/README.md")
PAGES = ("README.md", "config/README.md", "results/README.md", "envs/README.md")


def blocks(project, language: str, page: str = "README.md") -> list[str]:
    text = (project / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands(project, program: str) -> list[list[str]]:
    """The lines of the shell blocks that call a program, as its arguments; "" for all."""
    lines = [line for page in TESTED for block in blocks(project, "sh", page) for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.split(" ")[0] == program or not program]


def inline(project, start: str) -> list[str]:
    """What stands between backticks in a sentence and begins so."""
    texts = [
        re.sub(r"^```.*?^```", "", (project / page).read_text(), flags=re.MULTILINE | re.DOTALL) for page in TESTED
    ]
    return [code for text in texts for code in re.findall(r"`([^`\n]+)`", text) if code.startswith(start)]


@pytest.fixture
def paper(project) -> dict:
    return yaml.safe_load((project / "config" / "config.yaml").read_text())


def test_every_config_example_is_valid(project, paper, tmp_path):
    examples = blocks(project, "yaml")
    assert len(examples) == 7
    counts = []
    for example in examples:
        (tmp_path / "a").mkdir(exist_ok=True)
        demo = yaml.safe_load((project / "config" / "demo.yaml").read_text()) if "digits" in example else {}
        mine = yaml.safe_load(example.replace("path/to/images", str(tmp_path)))
        config = settings.resolve(laid_over(paper, demo, mine))
        counts.append(len(cells(config)))
    # the paper's cells; seeds x these; CelebA's and 20 CIFAR-10 networks x latent sizes; the demo's without two of 64
    # units and with four of 6 filters; widths x models x latent sizes
    assert counts == [346, 3 * 346, 66 + 20 * 3, 30 - 2 + 4, 2 * 2 * 2, 5 * 14, 2 * 2 * 3]


@pytest.mark.parametrize("name", ["demo", "laptop", "precision"])
def test_the_configs_that_come_along_are_valid(project, paper, name):
    config = settings.resolve(laid_over(paper, yaml.safe_load((project / "config" / f"{name}.yaml").read_text())))
    assert cells(config)
    assert config["pathvars"]["results"] == f"results/{name}"


def test_every_command_is_one_that_a_test_runs(project):
    assert {command[0] for command in commands(project, "")} == {"make", "snakemake", "source"}


def test_every_make_command_would_run(project):
    """What `make demo` and `make test` do, CI does; the others are dry here, and have tests of their own."""
    for command in [*commands(project, "make"), *map(shlex.split, inline(project, "make "))]:
        done = subprocess.run([*command, "--dry-run"], cwd=project, capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout, (command, done.stderr)


def test_the_environment_that_is_activated_is_the_one_that_make_makes(project):
    folder = re.search(r"^VENV := (.+)$", (project / "Makefile").read_text(), flags=re.MULTILINE)[1]
    assert commands(project, "source") == [["source", f"{folder}/bin/activate"]]


def test_every_option_in_a_sentence_is_one_of_snakemake(project):
    known = subprocess.run([sys.executable, "-m", "snakemake", "--help"], capture_output=True, text=True, check=True)
    known = set(re.findall(r"--[a-z][a-z-]+", known.stdout))
    others = {"squeue": {"--me"}, "pip": {"--user"}}
    for code in inline(project, ""):
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", code)) - others.get(code.split(" ")[0], set())
        assert named <= known, code


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


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(project, page):
    text = (project / page).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)|<img src=\"([^\"]+)\"", text):
        target = "".join(target)
        path, _, anchor = target.partition("#")
        file = (project / page).parent / path if path else project / page
        assert file.exists(), target
        headings = re.findall(r"^#+ (.+)$", file.read_text(), flags=re.MULTILINE) if anchor else []
        assert not anchor or anchor in map(slug, headings), target


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_folder_and_file_that_it_names_is_there(project):
    for page in ("README.md", "config/README.md", "CHANGELOG.md"):
        for path in re.findall(r"`((?:tests|workflow|config|envs)/[\w./-]*)`", (project / page).read_text()):
            assert (project / path).exists(), f"{page}: {path}"


def test_the_picture_of_the_rules_is_that_of_the_workflow(project):
    """Its names are all rules, and its arrows with those that follow from them are all that Snakemake knows."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "--forceall"]
    dot = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout
    labels = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', dot, flags=re.MULTILINE))
    arrows = {(labels[a], labels[b]) for a, b in re.findall(r"^\s*(\d+) -> (\d+)", dot, flags=re.MULTILINE)}

    svg = (project / "workflow" / "pictures" / "rules.svg").read_text()
    shown = dict(re.findall(r"<title>(\d+)</title>.*?<text[^>]*>(\w+)</text>", svg, flags=re.DOTALL))
    drawn = {(shown[a], shown[b]) for a, b in re.findall(r"<title>(\d+)&#45;&gt;(\d+)</title>", svg)}
    assert set(shown.values()) == set(labels.values())
    assert closure(drawn) == closure(arrows)
    assert drawn <= arrows


def closure(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """With an arrow wherever several lead."""
    found = set(arrows)
    while more := {(a, d) for a, b in found for c, d in found if b == c} - found:
        found |= more
    return found


def test_every_rule_says_what_it_makes(project):
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--list"], cwd=project, check=True, capture_output=True, text=True
    )
    rules = done.stdout.splitlines()
    assert len(rules) > 30
    assert not [rule for rule in rules if not re.fullmatch(r"\w+ \(.+\.\)", rule)]


def test_the_version_is_the_same_everywhere(project):
    citation = yaml.safe_load((project / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+) \((\S+)\)$", (project / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert newest.groups() == (citation["version"], str(citation["date-released"]))
    assert citation["license"] == "MIT" and (project / "LICENSE").read_text().startswith("MIT License")


def test_the_catalog_s_flags_run_the_workflow(project):
    usage = yaml.safe_load((project / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["mandatory-flags"]["flags"] == "--resources gpu=1"
    assert usage["report"] is True and usage["software-stack-deployment"]["conda"] is True
