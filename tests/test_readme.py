"""What the pages tell users to write is accepted and means what it says."""

import re
import shlex
import subprocess
import sys

import pytest
import yaml
from PIL import Image
from running import PROJECT, copy_project, laid_over, planned

from autoencoders.config import settings
from autoencoders.config.grid import cells

pytestmark = pytest.mark.slow

# Those whose commands run here; those of envs/README.md need conda or another index.
TESTED = ("README.md", "config/README.md", "workflow/README.md", "workflow/profiles/README.md", "tests/README.md")
PAGES = (*TESTED, "workflow/pictures/README.md", "envs/README.md", "results/README.md", "CHANGELOG.md")


def blocks(language: str, page: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (PROJECT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )


def commands(program: str) -> list[list[str]]:
    """The lines of the shell blocks that call a program, as its arguments."""
    lines = [line for page in TESTED for block in blocks("sh", page) for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.split(" ")[0] == program]


def inline(page: str) -> list[str]:
    """What is between backticks in a sentence."""
    text = re.sub(r"^```.*?^```", "", (PROJECT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


def run(folder, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, (command, done.stdout[-2000:])
    return done.stdout


def read(config: str) -> dict:
    return yaml.safe_load((PROJECT / "config" / f"{config}.yaml").read_text(encoding="utf-8"))


def test_config_examples_run_the_cells_that_they_describe(tmp_path):
    counts = [len(cells(settings.resolve(laid_over(read("config"), read("precision")))))]
    for example in blocks("yaml", "README.md") + blocks("yaml", "workflow/profiles/README.md"):
        demo = read("demo") if "digits" in example else {}
        mine = yaml.safe_load(example.replace("path/to/images", str(tmp_path)))
        counts.append(len(cells(settings.resolve(laid_over(read("config"), demo, mine)))))
    # precision.yaml's; the demo's 14 with four of 6 filters instead of 8; four models; two models; the paper's.
    assert counts == [3 * 4, 14, 4, 2, 346]


def test_the_lines_for_a_site_are_the_profiles():
    (shown,) = blocks("yml", "workflow/profiles/README.md")
    profile = (PROJECT / "workflow" / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8")
    assert len(shown.splitlines()) == 5 and all(f"  {line}\n" in profile for line in shown.splitlines())


def test_every_make_target_exists():
    named = [shlex.split(code) for page in TESTED for code in inline(page) if code.startswith("make ")]
    for command in commands("make") + named:
        assert run(PROJECT, *command, "--dry-run")


def test_every_option_in_a_sentence_is_one_of_snakemake():
    known = set(re.findall(r"--[a-z][a-z-]+", run(PROJECT, sys.executable, "-m", "snakemake", "--help")))
    for code in [code for page in TESTED for code in inline(page) if not code.startswith("squeue")]:
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", code)) <= known, code


def test_every_snakemake_command_plans_its_jobs(tmp_path):
    """As a dry run, with one latent size for each dataset to save time. mine.yaml is the README's for own images."""
    folder = copy_project(PROJECT, tmp_path)
    config = read("config")
    for dataset in config["datasets"].values():
        if "validation_of" not in dataset:
            dataset["latent"] = dataset["comparison_latent"]
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "images").mkdir()
    Image.new("RGB", (64, 64)).save(folder / "images" / "a.png")
    (folder / "mine.yaml").write_text(
        blocks("yaml", "README.md")[2].replace("path/to/images", "images"), encoding="utf-8"
    )
    assert len(commands("snakemake")) >= 12
    for _, *arguments in commands("snakemake"):
        # Before a run there is nothing to touch.
        arguments = [argument for argument in arguments if argument != "--touch"]
        assert planned(run(folder, sys.executable, "-m", "snakemake", "--dry-run", *arguments)), arguments


@pytest.mark.parametrize("page", PAGES)
def test_links_and_paths_lead_somewhere(page):
    text = (PROJECT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)|<img src=\"([^\"]+)\"", text):
        path, _, anchor = "".join(target).partition("#")
        file = (PROJECT / page).parent / path if path else PROJECT / page
        headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE) if anchor else []
        anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert file.exists() and (not anchor or anchor in anchors), target
    for path in re.findall(r"`((?:tests|workflow|envs)/[\w./-]*)`", text):
        assert (PROJECT / path).exists(), path


def test_the_picture_of_the_rules_is_that_of_the_workflow():
    """Its arrows are Snakemake's, and lead from each rule to the same others; arrows that follow may be left out."""
    svg = (PROJECT / "workflow" / "pictures" / "rules.svg").read_text(encoding="utf-8")
    names = dict(re.findall(r"<title>(\d+)</title>.*?<text[^>]*>(\w+)</text>", svg, flags=re.DOTALL))
    drawn = [(names[a], names[b]) for a, b in re.findall(r"<title>(\d+)&#45;&gt;(\d+)</title>", svg)]
    dot = run(PROJECT, sys.executable, "-m", "snakemake", "--rulegraph", "--forceall")
    rules = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', dot, flags=re.MULTILINE))
    arrows = [(rules[a], rules[b]) for a, b in re.findall(r"^\s*(\d+) -> (\d+)", dot, flags=re.MULTILINE)]
    assert set(drawn) <= set(arrows)
    assert all(reached(drawn, rule) == reached(arrows, rule) for rule in rules.values())


def reached(arrows: list[tuple[str, str]], rule: str) -> set[str]:
    found = {rule}
    while new := {b for a, b in arrows if a in found} - found:
        found |= new
    return found


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))
    released = re.search(
        r"^## (\S+) \((\S+)\)$", (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert released.groups() == (citation["version"], str(citation["date-released"]))
