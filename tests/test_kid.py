"""The kernel distance by hand, against torch-fidelity's functions, and between equal distributions."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kernel_mmd, kid_features_to_metric

from autoencoders.jobs.errors import UserError
from autoencoders.scores.measures import kid


def distance(features: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """The measure as `score_cell` calls it, of features that are float32."""
    features, reference = (torch.from_numpy(np.asarray(each, dtype=np.float32)) for each in (features, reference))
    return kid.measure(features, reference, {}, prepared=kid.prepare(reference, {}), random=None, shared={})


def by_loops(x: np.ndarray, y: np.ndarray) -> float:
    """The squared discrepancy as Bińkowski et al. write it."""

    def mean(first, second, pairs):
        return np.mean([(first[i] @ second[j] / x.shape[1] + 1) ** 3 for i, j in pairs])

    own = [mean(z, z, itertools.permutations(range(len(z)), 2)) for z in (x, y)]
    return sum(own) - 2 * mean(x, y, itertools.product(range(len(x)), range(len(y))))


@pytest.mark.parametrize("counts", [(7, 9), (30, 21), (2, 5), (3, 2)])
def test_the_value_is_that_of_loops_over_all_pairs(counts, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(count, 5)).astype(np.float32) for count in counts)
    expected = by_loops(x.astype(np.float64), y.astype(np.float64))
    value, error = distance(x, y)
    assert value == pytest.approx(expected, rel=1e-12)
    assert math.isnan(error) == (min(counts) < 4)
    monkeypatch.setattr(kid, "ROWS", 2)
    assert distance(x, y)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shift", [0, 0.1])
def test_it_is_the_expectation_of_torch_fidelitys_random_subsets(shift):
    """Given the features, its 100 subsets are independent draws with this expectation: its mean is within three
    standard errors, std / √100.
    """
    rng = np.random.default_rng(1)
    x, y = np.abs(rng.normal(size=(2, 2000, 256))).astype(np.float32)
    x += np.float32(shift)
    arguments = {"kid_subsets": 100, "kid_subset_size": 1000, "rng_seed": 2020, "verbose": False}
    theirs = kid_features_to_metric(torch.from_numpy(x), torch.from_numpy(y), **arguments)
    mean, deviation = (theirs[f"kernel_inception_distance_{key}"] for key in ("mean", "std"))
    value, _ = distance(x, y)
    assert abs(value - mean) < 3 * deviation / math.sqrt(100)
    assert shift == 0 or value > 100 * deviation / math.sqrt(100)


@pytest.mark.parametrize(("counts", "parts"), [((100, 100), 10), ((300, 50), 10), ((8, 100), 4), ((100, 5), 2)])
def test_the_error_is_that_of_disjoint_subsets(counts, parts):
    rng = np.random.default_rng(2)
    # Whole numbers, different in every row, tell which rows a subset has.
    x, y = (torch.arange(count * 4.0).reshape(count, 4) / 100 for count in counts)
    x = x + torch.from_numpy(rng.normal(size=x.shape)).float()
    subsets = [kid.subsets(each, seed) for each, seed in ((x, 1), (y, 0))]
    for each, subset in zip((x, y), subsets, strict=True):
        assert min(map(len, subset)) >= 2 and len(subset) == min(10, len(each) // 2)
        assert torch.equal(torch.cat(subset).sort(dim=0).values, each.double().sort(dim=0).values)
    if len(set(map(len, subsets[0] + subsets[1]))) == 1:
        values = [kernel_mmd(a.numpy(), b.numpy()) for a, b in zip(*subsets, strict=True)]
    else:
        values = [by_loops(a.numpy(), b.numpy()) for a, b in zip(*subsets, strict=False)]
    assert len(values) == parts
    _, error = distance(x, y)
    assert error == pytest.approx(np.std(values, ddof=1) / math.sqrt(parts), rel=1e-9)


def test_equal_distributions_give_zero_within_the_error_and_others_do_not():
    rng = np.random.default_rng(3)
    ratios = []
    for _ in range(40):
        value, error = distance(*rng.normal(size=(2, 200, 16)))
        ratios.append(value / error)
    # An error that is √10 times the statistic's standard deviation; a mean of 0 within 3 of its standard errors.
    assert abs(np.mean(ratios)) < 3 * np.std(ratios) / math.sqrt(40)
    assert max(map(abs, ratios)) < 2 and 0.1 < np.std(ratios) < 0.7
    value, error = distance(rng.normal(size=(200, 16)) + 1, rng.normal(size=(200, 16)))
    assert value > 10 * error


def test_a_set_is_compared_with_several_references_and_with_itself_once(monkeypatch):
    sums = []
    own_sums = kid.own_sums
    monkeypatch.setattr(kid, "own_sums", lambda parts: sums.append(parts) or own_sums(parts))
    rng = np.random.default_rng(4)
    x, *references = (torch.from_numpy(rng.normal(size=(40, 8))).float() for _ in range(3))
    shared = {}
    for reference in references:
        prepared = kid.prepare(reference, {})
        count = len(sums)
        found = kid.measure(x, reference, {}, prepared=prepared, shared=shared)
        assert len(sums) - count == (reference is references[0])
        assert found == kid.measure(x, reference, {}, prepared=prepared, shared={})


def test_degenerate_features():
    same = np.full((50, 8), 0.3)
    assert distance(same, same) == (pytest.approx(0, abs=1e-12), pytest.approx(0, abs=1e-12))
    assert distance(np.zeros((50, 8)), np.zeros((50, 8))) == (0, 0)
    for counts in ((1, 50), (50, 1)):
        with pytest.raises(UserError, match=r"at least two images on each side, not 1: raise scoring.images"):
            distance(*(np.ones((count, 8)) for count in counts))
