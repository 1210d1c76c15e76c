"""The Vendi score against closed forms and the eigenvalues of the matrix of cosines."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import qr

from autoencoders.scores.measures import vendi


def score(features: np.ndarray) -> float:
    features = torch.from_numpy(np.asarray(features, dtype=np.float32))
    return vendi.measure(features, None, {}, prepared={}, random=None, shared={})


def test_orthonormal_rows_count_as_many_and_equal_ones_as_one():
    rows = qr(np.random.default_rng(0).normal(size=(12, 12)))[0]
    assert score(rows) == pytest.approx(12, rel=1e-6)
    # Lengths do not matter.
    assert score(rows * np.arange(1, 13)[:, None]) == pytest.approx(12, rel=1e-6)
    for copies in (1, 5, 100):
        assert score(np.repeat(rows[:1], copies, axis=0)) == pytest.approx(1, rel=1e-6)
        assert score(np.repeat(rows[:3], copies, axis=0)) == pytest.approx(3, rel=1e-6)
    # Shares of 1/4 and 3/4.
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert score(rows[[0, 1, 1, 1]]) == pytest.approx(math.exp(entropy), rel=1e-6)


@pytest.mark.parametrize("shape", [(60, 20), (20, 60), (40, 40)])
def test_both_sides_give_the_score_of_the_matrix_of_cosines(shape):
    features = np.random.default_rng(1).normal(size=shape).astype(np.float32) + 0.5
    rows = features.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    eigenvalues = np.linalg.eigvalsh(rows @ rows.T / len(rows))
    eigenvalues = eigenvalues[eigenvalues > 1e-12]
    assert score(features) == pytest.approx(math.exp(-(eigenvalues * np.log(eigenvalues)).sum()), rel=1e-9)


def test_degenerate_features():
    assert score(np.zeros((5, 8))) == pytest.approx(1)
    assert score([[0, 0], [1, 0]]) == pytest.approx(2) and score([[0, 0, 0, 0]] * 3 + [[0, 0, 0, 7]]) < 2
