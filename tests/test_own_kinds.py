"""A prior, a penalty and a measure from a user's own files: the examples of config/README.md, run by Snakemake."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import copy_project, planned, snakemake

pytestmark = pytest.mark.slow

RESULTS = Path("results/demo")
CONFIGS = ("config/demo.yaml", "tiny.yaml")
CELL = RESULTS / "cells/digits/dae/f2-d1-z4-s0"


@pytest.fixture(scope="module")
def finished(project, tmp_path_factory) -> Path:
    """A finished project with the page's files, and a config for each key of the page's example."""
    folder = copy_project(project, tmp_path_factory.mktemp("finished"))
    snakemake(folder, "--notemp")
    section = (project / "config" / "README.md").read_text().split("## Kinds of your own")[1].split("\n## ")[0]
    for path, text in re.findall(r"^```python\n# (\S+)\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    (config,) = re.findall(r"^```yaml\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    for line in config.splitlines(keepends=True):
        (folder / f"{line.split(':')[0]}.yaml").write_text(line)
    return folder


def test_a_prior_is_fitted_sampled_and_scored_and_nothing_else_runs(finished):
    configs = (*CONFIGS, "priors.yaml")
    jobs = planned(snakemake(finished, "--notemp", configs=configs).stdout)
    assert jobs["fit_prior"] == jobs["sample"] == jobs["score"] == 2
    assert not set(jobs) & {"train", "encode", "latent_statistics", "reference", "train_extractor", "prepare_dataset"}
    prior, codes = np.load(finished / CELL / "priors/blurred.npz"), np.load(finished / CELL / "codes.npy")
    assert (prior["codes"] == codes).all()
    assert prior["widths"] == pytest.approx(0.2 * codes.std(axis=0), rel=1e-6)
    scores = pd.read_parquet(finished / RESULTS / "tables/scores.parquet")
    assert set(scores.loc[scores["comparison"] == "blurred", "status"]) == {"ok", "diverged"}
    assert "blurred" in (finished / RESULTS / "tables/table2.md").read_text()
    # An edit of the file, and nothing else.
    own = finished / "kinds" / "blurred.py"
    own.write_text(own.read_text().replace('options["width"] *', '2 * options["width"] *'))
    jobs = planned(snakemake(finished, "-n", configs=configs).stdout)
    assert (jobs["fit_prior"], jobs["sample"], jobs["score"]) == (2, 2, 2)
    assert not set(jobs) & {"train", "encode", "latent_statistics", "reference"}


def test_a_measure_compares_again_and_trains_encodes_and_fits_nothing(finished):
    before = pd.read_parquet(finished / CELL / "scores/classifier.parquet")
    jobs = planned(snakemake(finished, "--notemp", configs=(*CONFIGS, "measures.yaml")).stdout)
    assert jobs["score"] == 2
    earlier = {"train", "encode", "fit_prior", "latent_statistics", "train_extractor", "prepare_dataset"}
    # Its kind prepares nothing of the references.
    assert not set(jobs) & (earlier | {"reference"})
    scores = pd.read_parquet(finished / CELL / "scores/classifier.parquet")
    assert (scores.loc[scores["measure"] == "nearest", "value"] > 0).all()
    # Frechet distances are the same as before, to the bit.
    shared = scores["measure"].eq("frechet") & scores["comparison"].isin(before["comparison"])
    pd.testing.assert_frame_equal(
        scores[shared].reset_index(drop=True),
        before[before["comparison"].isin(scores["comparison"])].reset_index(drop=True),
        check_exact=True,
    )
    assert "nearest" in (finished / RESULTS / "tables/scores.md").read_text()
    assert "nearest" not in (finished / RESULTS / "tables/table2.csv").read_text()
    record = json.loads((finished / RESULTS / "provenance.json").read_text())
    own = finished / "kinds" / "nearest.py"
    assert record["own_kinds"]["kinds/nearest.py"] == hashlib.sha256(own.read_bytes()).hexdigest()


def test_a_penalty_trains_its_model_alone(finished):
    (finished / "experiment.yaml").write_text(
        "experiments: { width: [{ dataset: digits, model: [dae, vae-diverges, dae-norm], filters: 2 }] }\n"
    )
    configs = (*CONFIGS, "models.yaml", "experiment.yaml")
    cell = Path(str(CELL).replace("dae", "dae-norm"))
    jobs = planned(snakemake(finished, str(cell / "codes.npy"), configs=configs).stdout)
    assert jobs == {"train": 1, "encode": 1}
    history = pd.read_parquet(finished / cell / "history.parquet")
    assert (history["norm_penalty"] > 0).all() and (history["kl"] == 0).all()
    assert history["loss"].to_numpy() == pytest.approx(
        (history["reconstruction_loss"] + 0.01 * history["norm_penalty"]).to_numpy(), rel=1e-6
    )
    record = json.loads((finished / cell / "cell.json").read_text())
    assert record["objective"]["penalties"] == {"norm": {"kind": "kinds/norm.py", "weight": 0.01, "power": 2}}
    # It makes codes smaller.
    with_penalty, without = (np.abs(np.load(finished / path / "codes.npy")).mean() for path in (cell, CELL))
    assert with_penalty < without
