"""Priors against scikit-learn and the moments that their samples must have, and one from a file."""

import itertools
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from autoencoders.config.seeds import generator
from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import read_npz, write_npz
from autoencoders.latent.priors import gmm

GMM = {"kind": "gmm", "components": 3, "tol": 1e-3, "reg_covar": 1e-6, "max_iter": 2000}
OPTIONS = {"standard_normal": {"kind": "standard_normal"}, "mvg": {"kind": "mvg"}, "gmm": GMM}


def fit(codes: np.ndarray, options: dict, seed: int = 0, device: str | None = None) -> dict[str, np.ndarray]:
    """As the rule fit_prior fits."""
    return kinds.load("priors", options["kind"]).fit(codes, options, seed=seed, device=device, checkpoint=None)


def sample(kind: str, prior: dict[str, np.ndarray], count: int, seed: int, name: str) -> np.ndarray:
    """As the rule sample draws from the prior of a name."""
    return kinds.load("priors", kind).sample(prior, count, generator(seed, f"sample/{name}"))


@pytest.fixture
def codes() -> np.ndarray:
    """Three well separated, correlated clusters in four dimensions."""
    random = np.random.default_rng(0)
    mix = random.normal(size=(3, 4, 4))
    return np.concatenate([random.normal(size=(400, 4)) @ mix[k] + 20 * k for k in range(3)]).astype(np.float32)


def test_mvg_is_the_mean_and_the_full_covariance_in_float64(codes):
    prior = fit(codes, OPTIONS["mvg"])
    np.testing.assert_allclose(prior["means"][0], codes.astype(np.float64).mean(0), rtol=1e-12)
    np.testing.assert_allclose(prior["covariances"][0], np.cov(codes.astype(np.float64).T), rtol=1e-12)
    assert prior["covariances"].dtype == np.float64


@pytest.fixture(params=[None, "cpu", pytest.param("cuda", marks=pytest.mark.gpu)], ids=["numpy", "cpu", "cuda"])
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
def test_gmm_is_scikit_learns(make, units, rtol, device, caplog):
    codes = make(units).astype(np.float32)
    prior, model = fit(codes, GMM, seed=4, device=device), scikit_learns(codes)
    assert not caplog.messages, "the device itself should fit"
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
        start = gmm.start_from_labels(xp, *(xp.asarray(array, device=device) for array in (codes, labels)), 3, 1e-6)
        model = scikit_learns(codes, max_iter=0)
        for found, expected in zip(start, (model.weights_, model.means_, model.precisions_cholesky_), strict=True):
            found = found if device is None else found.numpy(force=True)
            np.testing.assert_allclose(found, expected, rtol=0, atol=rtol * np.abs(expected).max())


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def torchs(request) -> str:
    """PyTorch's devices alone."""
    return request.param


def clusters(units: int) -> np.ndarray:
    random = np.random.default_rng(2)
    return random.normal(size=(2000, units)) + random.integers(-4, 5, size=(5, units)).repeat(400, axis=0)


@pytest.mark.parametrize("make", [clusters, overlapping, layer_normalised, collapsed])
@pytest.mark.parametrize("components", [1, 5, 10])
def test_k_means_on_tensors_gives_scikit_learns_labels(make, components, torchs, monkeypatch):
    codes = make(16)
    expected = KMeans(components, n_init=1, random_state=4).fit(codes)
    monkeypatch.setattr(KMeans, "fit", None)
    labels = gmm.kmeans(codes, components, 4, torchs)
    assert labels.device.type == torchs
    np.testing.assert_array_equal(labels.numpy(force=True), expected.labels_)


