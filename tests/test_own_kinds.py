"""A prior, a penalty and a measure from a user's own files: the examples of config/README.md, run by Snakemake."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import planned, snakemake

pytestmark = pytest.mark.slow

RESULTS = Path("results/demo")
CELL = RESULTS / "cells/digits/dae/f2-d1-z4-s0"


def test_own_kinds_run_what_uses_them_alone(project, finished_project, tmp_path):
    folder = Path(shutil.copytree(finished_project, tmp_path / "project"))
    before = pd.read_parquet(folder / CELL / "scores/classifier.parquet")
    section = (
        (project / "config" / "README.md")
        .read_text(encoding="utf-8")
        .split("## Kinds of your own")[1]
        .split("\n## ")[0]
    )
    for path, text in re.findall(r"^```python\n# (\S+)\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    (config,) = re.findall(r"^```yaml\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    (folder / "own.yaml").write_text(
        f"{config}experiments: {{width: [{{dataset: digits, model: [dae, vae-diverges, dae-norm], filters: 2}}]}}\n"
        "run_measures: [frechet, nearest]\n",
        encoding="utf-8",
    )
    configs = ("config/demo.yaml", "tiny.yaml", "own.yaml")
    jobs = planned(snakemake(folder, "--notemp", configs=configs).stdout)
    # A prior for each of the two old cells; and a new cell for the penalty, with all four priors.
    counts = {"train": 1, "encode": 1, "latent_statistics": 1, "fit_prior": 2 + 4, "sample": 3, "score": 3}
    assert {name: jobs[name] for name in counts} == counts
    assert not set(jobs) & {"reference", "train_extractor", "prepare_dataset"}
    assert "Nothing to be done" in snakemake(folder, "-n", configs=configs).stdout

    prior, codes = np.load(folder / CELL / "priors/blurred.npz"), np.load(folder / CELL / "codes.npy")
    assert (prior["codes"] == codes).all()
    assert prior["widths"] == pytest.approx(0.2 * codes.std(axis=0), rel=1e-6)
    scores = pd.read_parquet(folder / CELL / "scores/classifier.parquet")
    nearest = scores.loc[scores["measure"] == "nearest", "value"]
    assert len(nearest) and (nearest > 0).all() and "blurred" in set(scores["comparison"])
    # Old distances are the same, to the bit.
    old = scores[scores["measure"].eq("frechet") & scores["comparison"].ne("blurred")].reset_index(drop=True)
    before = before[before["measure"] == "frechet"].reset_index(drop=True)
    pd.testing.assert_frame_equal(old, before, check_exact=True)
    table2 = (folder / RESULTS / "tables/table2.csv").read_text(encoding="utf-8")
    assert "blurred" in table2 and "nearest" not in table2
    own = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "kinds").glob("*.py")}
    record = json.loads((folder / RESULTS / "provenance.json").read_text(encoding="utf-8"))
    assert {Path(path).name: digest for path, digest in record["own_kinds"].items()} == own and len(own) == 3

    cell = folder / str(CELL).replace("dae", "dae-norm")
    history = pd.read_parquet(cell / "history.parquet")
    assert (history["norm_penalty"] > 0).all() and (history["kl"] == 0).all()
    total = history["reconstruction_loss"] + 0.01 * history["norm_penalty"]
    assert history["loss"].to_numpy() == pytest.approx(total.to_numpy(), rel=1e-6)
    assert json.loads((cell / "cell.json").read_text(encoding="utf-8"))["objective"]["penalties"]["norm"]["power"] == 2
    # The penalty makes codes smaller.
    assert np.abs(np.load(cell / "codes.npy")).mean() < np.abs(codes).mean()

    blurred = folder / "kinds" / "blurred.py"
    blurred.write_text(blurred.read_text().replace('options["width"] *', '2 * options["width"] *'))
    # As if an older file had been moved here.
    os.utime(blurred, (1, 1))
    jobs = planned(snakemake(folder, "-n", configs=configs).stdout)
    assert (jobs["fit_prior"], jobs["sample"], jobs["score"]) == (3, 3, 3)
    assert not set(jobs) & {"train", "encode", "latent_statistics", "reference"}
