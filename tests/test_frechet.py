"""The Fréchet distance against closed forms, scipy's matrix root and pytorch-fid's own function.

Tolerances are relative. Measured over several seeds: 8e-12 against scipy's root where both covariances have full rank
(tolerance 1e-10), 8e-8 where one is singular (1e-6): a zero eigenvalue is then off by rounding, 1e-16, and its root by
1e-8, in scipy's root as in ours. Random shapes against pytorch-fid: 1.7e-8 (2e-7).
"""

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from scipy import linalg

from autoencoders.jobs.errors import UserError
from autoencoders.scores.float64 import float64_device
from autoencoders.scores.measures.frechet import (
    Statistics,
    covariance_root,
    frechet_distance,
    measure,
    prepare,
    statistics,
)

# pytorch-fid asks scipy's sqrtm for its error estimate, which scipy 1.18 drops; singular products are meant here.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The `disp` argument:DeprecationWarning", "ignore::scipy.linalg.LinAlgWarning"
)


def features(rng: np.random.Generator, count: int, dimensions: int) -> torch.Tensor:
    """Correlated features with a mean, their scales spread over an order of magnitude: float64 (count, dimensions)."""
    mixing = rng.normal(size=(dimensions, dimensions)) * np.logspace(-0.5, 0.5, dimensions)
    correlated = rng.normal(size=(count, dimensions)) @ mixing / np.sqrt(dimensions)
    return torch.from_numpy(correlated + rng.normal(size=dimensions))


def distance(first: Statistics, second: Statistics) -> float:
    return frechet_distance(first, covariance_root(first.covariance), second)


def trace_of_root(first: Statistics, second: Statistics) -> float:
    """tr (Σ₁Σ₂)^½ by our distance: what is left of d² without the means and the two traces."""
    zero = torch.zeros_like(first.mean)
    d2 = distance(first._replace(mean=zero), second._replace(mean=zero))
    return (np.trace(first.covariance) + np.trace(second.covariance) - d2) / 2


def test_apples_gpus_have_no_float64_and_leave_it_to_the_cpu():
    assert float64_device(torch.device("mps")) == torch.device("cpu")
    for device in (torch.device("cpu"), torch.device("cuda", 1)):
        assert float64_device(device) == device


def test_statistics_are_those_of_numpy_in_float64():
    # float32 arithmetic would be wrong in the fourth digit: the offset is 1e4 times the spread.
    x = (np.random.default_rng(0).normal(size=(50, 7)) + 1e4).astype(np.float32)
    result = statistics(torch.from_numpy(x))
    assert result.mean.dtype == result.covariance.dtype == torch.float64
    np.testing.assert_allclose(result.mean, x.astype(np.float64).mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(result.covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("count", [0, 1])
def test_statistics_refuse_fewer_than_two_images(count):
    with pytest.raises(UserError, match=rf"at least two images on each side, not {count}\b.*scoring.images"):
        statistics(torch.zeros(count, 3))


@pytest.mark.parametrize("rotated", [False, True])
def test_commuting_covariances_are_independent_dimensions(rotated):
    """d² = Σ (μ₁ - μ₂)² + (σ₁ - σ₂)², in any rotation, singular covariances included, and the same both ways."""
    rng = np.random.default_rng(2)
    means, deviations = rng.normal(size=(2, 30)), rng.uniform(0, 5, size=(2, 30))
    deviations[0, :10] = 0.0
    rotation = linalg.qr(rng.normal(size=(30, 30)))[0] if rotated else np.eye(30)
    first, second = (
        Statistics(torch.from_numpy(rotation @ mean), torch.from_numpy(rotation * deviation**2 @ rotation.T))
        for mean, deviation in zip(means, deviations, strict=True)
    )
    expected = np.sum((means[0] - means[1]) ** 2 + (deviations[0] - deviations[1]) ** 2)
    assert distance(first, second) == pytest.approx(expected, rel=1e-7 if rotated else 1e-13)
    assert distance(second, first) == pytest.approx(expected, rel=1e-7 if rotated else 1e-13)


@pytest.mark.parametrize(
    ("counts", "dimensions", "tolerance"),
    [((400, 300), 10, 1e-10), ((1000, 900), 128, 1e-10), ((30, 1000), 64, 1e-6), ((2, 40), 64, 1e-6)],
)
def test_trace_equals_that_of_scipys_root(counts, dimensions, tolerance):
    rng = np.random.default_rng(6)
    first, second = (statistics(features(rng, count, dimensions)) for count in counts)
    expected = np.trace(linalg.sqrtm((first.covariance @ second.covariance).numpy())).real
    assert trace_of_root(first, second) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("counts", [(500, 400), (20, 30), (2, 40)])
def test_trace_equals_the_nuclear_norm_of_the_features_product(counts):
    """tr (Σ₁Σ₂)^½ = Σ singular values of X₁X₂ᵀ / √((N₁-1)(N₂-1)), X centred: exact where covariances are singular."""
    rng = np.random.default_rng(7)
    first, second = (features(rng, count, 100) for count in counts)
    product = (first - first.mean(dim=0)) @ (second - second.mean(dim=0)).T
    expected = linalg.svdvals(product.numpy()).sum() / np.sqrt((counts[0] - 1) * (counts[1] - 1))
    assert trace_of_root(statistics(first), statistics(second)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["eigh", "eigvalsh"])
def test_where_a_gpus_solver_fails_the_cpus_solves_it_once(name, monkeypatch, caplog):
    first, second = (statistics(features(np.random.default_rng(seed), 30, 40)) for seed in (1, 2))
    expected, solver = distance(first, second), getattr(torch.linalg, name)
    # The first call stands for the GPU's.
    failing = iter([True, False, True, True])

    def sometimes(matrix: torch.Tensor):
        if next(failing):
            raise torch.linalg.LinAlgError(f"linalg.{name}: The algorithm failed to converge")
        assert matrix.device.type == "cpu"
        return solver(matrix)

    monkeypatch.setattr(torch.linalg, name, sometimes)
    assert distance(first, second) == expected
    assert len(caplog.messages) == 1 and "failed to converge" in caplog.text
    with pytest.raises(torch.linalg.LinAlgError):
        distance(first, second)


@pytest.mark.gpu
def test_the_distance_on_a_gpu_is_the_cpus():
    first, second = (statistics(features(np.random.default_rng(seed), 30, 40)) for seed in (1, 2))
    on_gpu = (Statistics(*(tensor.cuda() for tensor in each)) for each in (first, second))
    assert distance(*on_gpu) == pytest.approx(distance(first, second), rel=1e-6)


def test_the_measure_of_random_shapes_is_pytorch_fids_distance():
    """Of features in float32, as extractors have them, with a reference that was prepared once."""
    rng = np.random.default_rng(8)
    for _ in range(60):
        # From two on: of a 1×1 matrix scipy's sqrtm does not give the two values that pytorch-fid unpacks.
        dimensions, counts = int(rng.integers(2, 65)), rng.integers(2, 130, size=2)
        reference, found = (features(rng, count, dimensions).float() for count in counts)
        prepared = prepare(reference, {})
        assert set(prepared) == {"mean", "covariance", "root"}
        assert all(tensor.dtype == torch.float64 for tensor in prepared.values())
        ours = measure(found, reference, {}, prepared=prepared, random=None)
        arrays = [x.double().numpy() for x in (reference, found)]
        moments = [(x.mean(axis=0), np.cov(x, rowvar=False)) for x in arrays]
        assert isinstance(ours, float)
        assert ours == pytest.approx(calculate_frechet_distance(*moments[0], *moments[1]), rel=2e-7), counts
