"""Precision, recall, density and coverage against prdc and closed forms, and distances against differences."""

import logging
import math

import numpy as np
import pytest
import torch
from prdc import compute_prdc
from scipy.spatial import distance

from autoencoders.jobs import kinds
from autoencoders.scores import neighbours

NAMES = ("precision", "recall", "density", "coverage")


def measured(features: np.ndarray, reference: np.ndarray, k: int = 5, shared: dict | None = None) -> dict[str, float]:
    """The four measures as `score_cell` calls them."""
    features, reference = (torch.from_numpy(np.asarray(each, dtype=np.float32)) for each in (features, reference))
    shared, found = {} if shared is None else shared, {}
    for name in NAMES:
        module = kinds.load("measures", name)
        prepared = module.prepare(reference, {"k": k})
        found[name] = module.measure(features, reference, {"k": k}, prepared=prepared, random=None, shared=shared)
    return found


def draws(seed: int, *shapes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(neighbours, "ROWS", 30)
    monkeypatch.setattr(neighbours, "COLUMNS", 50)
    monkeypatch.setattr(neighbours, "PAIRS", 7)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("counts", "dimensions"), [((200, 200), 2), ((300, 170), 64), ((120, 310), 16)])
@pytest.mark.parametrize("change", [lambda x: x, lambda x: 0.7 * x + 0.3, lambda x: x + 1000])
def test_they_are_those_of_prdc(counts, dimensions, k, change, small_blocks):
    """The offset of 1,000 would leave a float32 product of the rows themselves no digit of their distances."""
    x, y = draws(0, (counts[0], dimensions), (counts[1], dimensions))
    x = change(x).astype(np.float32)
    if x.mean() > 100:
        y += 1000
    expected = compute_prdc(real_features=y.astype(np.float64), fake_features=x.astype(np.float64), nearest_k=k)
    assert expected["density"] > 0 and measured(x, y, k) == pytest.approx(expected, rel=1e-12)


def test_near_copies_are_told_from_copies(small_blocks):
    """Rows that differ by less than float32 products of rows can show, and rows that are the same."""
    x, y = draws(1, (100, 512), (100, 512))
    x[:60] = y[:60]
    x[:30, 0] += 1e-3
    x[60:70] = x[50:60]
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    expected = distance.cdist(x.astype(np.float64), y.astype(np.float64), "sqeuclidean")
    found, index = neighbours.nearest(*tensors, 1)
    assert found[:, 0].numpy() == pytest.approx(expected.min(axis=1), rel=1e-6)
    assert (index[:60, 0] == torch.arange(60)).all() and (found[30:60] == 0).all() and (found[:30] > 0).all()
    own = distance.cdist(x.astype(np.float64), x.astype(np.float64), "sqeuclidean")
    np.fill_diagonal(own, np.inf)
    found, index = neighbours.nearest(tensors[0], tensors[0], 4, same=True)
    assert found.numpy() == pytest.approx(np.sort(own, axis=1)[:, :4], rel=1e-6)
    assert (index[60:70, 0] == torch.arange(50, 60)).all()
    # Limits that differ from a distance by less than float32 can show; those of copies are 0.
    limits = torch.from_numpy(expected[:, :1].copy())
    for below, count in ((limits * (1 - 1e-6), 0), (limits * (1 + 1e-6) + 1e-30, 100)):
        pairs = [block.closer(below[block.rows]) for block in neighbours.blocks(*tensors)]
        assert sum(int((columns == 0).sum()) for _, columns in pairs) == count


def test_equal_distributions_have_density_1_and_the_coverage_of_the_formula():
    """Averages of draws, within four of their standard errors."""
    n, m, k = 150, 100, 5
    found = [measured(*draws(seed, (n, 8), (m, 8)), k) for seed in range(60)]

    def coverage(n, m):
        return 1 - math.prod((m - i) / (m + n - i) for i in range(1, k + 1))

    assert coverage(10_000, 10_000) == pytest.approx(0.969, abs=5e-4)
    for name, expected in {"density": 1, "coverage": coverage(n, m)}.items():
        values = [each[name] for each in found]
        assert abs(np.mean(values) - expected) < 4 * np.std(values) / math.sqrt(len(values)), name


def test_a_narrow_set_is_precise_and_a_wide_one_recalls():
    x, y = draws(2, (300, 8), (300, 8))
    narrow, wide = measured(0.3 * x, y), measured(3 * x, y)
    assert narrow["precision"] > 0.99 and wide["recall"] > 0.99
    assert wide["precision"] < 0.3 and narrow["recall"] < 0.3 and narrow["density"] > 1.5 > wide["density"]


def test_one_pass_serves_all_four_and_each_reference_and_k_has_its_own(monkeypatch):
    passes = []
    blocks = neighbours.blocks
    monkeypatch.setattr(neighbours, "blocks", lambda *sets: passes.append(sets) or blocks(*sets))
    x, y, z = draws(3, (50, 4), (50, 4), (50, 4))
    sets = torch.from_numpy(x), *map(torch.from_numpy, (y, z))
    radii = [neighbours.squared_radii(each, 5) for each in sets]
    passes.clear()
    shared = {}
    found = [neighbours.overlap(sets[0], sets[1], radii[1], 5, shared) for _ in range(4)]
    assert len(passes) == 2 and all(each is found[0] for each in found)
    other = neighbours.overlap(sets[0], sets[2], radii[2], 5, shared)
    assert len(passes) == 3 and not torch.equal(other.balls, found[0].balls)
    larger = neighbours.overlap(sets[0], sets[1], neighbours.squared_radii(sets[1], 6), 6, shared)
    assert (larger.balls > found[0].balls).any()


def test_degenerate_features(caplog):
    (x,) = draws(4, (40, 8))
    # Eight copies of five images each: more than k others at distance 0.
    copies = np.repeat(x[:5], 8, axis=0)
    assert set(measured(copies, copies).values()) == {0}
    assert "40 of 40 images have 5 others with the same features" in caplog.text
    # A set against itself, without such copies: every image is in the balls that it is a neighbour of, and its own.
    expected = compute_prdc(x.astype(np.float64), x.astype(np.float64), 5)
    assert measured(x, x) == pytest.approx(expected) and expected["density"] == 1 == expected["coverage"]
    constant = np.full((40, 8), 0.1)
    assert set(measured(constant, constant).values()) == {0}
    expected = compute_prdc(x.astype(np.float64), constant, 5)
    assert expected["precision"] == 1 and measured(constant, x) == pytest.approx({**expected, "recall": 0})
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for few, many in ((x[:5], x), (x, x[:5]), (x[:1], x), (x, x[:1])):
            assert all(math.isnan(value) for value in measured(few, many).values())
    assert "5 images have no 5 nearest neighbours each: use more images, or a smaller k" in caplog.text
    assert all(math.isfinite(value) for value in measured(x[:6], x).values())
