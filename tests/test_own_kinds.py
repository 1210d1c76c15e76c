"""A prior, a penalty and a measure from files of the user's: the very lines of config/README.md, run by Snakemake."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import copy_project, planned, snakemake

RESULTS = "results/demo"
CONFIGS = ("config/demo.yaml", "tiny.yaml")
CELL = "cells/digits/{}/f2-d1-z4-s0"


def examples(project) -> tuple[dict[str, str], str]:
    """The files of the page's section by their paths, and the config that uses them."""
    section = (project / "config" / "README.md").read_text().split("## Kinds of your own")[1].split("\n## ")[0]
    blocks = re.findall(r"^```python\n# (\S+)\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    (config,) = re.findall(r"^```yaml\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    return dict(blocks), config


def part(config: str, key: str) -> str:
    return "".join(line for line in config.splitlines(keepends=True) if line.startswith(f"{key}:"))


@pytest.fixture(scope="module")
def finished(project, tmp_path_factory) -> Path:
    """A project in which everything has been made once, and the files of the page, which nothing names yet."""
    folder = copy_project(project, tmp_path_factory.mktemp("finished"))
    snakemake(folder, "--notemp")
    for path, text in examples(project)[0].items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return folder


def test_each_example_has_fewer_than_fifteen_lines(project):
    files, config = examples(project)
    assert {Path(path).stem for path in files} == {"norm", "blurred", "nearest"}
    assert all(text.count("\n") < 15 for text in [*files.values(), config])


def test_a_prior_is_fitted_sampled_and_scored_and_nothing_else_runs(finished, project):
    (finished / "prior.yaml").write_text(part(examples(project)[1], "priors"))
    configs = (*CONFIGS, "prior.yaml")
    jobs = planned(snakemake(finished, "-n", configs=configs).stdout)
    assert jobs["fit_prior"] == jobs["sample"] == jobs["score"] == 2
    assert not set(jobs) & {"train", "encode", "latent_statistics", "reference", "train_extractor", "prepare_dataset"}
    snakemake(finished, "--notemp", configs=configs)
    prior = np.load(finished / RESULTS / CELL.format("dae") / "priors/blurred.npz")
    codes = np.load(finished / RESULTS / CELL.format("dae") / "codes.npy")
    assert (prior["codes"] == codes).all()
    assert prior["widths"] == pytest.approx(0.2 * codes.std(axis=0), rel=1e-6)
    scores = pd.read_parquet(finished / RESULTS / "tables/scores.parquet")
    assert set(scores.loc[scores["comparison"] == "blurred", "status"]) == {"ok", "diverged"}
    assert "blurred" in (finished / RESULTS / "tables/table2.md").read_text()
    assert "Nothing to be done" in snakemake(finished, configs=configs).stdout

    # An edit of the file, and of nothing else.
    own = finished / "kinds" / "blurred.py"
    own.write_text(own.read_text().replace('options["width"] *', '2 * options["width"] *'))
    jobs = planned(snakemake(finished, "-n", configs=configs).stdout)
    assert (jobs["fit_prior"], jobs["sample"], jobs["score"]) == (2, 2, 2)
    assert not set(jobs) & {"train", "encode", "latent_statistics", "reference"}


def test_a_measure_compares_again_and_trains_encodes_and_fits_nothing(finished, project):
    (finished / "measure.yaml").write_text(part(examples(project)[1], "measures"))
    configs = (*CONFIGS, "measure.yaml")
    before = pd.read_parquet(finished / RESULTS / CELL.format("dae") / "scores/classifier.parquet")
    jobs = planned(snakemake(finished, "-n", configs=configs).stdout)
    assert jobs["score"] == 2
    # It prepares nothing of the references.
    earlier = {"train", "encode", "fit_prior", "latent_statistics", "train_extractor", "prepare_dataset"}
    assert not set(jobs) & (earlier | {"reference"})
    snakemake(finished, "--notemp", configs=configs)
    scores = pd.read_parquet(finished / RESULTS / CELL.format("dae") / "scores/classifier.parquet")
    assert set(scores["measure"]) == {"frechet", "nearest"}
    # Those of the measure of before are the same, to the bit.
    shared = scores["measure"].eq("frechet") & scores["comparison"].isin(before["comparison"])
    pd.testing.assert_frame_equal(
        scores[shared].reset_index(drop=True),
        before[before["comparison"].isin(scores["comparison"])].reset_index(drop=True),
        check_exact=True,
    )
    assert (scores.loc[scores["measure"] == "nearest", "value"] > 0).all()
    page = (finished / RESULTS / "tables/scores.md").read_text()
    assert "The measure nearest" in page
    # No column of it where tables are of the Fréchet distance.
    assert "nearest" not in (finished / RESULTS / "tables/table2.csv").read_text()
    record = json.loads((finished / RESULTS / "provenance.json").read_text())
    own = finished / "kinds" / "nearest.py"
    assert record["own_kinds"]["kinds/nearest.py"] == hashlib.sha256(own.read_bytes()).hexdigest()


def test_a_penalty_trains_its_model_alone(finished, project):
    (finished / "penalty.yaml").write_text(
        part(examples(project)[1], "models")
        + "experiments: { width: [{ dataset: digits, model: [dae, vae-diverges, dae-norm], filters: 2 }] }\n"
    )
    configs = (*CONFIGS, "penalty.yaml")
    target = f"{RESULTS}/{CELL.format('dae-norm')}/scores/classifier.parquet"
    jobs = planned(snakemake(finished, "-n", "all_scores", configs=configs).stdout)
    assert (jobs["train"], jobs["encode"], jobs["fit_prior"]) == (1, 1, 3)
    snakemake(finished, target, configs=configs)
    cell = finished / RESULTS / CELL.format("dae-norm")
    history = pd.read_parquet(cell / "history.parquet")
    assert (history["norm_penalty"] > 0).all() and (history["kl"] == 0).all()
    assert history["loss"].to_numpy() == pytest.approx(
        (history["reconstruction_loss"] + 0.01 * history["norm_penalty"]).to_numpy(), rel=1e-6
    )
    record = json.loads((cell / "cell.json").read_text())
    assert record["objective"]["penalties"] == {"norm": {"kind": "kinds/norm.py", "weight": 0.01, "power": 2}}
    # It pulls codes together.
    norms = [
        np.abs(np.load(finished / RESULTS / CELL.format(model) / "codes.npy")).mean() for model in ("dae", "dae-norm")
    ]
    assert norms[1] < norms[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("priors: { mine: { kind: kinds/missing.py } }", "priors.mine.kind: there is no file 'kinds/missing.py'"),
        (
            "priors: { mine: { kind: kinds/blurred.py, widht: 1 } }",
            "priors.mine.widht is not a key. Did you mean 'width'?",
        ),
        ("priors: { mine: { kind: kinds/blurred.py, width: wide } }", "priors.mine.width: 'wide' can't be used here"),
        ("priors: { mine: { kind: kinds/norm.py } }", "has no function 'fit'"),
        ("measures: { mine: { kind: kinds/nearest.py, k: 3 } }", "measures.mine.k is not a key"),
        ("models: { dae: { penalties: { mine: { kind: kinds/norm.py } } } }", "lacks the key 'weight'"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_before_any_job(finished, change, message):
    (finished / "wrong.yaml").write_text(change)
    done = snakemake(finished, "-n", configs=(*CONFIGS, "wrong.yaml"), check=False)
    assert done.returncode != 0
    assert message in done.stdout, done.stdout
    assert "Traceback" not in done.stdout and "Job stats" not in done.stdout