@pytest.mark.parametrize("iterations", [1, 4])
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_k_means_on_tensors_ends_as_scikit_learns(torchs, monkeypatch, iterations):
    """After so many iterations, and if centres hardly move, with labels that belong to the last centres."""
    codes = overlapping(16)
    centred, random = codes - codes.mean(0), np.random.default_rng(0)
    tensor, start = (torch.asarray(each, device=torchs) for each in (centred, random.permutation(centred)[:5]))
    monkeypatch.setattr(gmm, "KMEANS_ITERATIONS", iterations)
    found = [gmm.lloyd(tensor, start)]
    monkeypatch.setattr(gmm, "KMEANS_ITERATIONS", 300)
    monkeypatch.setattr(gmm, "KMEANS_TOL", 0.5)
    found.append(gmm.lloyd(tensor, start))
    ends = ({"max_iter": iterations, "tol": 0}, {"tol": 0.5})
    for labels, end in zip(found, ends, strict=True):
        expected = KMeans(5, init=start.numpy(force=True), n_init=1, **end).fit(centred)
        assert expected.n_iter_ < 20
        np.testing.assert_array_equal(labels.numpy(force=True), expected.labels_)
    # Two different codes for three components: scikit-learn has its own rule for a cluster without codes.
    two = np.repeat(np.random.default_rng(0).normal(size=(2, 4)), 50, axis=0)
    labels = KMeans(3, n_init=1, random_state=4).fit(two).labels_
    np.testing.assert_array_equal(gmm.kmeans(two, 3, 4, torchs), labels)


class Fails:
    """Replaces run_em: on tensors it raises what ``error`` makes, after ``iterations`` of them."""

    def __init__(self, error, iterations: int = 0) -> None:
        self.error, self.iterations, self.run_em = error, iterations, gmm.run_em
        self.tensors = []

    def __call__(self, model, codes, max_iter, *others):
        if isinstance(codes, np.ndarray):
            # The memory of the failed fit is free.
            assert not any(tensor() is not None for tensor in self.tensors)
            return self.run_em(model, codes, max_iter, *others)
        self.tensors.append(weakref.ref(codes))
        if self.iterations:
            self.run_em(model, codes, self.iterations, *others)
        raise self.error()


@pytest.mark.parametrize(
    "error",
    [
        lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.31 GiB."),
        lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        lambda: torch.linalg.LinAlgError("linalg.cholesky: The factorization could not be completed"),
    ],
)
def test_what_a_gpu_cannot_fit_is_fitted_on_the_cpu_with_the_bits_of_the_cpu(torchs, monkeypatch, caplog, error):
    codes = overlapping(8)
    expected = fit(codes, GMM, seed=4)
    monkeypatch.setattr(gmm, "run_em", Fails(error, 12))
    found = fit(codes, GMM, seed=4, device=torchs)
    for key in expected:
        np.testing.assert_array_equal(found[key], expected[key])
    assert caplog.messages == [f"this mixture can't be fitted on {torchs} ({error()}): fitting it on the CPU"]


def test_any_other_error_on_a_gpu_is_no_reason_to_fit_on_the_cpu(torchs, monkeypatch):
    monkeypatch.setattr(gmm, "run_em", Fails(lambda: RuntimeError("CUDA error: an illegal memory access")))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        fit(overlapping(8), GMM, device=torchs)


def test_gmm_has_the_same_bits_for_the_same_seed(device):
    codes = overlapping(8).astype(np.float32)
    first, again, other = (fit(codes, GMM, seed, device) for seed in (4, 4, 5))
    for key in first:
        np.testing.assert_array_equal(first[key], again[key])
    assert not np.array_equal(first["means"], other["means"])


def test_gmm_is_numpys_on_apples_gpu_which_has_no_float64():
    found, expected = (fit(overlapping(8), GMM, 4, device) for device in ("mps", None))
    np.testing.assert_array_equal(found["covariances"], expected["covariances"])


@pytest.mark.parametrize("max_iter", [1, 7, 11, 16, 2000])
def test_em_a_few_iterations_at_a_time_is_em_at_once_to_the_bit(max_iter, device, monkeypatch):
    codes = overlapping(8)
    found = fit(codes, {**GMM, "max_iter": max_iter}, 4, device)

    def at_once(model, codes, max_iter, *_):
        model.max_iter = max_iter
        return model.fit(codes).n_iter_

    monkeypatch.setattr(gmm, "run_em", at_once)
    expected = fit(codes, {**GMM, "max_iter": max_iter}, 4, device)
    assert found["converged"] == (max_iter == 2000)
    assert found["iterations"] == max_iter or found["converged"]
    for key in expected:
        np.testing.assert_array_equal(found[key], expected[key])


