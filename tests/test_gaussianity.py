"""Measures of Gaussianity against closed forms, scipy and Monte Carlo."""

import numpy as np
import pytest
from scipy import stats

from autoencoders.jobs import kinds
from autoencoders.latent.gaussianity import COLUMNS, latent_statistics, mardia_ratios, mean_log_likelihood, whiten

MVG, GMM = {"kind": "mvg"}, {"kind": "gmm", "components": 2, "tol": 1e-6, "reg_covar": 1e-6, "max_iter": 500}


def fitted(codes, options):
    return kinds.load("priors", options["kind"]).fit(codes, options, seed=0)


def correlated(random, count, latent):
    return random.normal(size=(count, latent)) @ random.normal(size=(latent, latent)) + random.normal(size=latent)


def test_whitened_codes_have_mean_zero_and_covariance_one():
    whitened = whiten(correlated(np.random.default_rng(0), 200, 5))
    assert whitened.mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-10)
    assert np.cov(whitened, rowvar=False, ddof=0) == pytest.approx(np.eye(5), abs=1e-8)
    # Codes in a subspace are measured there, and too few codes say nothing.
    random = np.random.default_rng(6)
    assert whiten(random.normal(size=(1000, 3)) @ random.normal(size=(3, 8))).shape == (1000, 3)
    assert np.isnan(mardia_ratios(whiten(random.normal(size=(5, 9))))).all()


def test_mardia_by_the_definition():
    """Mardia (1970), equations 2.23 and 3.9: sums over all pairs of (x - m)' S^-1 (y - m), S divided by N."""
    codes = np.random.default_rng(1).exponential(size=(60, 3)) @ np.random.default_rng(2).normal(size=(3, 3))
    centred = codes - codes.mean(axis=0)
    distances = centred @ np.linalg.inv(np.cov(codes, rowvar=False, ddof=0)) @ centred.T
    skewness, kurtosis = (distances**3).mean(), (np.diag(distances) ** 2).mean()
    n, p = codes.shape
    # Mardia (1974), equations 3.8 and 3.9.
    expected = (
        p * (p + 2) / ((n + 1) * (n + 3)) * ((n + 1) * (p + 1) - 6),
        p * (p + 2) * (n - 1) / (n + 1),
    )
    found = mardia_ratios(whiten(codes))
    assert found == pytest.approx((skewness / expected[0], kurtosis / expected[1]), rel=1e-8)


@pytest.mark.parametrize(("count", "latent"), [(40, 2), (60, 25)])
def test_the_ratios_are_one_on_average_for_gaussian_codes_of_any_size(count, latent):
    random = np.random.default_rng(3)
    ratios = np.array([mardia_ratios(whiten(correlated(random, count, latent))) for _ in range(2400)])
    error = ratios.std(axis=0) / np.sqrt(len(ratios))
    assert np.all(np.abs(ratios.mean(axis=0) - 1) < 4 * error)
    # The check has to be able to see a wrong expectation of a few per cent.
    assert np.all(error < 0.02)


def test_one_dimension_is_the_textbooks_skewness_and_kurtosis():
    codes = np.random.default_rng(4).gamma(2.0, size=(500, 1))
    skewness, kurtosis = mardia_ratios(whiten(codes))
    assert skewness * 3 * (2 * 501 - 6) / (501 * 503) == pytest.approx(stats.skew(codes[:, 0]) ** 2, rel=1e-8)
    assert kurtosis * 3 * 499 / 501 == pytest.approx(stats.kurtosis(codes[:, 0], fisher=False), rel=1e-8)


def test_heavy_tails_and_a_lean_are_seen():
    random = np.random.default_rng(5)
    _, heavy = mardia_ratios(whiten(random.standard_t(4, size=(4000, 6))))
    leaning, _ = mardia_ratios(whiten(random.exponential(size=(4000, 6))))
    assert heavy > 1.2 and leaning > 10


def test_log_likelihood_is_scipys():
    random = np.random.default_rng(8)
    codes = random.normal(size=(50, 2))
    mixture = {
        "weights": np.array([0.25, 0.75]),
        "means": np.array([[0.0, 1.0], [2.0, -1.0]]),
        "covariances": np.array([[[1.0, 0.3], [0.3, 2.0]], [[0.5, 0.0], [0.0, 0.1]]]),
    }
    densities = sum(
        weight * stats.multivariate_normal(mean, covariance).pdf(codes)
        for weight, mean, covariance in zip(*mixture.values(), strict=True)
    )
    assert mean_log_likelihood(codes, mixture, np.eye(2)) == pytest.approx(np.log(densities).mean(), rel=1e-10)


def test_a_singular_gaussian_has_a_likelihood_only_where_it_varies():
    mixture = {"weights": np.ones(1), "means": np.zeros((1, 2)), "covariances": np.diag([4.0, 0.0])[None]}
    codes = np.array([[1.0, 0.0], [3.0, 0.0]])
    assert np.isnan(mean_log_likelihood(codes, mixture, np.eye(2)))
    expected = stats.norm(0, 2).logpdf([1, 3]).mean()
    assert mean_log_likelihood(codes, mixture, np.array([[1.0], [0.0]])) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(mean_log_likelihood(codes, None, np.eye(2)))
    # Scales that differ by 1e12 are not singular.
    mixture["covariances"] = np.diag([1e6, 1e-6])[None]
    expected = stats.norm(0, 1e3).logpdf(500) + stats.norm(0, 1e-3).logpdf(0.001)
    assert mean_log_likelihood(np.array([[500, 0.001]]), mixture, np.eye(2)) == pytest.approx(expected, rel=1e-10)


