"""Priors against scikit-learn and the moments that their samples must have."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from autoencoders.jobs.errors import UserError
from autoencoders.latent import priors
from autoencoders.latent.coding import midpoints
from autoencoders.latent.mixtures import sample_prior
from autoencoders.latent.priors import fit_prior, start_from_labels

GMM = {"kind": "gmm", "components": 3, "tol": 1e-3, "reg_covar": 1e-6, "max_iter": 2000}
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")


@pytest.fixture
def codes() -> np.ndarray:
    """Three well separated, correlated clusters in four dimensions."""
    random = np.random.default_rng(0)
    mix = random.normal(size=(3, 4, 4))
    return np.concatenate([random.normal(size=(400, 4)) @ mix[k] + 20 * k for k in range(3)]).astype(np.float32)


def test_mvg_is_the_mean_and_the_full_covariance_in_float64(codes):
    prior = fit_prior(codes, {"kind": "mvg"}, seed=0)
    np.testing.assert_allclose(prior["means"][0], codes.astype(np.float64).mean(0), rtol=1e-12)
    np.testing.assert_allclose(prior["covariances"][0], np.cov(codes.astype(np.float64).T), rtol=1e-12)
    assert prior["covariances"].dtype == np.float64


@pytest.fixture(params=[None, "cpu", pytest.param("cuda", marks=NEEDS_CUDA)], ids=["numpy", "cpu", "cuda"])
def device(request) -> str | None:
    """Where EM runs: in NumPy, or on one of PyTorch's devices."""
    return request.param


def overlapping(units: int) -> np.ndarray:
    """Correlated, with long tails: components lie one in another, and EM takes dozens of iterations."""
    random = np.random.default_rng(1)
    return random.normal(size=(1500, units)) @ random.normal(size=(units, units)) * random.gamma(2, size=(1500, 1))


def layer_normalised(units: int) -> np.ndarray:
    """One direction has no variance but that of float32 rounding."""
    codes = overlapping(units)
    codes -= codes.mean(1, keepdims=True)
    return codes / codes.std(1, keepdims=True)


def collapsed(units: int) -> np.ndarray:
    """Half of a VAE's units have 1e-4 of the others' variance."""
    return overlapping(units) * np.where(np.arange(units) % 2, 1, 1e-2)


def scikit_learns(codes: np.ndarray, max_iter: int = 2000, tol: float = 1e-3) -> GaussianMixture:
    model = GaussianMixture(3, tol=tol, reg_covar=1e-6, max_iter=max_iter, random_state=4)
    return model.fit(codes.astype(np.float64))


