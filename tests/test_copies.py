"""Copies of training images: copy rate and authenticity by their definitions, and a generator that only copies."""

import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from running import planned, snakemake
from scipy.spatial import distance

from autoencoders.scores import neighbours
from autoencoders.scores.measures import authenticity, copy_rate, frechet


def draws(seed: int, *shapes: tuple[int, int]) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(size=shape)).float() for shape in shapes]


def measured(module, features: torch.Tensor, training: torch.Tensor, test: torch.Tensor) -> tuple[float, float]:
    """The measure as `score_cell` calls it, and the test images' own."""
    prepared = module.prepare_training(training, test, {})
    value = module.measure(features, training, {}, prepared=prepared, random=None, shared={})
    return value, float(prepared["baseline"])


def test_they_are_what_their_definitions_say(monkeypatch):
    monkeypatch.setattr(neighbours, "ROWS", 30)
    monkeypatch.setattr(neighbours, "COLUMNS", 50)
    training, test, features = draws(0, (230, 6), (210, 6), (120, 6))
    features[:40] = training[:40] + 0.05 * features[:40]
    to_training = {name: distance.cdist(each, training) for name, each in {"x": features, "test": test}.items()}
    own = distance.cdist(training, training) + np.diag([np.inf] * len(training))
    limit = np.quantile(to_training["test"].min(axis=1) ** 2, 0.01)
    close = {name: np.mean(each.min(axis=1) ** 2 < limit) for name, each in to_training.items()}
    assert measured(copy_rate, features, training, test) == pytest.approx((close["x"], close["test"]))
    assert close["x"] > 0.3 and close["test"] == pytest.approx(0.01, abs=1 / len(test))
    authentic = {
        name: np.mean(each.min(axis=1) > own.min(axis=1)[each.argmin(axis=1)]) for name, each in to_training.items()
    }
    assert measured(authenticity, features, training, test) == pytest.approx((authentic["x"], authentic["test"]))
    assert authentic["x"] < authentic["test"] < 1


def test_a_generator_of_copies_is_rewarded_by_the_frechet_distance_and_caught():
    training, test, honest, noise = draws(1, (2000, 16), (2000, 16), (2000, 16), (2000, 16))
    # It has learnt the distribution, but for a slightly too small spread; the other copies, with a little noise.
    honest, copies = 0.95 * honest, training + 0.02 * noise
    prepared = frechet.prepare(test, {})
    distances = [frechet.measure(each, test, {}, prepared=prepared) for each in (copies, honest)]
    assert distances[0] < distances[1]
    (rate, usual), (honest_rate, _) = (measured(copy_rate, each, training, test) for each in (copies, honest))
    assert rate == 1 and usual == 0.01 and honest_rate < 0.05
    (share, usual), (honest_share, _) = (measured(authenticity, each, training, test) for each in (copies, honest))
    assert share < 0.01 and usual > 0.5 and honest_share > usual - 0.1


def test_images_of_the_test_images_distribution_score_as_these(monkeypatch):
    monkeypatch.setattr(copy_rate, "QUANTILE", 0.1)
    training, test, more = draws(2, (1500, 8), (1500, 8), (1500, 8))
    for module, deviation in ((copy_rate, math.sqrt(2 * 0.1 * 0.9 / 1500)), (authenticity, math.sqrt(0.5 / 1500))):
        value, usual = measured(module, more, training, test)
        assert abs(value - usual) < 4 * deviation


def test_degenerate_features(caplog):
    training, test = draws(3, (60, 4), (100, 4))
    # The training images twice: each has a copy at distance 0, and everything but a copy is authentic.
    twice = torch.cat([training, training])
    assert measured(authenticity, training, twice, test) == (0, 1)
    test[:2] = training[:2]
    value, usual = measured(copy_rate, training, training, test)
    assert math.isnan(value) and math.isnan(usual)
    assert "more than 1% of the test images are copies of training images: no copy rate" in caplog.text
    same = torch.full((20, 4), 0.1)
    assert measured(authenticity, same, same, same) == (0, 0)
    assert measured(authenticity, training[:1], training, test)[0] in (0, 1)


def test_one_search_serves_both(monkeypatch):
    training, test, features = draws(4, (50, 4), (50, 4), (50, 4))
    modules = {module: module.prepare_training(training, test, {}) for module in (copy_rate, authenticity)}
    searches, shared = [], {}
    nearest = neighbours.nearest
    monkeypatch.setattr(neighbours, "nearest", lambda *sets: searches.append(sets) or nearest(*sets))
    for module, prepared in modules.items():
        module.measure(features, training, {}, prepared=prepared, shared=shared)
    assert len(searches) == 1


@pytest.mark.slow
def test_added_to_a_finished_run_they_decode_and_compare_alone(finished_project, tmp_path):
    folder = Path(shutil.copytree(finished_project, tmp_path / "project"))
    added = "run_measures: [frechet, copy_rate, authenticity]\n"
    (folder / "added.yaml").write_text(added, encoding="utf-8")
    configs = ("config/demo.yaml", "tiny.yaml", "added.yaml")
    jobs = planned(snakemake(folder, configs=configs).stdout)
    # The finished run has kept its image sets.
    assert (jobs["reference"], jobs["score"]) == (1, 2)
    assert not set(jobs) & {"prepare_dataset", "train", "train_extractor", "encode", "fit_prior", "redraw"}
    assert "Nothing to be done" in snakemake(folder, "-n", configs=configs).stdout
    results = folder / "results/demo"
    scores = pd.read_parquet(results / "tables/scores.parquet").query("status == 'ok'")
    for name in ("copy_rate", "authenticity"):
        rows = scores[scores["measure"] == name].set_index("comparison")
        assert set(rows["reference_images"]) == {800} and set(rows["images"]) == {300}
        assert rows["value"].between(0, 1).all() and "test_images" in rows.index
    assert scores.query("measure == 'copy_rate' and comparison == 'test_images'")["value"].item() == 0.01
    page = (results / "tables/scores.md").read_text(encoding="utf-8")
    assert "300 images with 800" in page and "Test images" in page