def test_layer_normalised_codes_have_a_gap_in_the_directions_they_span():
    """Their units add up to a constant: a Gaussian of all of them is singular."""
    random = np.random.default_rng(11)
    codes = random.normal(size=(3000, 5)) + 6 * random.integers(0, 2, (3000, 1)) * np.eye(5)[0]
    codes = (codes - codes.mean(axis=1, keepdims=True)) / codes.std(axis=1, keepdims=True)
    train, test = codes[:2000], codes[2000:]
    found = latent_statistics(train, test, *(fitted(train, options) for options in (MVG, GMM)), seed=0)
    assert found["rank"] == 4
    # The MVG by hand in a basis of the plane: any four units, corrected by the volume of the projection.
    basis = np.linalg.svd(np.eye(5) - 0.2)[0][:, :4]
    plane = stats.multivariate_normal((train @ basis).mean(axis=0), np.cov((train @ basis).T))
    assert found["mvg_log_likelihood"] == pytest.approx(plane.logpdf(test @ basis).mean(), rel=1e-6)
    assert 0.2 < found["log_likelihood_gap"] < 5


def test_fewer_codes_than_units_tell_nothing_of_held_out_ones():
    random = np.random.default_rng(12)
    codes, held_out = random.normal(size=(6, 8)), random.normal(size=(20, 8))
    found = latent_statistics(codes, held_out, *(fitted(codes, options) for options in (MVG, GMM)), seed=0)
    assert found["rank"] == 5
    assert np.isnan([found["mvg_log_likelihood"], found["gmm_log_likelihood"], found["log_likelihood_gap"]]).all()


def test_the_gap_is_positive_for_clusters_and_about_zero_for_one_gaussian():
    random = np.random.default_rng(9)
    clusters = random.normal(size=(2000, 3)) + 8 * random.integers(0, 2, (2000, 1))
    single = random.normal(size=(2000, 3))
    gaps = {}
    for name, codes in (("clusters", clusters), ("single", single)):
        priors = [fitted(codes[:1000], options) for options in (MVG, GMM)]
        found = latent_statistics(codes[:1000], codes[1000:], *priors, seed=0)
        assert tuple(found) == COLUMNS
        assert found["log_likelihood_gap"] == found["gmm_log_likelihood"] - found["mvg_log_likelihood"]
        gaps[name] = found["log_likelihood_gap"]
    assert gaps["clusters"] > 0.5 > 0.05 > gaps["single"]


def test_dimensions_are_averaged_and_constant_ones_left_out():
    random = np.random.default_rng(10)
    codes = np.column_stack([random.exponential(size=5000), -random.exponential(size=5000), np.full(5000, 3.0)])
    found = latent_statistics(codes, codes, None, None, seed=0)
    # The exponential distribution: skewness 2, excess kurtosis 6; the sign of a unit means nothing.
    assert found["mean_abs_skewness"] == pytest.approx(np.abs(stats.skew(codes[:, :2])).mean(), rel=1e-10)
    assert found["mean_abs_skewness"] == pytest.approx(2, rel=0.1)
    assert found["mean_excess_kurtosis"] == pytest.approx(6, rel=0.3)
    assert (found["codes"], found["rank"]) == (5000, 2)


def test_means_and_deviations_are_numpys_and_tell_wide_uneven_codes_from_a_standard_normal():
    random = np.random.default_rng(13)
    codes = (random.normal(size=(3000, 4)) * [0.5, 4, 2, 9] + [3, -1, 0.5, -20]).astype(np.float32)
    found = latent_statistics(codes, codes[:10], None, None, seed=0)
    deviations = np.sqrt(np.var(codes.astype(np.float64), axis=0))
    assert found["mean_abs_mean"] == pytest.approx(np.mean([abs(unit.mean(dtype="f8")) for unit in codes.T]), rel=1e-12)
    assert found["mean_deviation"] == pytest.approx(sum(deviations) / 4, rel=1e-12)
    assert found["deviation_spread"] == pytest.approx(stats.variation(deviations), rel=1e-12)
    # What the units were made with: |means| of 24.5 / 4, deviations of 15.5 / 4.
    assert found["mean_abs_mean"] == pytest.approx(24.5 / 4, abs=0.1)
    assert found["mean_deviation"] == pytest.approx(15.5 / 4, rel=0.02)
    assert found["deviation_spread"] == pytest.approx(np.std([0.5, 4, 2, 9]) / 3.875, rel=0.03)
    # All units as wide as each other, but not 1.
    codes = np.repeat(random.normal(size=(3000, 1)), 5, axis=1) * 7 * [1, -1, 1, 1, -1]
    found = latent_statistics(codes, codes, None, None, seed=0)
    assert found["mean_deviation"] == pytest.approx(7, rel=0.05)
    assert found["deviation_spread"] == pytest.approx(0, abs=1e-12)
    standard = latent_statistics(random.normal(size=(9000, 6)), codes, None, None, seed=0)
    assert standard["mean_abs_mean"] < 0.03 and standard["deviation_spread"] < 0.03
    assert standard["mean_deviation"] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("count", [50, 0], ids=["all the same", "of a diverged cell"])
def test_codes_without_a_shape_have_no_statistics(count):
    codes = np.full((count, 3), 2.0, np.float32)
    # The priors' files of a diverged cell hold no arrays; a config may have no such priors.
    for priors in ((fitted(codes, MVG) if count else {}, {}), (None, None)):
        found = latent_statistics(codes, codes, *priors, seed=0)
        assert tuple(found) == COLUMNS
        known = {"codes": count, "rank": 0} | ({"mean_abs_mean": 2, "mean_deviation": 0} if count else {})
        assert {name: found[name] for name in known} == known
        assert all(np.isnan(value) for name, value in found.items() if name not in known)
