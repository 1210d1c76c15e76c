"""The workflow as a module of another one: the outer Snakefile of the documentation, with a config of its own."""

import re
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from running import copy_project, laid_over

pytestmark = pytest.mark.slow

MINE = {
    "pathvars": {"results": "results/mine"},
    "run": ["mine"],
    "experiments": {"mine": [{"dataset": "digits", "model": "dae", "filters": 3}]},
}


@pytest.fixture
def outer(project, tmp_path):
    """A folder with the documented Snakefile, a clone of the workflow in vae/, and a config laid over the paper's."""
    (tmp_path / "vae").mkdir()
    copy_project(project, tmp_path / "vae")
    pages = [project / "README.md", project / "workflow" / "README.md"]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    (block,) = (block for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S) if "module vae" in block)
    (tmp_path / "Snakefile").write_text(block, encoding="utf-8")
    parts = [
        yaml.safe_load((tmp_path / name).read_text(encoding="utf-8"))
        for name in ("vae/config/demo.yaml", "vae/tiny.yaml")
    ]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(laid_over(*parts, MINE)), encoding="utf-8")
    return tmp_path


def run(folder, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", *arguments, "--resources", "gpu=0"],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.mark.parametrize("prefix", ["", "sub/"])
def test_the_outer_workflow_computes_from_this_ones_tables(outer, prefix):
    """A prefix of the module moves results and nothing else."""
    snakefile = outer / "Snakefile"
    text = snakefile.read_text(encoding="utf-8").replace("results/mine/", f"{prefix}results/mine/")
    if prefix:
        text = text.replace("    config:", f'    prefix: "{prefix}"\n    config:', 1)
    snakefile.write_text(text, encoding="utf-8")
    targets = ["mixtures.csv", f"{prefix}results/mine/tables/costs.parquet", f"{prefix}results/mine/provenance.html"]
    done = run(outer, *targets)
    assert done.returncode == 0, done.stdout[-3000:]
    tables = outer / prefix / "results" / "mine" / "tables"
    scores = pd.read_parquet(tables / "scores.parquet")
    rows = pd.read_csv(outer / "mixtures.csv", header=None, names=list(scores))
    assert set(scores["filters"]) == {3} and set(scores["model"]) == {"dae"}
    mixtures = scores.loc[scores["comparison"] == "gmm", "value"]
    assert rows["value"].tolist() == pytest.approx(mixtures.tolist())
    assert (pd.read_parquet(tables / "costs.parquet")["job_seconds"] > 0).all()
    assert not (outer / "vae" / "results").exists() and (outer / "results").exists() == (not prefix)
    assert "Nothing to be done" in run(outer, *targets).stdout


def test_the_outer_config_is_checked_and_an_address_is_refused(outer):
    mine = outer / "mine.yaml"
    before = mine.read_text(encoding="utf-8")
    mine.write_text(before + "epochs: 3\n", encoding="utf-8")
    # That of the outer workflow, which this one does not read.
    (outer / "config").mkdir()
    (outer / "config" / "config.yaml").touch()
    done = run(outer, "--dry-run")
    assert done.returncode == 1 and "the config can't be used" in done.stdout and "epochs" in done.stdout
    assert "config.yaml was read in" not in done.stdout
    mine.write_text(before, encoding="utf-8")
    # Snakemake fetches single files from an address, without the package that scripts import.
    git = ["git", "-C", str(outer), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "vae"], ["commit", "-qm", "vae"], ["branch", "-M", "main"]):
        subprocess.run([*git, *command], check=True)
    snakefile = outer / "Snakefile"
    snakefile.write_text(
        snakefile.read_text(encoding="utf-8").replace('"vae/Snakefile"', f'"git+file://{outer}/vae/Snakefile@main"'),
        encoding="utf-8",
    )
    done = run(outer, "--dry-run")
    assert done.returncode == 1 and "this workflow runs from a clone" in done.stdout
