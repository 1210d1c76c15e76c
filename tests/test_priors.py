"""Priors against scikit-learn and the moments that their samples must have."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from autoencoders.errors import UserError
from autoencoders.priors import fit_prior
from autoencoders.sampling import midpoints, sample_prior

GMM = {"kind": "gmm", "components": 3, "tol": 1e-3, "reg_covar": 1e-6, "max_iter": 2000}


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


def test_gmm_is_scikit_learns(codes):
    prior = fit_prior(codes, GMM, seed=4)
    model = GaussianMixture(3, tol=1e-3, reg_covar=1e-6, max_iter=2000, random_state=4).fit(codes.astype(np.float64))
    np.testing.assert_array_equal(prior["means"], model.means_)
    np.testing.assert_array_equal(prior["covariances"], model.covariances_)
    assert prior["converged"]


def test_gmm_that_does_not_converge_says_so(codes, caplog):
    random = np.random.default_rng(0).normal(size=(300, 4))
    fit_prior(random, {**GMM, "max_iter": 1, "tol": 1e-12}, seed=0)
    assert "did not converge" in caplog.text


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