def test_em_takes_a_second_iteration_whatever_the_tolerance(device):
    prior = fit(overlapping(8), {**GMM, "tol": 1e9}, seed=4, device=device)
    assert prior["iterations"] == scikit_learns(overlapping(8), tol=1e9).n_iter_ == 2


def test_gmm_that_does_not_converge_says_so(caplog, recwarn, device):
    random = np.random.default_rng(0).normal(size=(300, 4))
    prior = fit(random, {**GMM, "max_iter": 12, "tol": 1e-12}, seed=0, device=device)
    assert (prior["converged"], prior["iterations"]) == (False, 12)
    assert caplog.text.count("did not converge") == 1
    assert not recwarn.list


@pytest.mark.parametrize(
    ("seconds", "max_iter", "iterations", "left"),
    [
        # A call of scikit-learn's fit takes so long: one iteration, then ten, then the rest.
        (30, 13, [1, 11, 13], "0:06:00"),
        # Lines are at least ten seconds apart.
        (6, 33, [11, 31], "0:00:24"),
    ],
)
@pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")
def test_a_slow_fit_says_how_far_it_is(caplog, monkeypatch, seconds, max_iter, iterations, left):
    caplog.set_level("INFO")
    clock = itertools.count(0, seconds)
    monkeypatch.setattr(gmm.time, "monotonic", lambda: next(clock))
    fit(overlapping(8), {**GMM, "max_iter": max_iter, "tol": 1e-12}, seed=4)
    lines = [message for message in caplog.messages if message.startswith("EM: ")]
    assert [line.split(",")[0] for line in lines] == [f"EM: iteration {done}" for done in iterations]
    assert f"at most {left} left" in lines[0]
    if seconds == 30:
        assert "rises" not in lines[0]  # from a start of unknown likelihood
        bounds = [scikit_learns(overlapping(8), done, tol=1e-12).lower_bound_ for done in (1, 11)]
        assert f"rises by {(bounds[1] - bounds[0]) / 10:.2g} per iteration, EM ends below 1e-12" in lines[1]


def test_codes_without_a_positive_definite_covariance_are_refused(device):
    codes = overlapping(8) * np.geomspace(1e-8, 1e8, 8)
    codes[:, 1:] += codes[:, :1] * 1e16
    with pytest.raises(UserError, match="Raise the prior's `reg_covar`"):
        fit(codes, GMM, seed=0, device=device)


@pytest.mark.parametrize("kind", ["standard_normal", "mvg"])
def test_only_mixtures_import_scikit_learn_and_pytorch(kind, project):
    fitting = f"kinds.load('priors', '{kind}').fit(np.eye(9), {{'kind': '{kind}'}}, seed=0)"
    code = f"import sys, numpy as np; from autoencoders.jobs import kinds; {fitting}; print(*sys.modules)"
    scripts = project / "workflow" / "scripts"
    found = subprocess.run([sys.executable, "-c", code], cwd=scripts, check=True, capture_output=True, text=True)
    assert not {"sklearn", "torch", "scipy", "pandas"} & set(found.stdout.split())


def test_fewer_codes_than_components_are_refused():
    with pytest.raises(UserError, match="3 components"):
        fit(np.zeros((2, 4), np.float32), GMM, seed=0)