# Where the covariance's condition number is 1e6, scikit-learn itself gives only these digits for the rows in another
# order.
@pytest.mark.parametrize(
    ("make", "units", "rtol"),
    [(overlapping, 3, 1e-10), (overlapping, 40, 1e-10), (collapsed, 16, 1e-10), (layer_normalised, 16, 1e-7)],
)
def test_gmm_is_scikit_learns(make, units, rtol, device):
    codes = make(units).astype(np.float32)
    prior, model = fit_prior(codes, GMM, seed=4, device=device), scikit_learns(codes)
    assert model.n_iter_ > 12, "this should take more iterations than EM is asked for at once"
    assert (prior["converged"], prior["iterations"]) == (True, model.n_iter_)
    for key in ("weights", "means", "covariances"):
        expected = getattr(model, f"{key}_")
        assert prior[key].dtype == np.float64
        np.testing.assert_allclose(prior[key], expected, rtol=0, atol=rtol * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_the_start_of_em_is_scikit_learns(device):
    # Two different codes for three components: the third one's label has none.
    two = np.repeat(np.random.default_rng(0).normal(size=(2, 4)), 50, axis=0)
    for codes, rtol in ((overlapping(16), 1e-12), (layer_normalised(16), 1e-8), (two, 1e-12)):
        labels = KMeans(3, n_init=1, random_state=4).fit(codes).labels_
        xp = np if device is None else torch
        start = start_from_labels(xp, *(xp.asarray(array, device=device) for array in (codes, labels)), 3, 1e-6)
        model = scikit_learns(codes, max_iter=0)
        for found, expected in zip(start, (model.weights_, model.means_, model.precisions_cholesky_), strict=True):
            found = found if device is None else found.numpy(force=True)
            np.testing.assert_allclose(found, expected, rtol=0, atol=rtol * np.abs(expected).max())


def test_gmm_has_the_same_bits_for_the_same_seed(device):
    codes = overlapping(8).astype(np.float32)
    first, again, other = (fit_prior(codes, GMM, seed, device) for seed in (4, 4, 5))
    for key in first:
        np.testing.assert_array_equal(first[key], again[key])
    assert not np.array_equal(first["means"], other["means"])


def test_gmm_is_numpys_on_apples_gpu_which_has_no_float64():
    found, expected = (fit_prior(overlapping(8), GMM, 4, device) for device in ("mps", None))
    np.testing.assert_array_equal(found["covariances"], expected["covariances"])


@pytest.mark.parametrize("max_iter", [1, 7, 11, 16, 2000])
def test_em_a_few_iterations_at_a_time_is_em_at_once_to_the_bit(max_iter, device, monkeypatch):
    codes = overlapping(8)
    found = fit_prior(codes, {**GMM, "max_iter": max_iter}, 4, device)

    def at_once(model, codes, max_iter, *_):
        model.max_iter = max_iter
        return model.fit(codes).n_iter_

    monkeypatch.setattr(priors, "run_em", at_once)
    expected = fit_prior(codes, {**GMM, "max_iter": max_iter}, 4, device)
    assert found["converged"] == (max_iter == 2000)
    assert found["iterations"] == max_iter or found["converged"]
    for key in expected:
        np.testing.assert_array_equal(found[key], expected[key])


def test_em_takes_a_second_iteration_whatever_the_tolerance(device):
    prior = fit_prior(overlapping(8), {**GMM, "tol": 1e9}, seed=4, device=device)
    assert prior["iterations"] == scikit_learns(overlapping(8), tol=1e9).n_iter_ == 2


def test_gmm_that_does_not_converge_says_so(caplog, recwarn, device):
    random = np.random.default_rng(0).normal(size=(300, 4))
    prior = fit_prior(random, {**GMM, "max_iter": 12, "tol": 1e-12}, seed=0, device=device)
    assert (prior["converged"], prior["iterations"]) == (False, 12)
    assert caplog.text.count("did not converge") == 1
    assert not recwarn.list


@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
def test_a_slow_fit_says_how_far_it_is(caplog, monkeypatch, device):
    caplog.set_level("INFO")
    # A clock on which every call of scikit-learn's fit takes 30 seconds.
    clock = itertools.count(0, 30)
    monkeypatch.setattr(priors.time, "monotonic", lambda: next(clock))
    fit_prior(overlapping(8), {**GMM, "max_iter": 13, "tol": 1e-12}, seed=4, device=device)
    lines = [message for message in caplog.messages if message.startswith("EM: ")]
    assert [line.split(",")[0] for line in lines] == [f"EM: iteration {done}" for done in (1, 11, 13)]
    assert "iteration 1, 30 s each" in lines[0] and "at most 0:06:00 left" in lines[0]
    assert "iteration 11, 5.5 s each" in lines[1] and "at most 0:00:11 left" in lines[1]
    bounds = [scikit_learns(overlapping(8), max_iter, tol=1e-12).lower_bound_ for max_iter in (1, 11)]
    assert f"rises by {(bounds[1] - bounds[0]) / 10:.2g} in one, below 1e-12 is the end" in lines[1]


def test_lines_of_a_fit_are_ten_seconds_apart(caplog, monkeypatch):
    caplog.set_level("INFO")
    clock = itertools.count(0, 6)
    monkeypatch.setattr(priors.time, "monotonic", lambda: next(clock))
    fit_prior(overlapping(8), {**GMM, "max_iter": 33, "tol": 1e-12}, seed=4)
    lines = [message for message in caplog.messages if message.startswith("EM: ")]
    assert [line.split(",")[0] for line in lines] == ["EM: iteration 11", "EM: iteration 31"]


def test_codes_without_a_positive_definite_covariance_are_refused(device):
    codes = overlapping(8) * np.geomspace(1e-8, 1e8, 8)
    codes[:, 1:] += codes[:, :1] * 1e16
    with pytest.raises(UserError, match="Raise the prior's `reg_covar`"):
        fit_prior(codes, GMM, seed=0, device=device)


@pytest.mark.parametrize("kind", ["standard_normal", "mvg"])
def test_only_mixtures_import_scikit_learn_and_pytorch(kind, project):
    fit = f"fit_prior(np.eye(9), {{'kind': '{kind}'}}, 0)"
    code = f"import sys, numpy as np; from autoencoders.latent.priors import fit_prior; {fit}; print(*sys.modules)"
    scripts = project / "workflow" / "scripts"
    found = subprocess.run([sys.executable, "-c", code], cwd=scripts, check=True, capture_output=True, text=True)
    assert not {"sklearn", "torch", "scipy", "pandas"} & set(found.stdout.split())


def test_fewer_codes_than_components_are_refused():
    with pytest.raises(UserError, match="3 components"):
        fit_prior(np.zeros((2, 4), np.float32), GMM, seed=0)


@pytest.mark.parametrize("kind", ["standard_normal", "mvg", "gmm"])
def test_samples_have_the_priors_moments(codes, kind):
    prior = fit_prior(codes, {**GMM, "kind": kind}, seed=0)
    samples = sample_prior(prior, 200_000, seed=0, name=kind)
    weights, means, covariances = (prior[key] for key in ("weights", "means", "covariances"))
    mean = weights @ means
    # The covariance of a mixture: within its components and between their means.
    covariance = np.einsum("k,kij->ij", weights, covariances)
    covariance += np.einsum("k,ki,kj->ij", weights, means - mean, means - mean)
    scale = np.sqrt(np.diag(covariance))
    assert np.abs((samples.mean(0) - mean) / scale).max() < 0.02
    assert np.abs((np.cov(samples.T) - covariance) / np.outer(scale, scale)).max() < 0.03


def test_mixture_samples_are_shuffled_and_one_seeded_draw(codes):
    prior = fit_prior(codes, GMM, seed=0)
    samples = sample_prior(prior, 3000, seed=1, name="gmm")
    cluster = np.round(samples.mean(1) / 20)
    # Sorted samples change cluster twice; shuffled ones two times in three.
    assert (np.diff(cluster) != 0).sum() > 1500
    np.testing.assert_array_equal(samples, sample_prior(prior, 3000, seed=1, name="gmm"))
    assert not np.array_equal(samples, sample_prior(prior, 3000, seed=2, name="gmm"))
    assert not np.array_equal(samples, sample_prior(prior, 3000, seed=1, name="gmm50"))


def test_fewer_codes_than_units_give_samples_in_the_codes_span(caplog):
    codes = np.random.default_rng(0).normal(size=(5, 8))
    prior = fit_prior(codes, {"kind": "mvg"}, seed=0)
    assert "singular" in caplog.text
    samples = sample_prior(prior, 100, seed=0, name="mvg")
    span = np.linalg.svd(codes - codes.mean(0))[2][:4]
    centred = samples - codes.mean(0)
    np.testing.assert_allclose(centred @ span.T @ span, centred, atol=1e-6)


def test_a_constant_dimension_stays_constant():
    codes = np.random.default_rng(0).normal(size=(100, 3))
    codes[:, 1] = 7
    samples = sample_prior(fit_prior(codes, {"kind": "mvg"}, 0), 50, 0, "mvg")
    np.testing.assert_allclose(samples[:, 1], 7, atol=1e-6)


@pytest.mark.parametrize("kind", ["standard_normal", "mvg", "gmm"])
def test_a_diverged_cell_has_an_empty_prior_and_no_samples(kind):
    prior = fit_prior(np.empty((0, 4), np.float32), {**GMM, "kind": kind}, seed=0)
    assert sample_prior(prior, 10, 0, kind).shape == (0, 4)


def test_midpoints_lie_halfway_between_two_different_codes_and_use_each_twice():
    codes = np.float32(3) ** np.arange(9)[:, None]
    middle = midpoints(codes, seed=0)
    assert middle.shape == (9, 1)
    # Sums of two different powers of three tell which two they are.
    pairs = [[i, j] for i in range(9) for j in range(i) if np.isin(codes[i] + codes[j], 2 * middle)[0]]
    assert len(pairs) == 9
    assert np.bincount(np.ravel(pairs), minlength=9).tolist() == [2] * 9
    np.testing.assert_array_equal(middle, midpoints(codes, seed=0))
    assert not np.array_equal(middle, midpoints(codes, seed=1))
    assert midpoints(codes[:0], seed=0).shape == (0, 1)