@pytest.mark.parametrize("kind", ["standard_normal", "mvg", "gmm"])
def test_samples_have_the_priors_moments(codes, kind):
    prior = fit(codes, OPTIONS[kind], seed=0)
    samples = sample(kind, prior, 200_000, seed=0, name=kind)
    weights, means, covariances = (prior[key] for key in ("weights", "means", "covariances"))
    mean = weights @ means
    # The covariance of a mixture: within its components and between their means.
    covariance = np.einsum("k,kij->ij", weights, covariances)
    covariance += np.einsum("k,ki,kj->ij", weights, means - mean, means - mean)
    scale = np.sqrt(np.diag(covariance))
    assert np.abs((samples.mean(0) - mean) / scale).max() < 0.02
    assert np.abs((np.cov(samples.T) - covariance) / np.outer(scale, scale)).max() < 0.03


def test_mixture_samples_are_shuffled_and_one_seeded_draw(codes):
    prior = fit(codes, GMM, seed=0)
    samples = sample("gmm", prior, 3000, seed=1, name="gmm")
    cluster = np.round(samples.mean(1) / 20)
    # Sorted samples change cluster twice; shuffled ones two times in three.
    assert (np.diff(cluster) != 0).sum() > 1500
    np.testing.assert_array_equal(samples, sample("gmm", prior, 3000, seed=1, name="gmm"))
    assert not np.array_equal(samples, sample("gmm", prior, 3000, seed=2, name="gmm"))
    assert not np.array_equal(samples, sample("gmm", prior, 3000, seed=1, name="gmm50"))


def test_fewer_codes_than_units_give_samples_in_the_codes_span(caplog):
    codes = np.random.default_rng(0).normal(size=(5, 8))
    prior = fit(codes, OPTIONS["mvg"])
    assert "singular" in caplog.text
    samples = sample("mvg", prior, 100, seed=0, name="mvg")
    span = np.linalg.svd(codes - codes.mean(0))[2][:4]
    centred = samples - codes.mean(0)
    np.testing.assert_allclose(centred @ span.T @ span, centred, atol=1e-6)


def test_a_constant_dimension_stays_constant():
    codes = np.random.default_rng(0).normal(size=(100, 3))
    codes[:, 1] = 7
    samples = sample("mvg", fit(codes, OPTIONS["mvg"]), 50, 0, "mvg")
    np.testing.assert_allclose(samples[:, 1], 7, atol=1e-6)


OF_ONES_OWN = '''
"""Some of the codes with noise on them: no mixture of Gaussians."""

OPTIONS = {"spread": {"type": "number", "default": 0.1, "description": "a number"}}


def fit(codes, options, *, seed, **_):
    import numpy as np

    kept = np.random.default_rng(seed).permutation(codes)[:5]
    return {"kept": kept, "spread": options["spread"] * codes.std(axis=0), "fitted_to": len(codes)}


def sample(prior, count, random):
    kept = prior["kept"]
    return kept[random.integers(len(kept), size=count)] + prior["spread"] * random.normal(size=(count, kept.shape[1]))
'''


def test_a_prior_of_ones_own_keeps_its_own_arrays_in_the_file(codes, tmp_path):
    kind = tmp_path / "noisy_codes.py"
    kind.write_text(OF_ONES_OWN, encoding="utf-8")
    prior = fit(codes, {"kind": str(kind), "spread": 1e-3}, seed=3)
    write_npz(tmp_path / "noisy.npz", prior)
    stored = read_npz(tmp_path / "noisy.npz")
    assert set(stored) == {"kept", "spread", "fitted_to"}
    for name, array in stored.items():
        np.testing.assert_array_equal(array, prior[name])
        assert array.dtype == np.asarray(prior[name]).dtype

    samples = sample(str(kind), stored, 1000, seed=0, name="noisy")
    assert samples.shape == (1000, 4)
    np.testing.assert_array_equal(samples, sample(str(kind), prior, 1000, seed=0, name="noisy"))
    assert not np.array_equal(samples, sample(str(kind), prior, 1000, seed=1, name="noisy"))
    kept = np.random.default_rng(3).permutation(codes)[:5]
    distances = np.abs(samples[:, None] - kept).max(axis=2)
    assert 0 < distances.min(axis=1).max() < 0.1
    assert np.bincount(distances.argmin(axis=1), minlength=5).min() > 100
