"""The random network: its weights are the seed's alone, and its features tell how far images are from others."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import ndimage
from torch.nn import functional as F

from autoencoders.data.preparation import prepare_split
from autoencoders.data.sources import sklearn as digits_source
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import FORMAT
from autoencoders.jobs.tensor_files import write_tensors
from autoencoders.scores.extractors.random import load, random_network, train
from autoencoders.scores.features import extract
from autoencoders.scores.measures.frechet import covariance_root, frechet_distance, statistics

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return train({}, {}, {}, 0, CPU)[0]


@pytest.fixture(scope="module")
def network(weights, tmp_path_factory):
    """The extractor of a file as rule train_extractor writes it."""
    path = tmp_path_factory.mktemp("random") / "random-digits.safetensors"
    write_tensors(path, "extractor", {name: value.numpy() for name, value in weights.items()}, {"format": FORMAT})
    return load(path, CPU)


def prepared_digits() -> np.ndarray:
    """The digits as the pipeline prepares them, uint8 (1797, 3, 32, 32)."""
    return prepare_split(digits_source.splits({}, "")["train"], None, 32)[0]


def coloured_clouds() -> np.ndarray:
    """Smooth noise with the colours and the contrast of each image its own, uint8 (400, 3, 64, 64)."""
    random = np.random.default_rng(0)
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(64), np.fft.fftfreq(64)))
    noise = np.fft.fft2(random.normal(size=(400, 3, 64, 64))) / np.maximum(frequencies, 1 / 64) ** 1.2
    noise = np.einsum("nchw,ncd->ndhw", np.fft.ifft2(noise).real, random.normal(size=(400, 3, 3)))
    return np.clip(110 + 50 * noise / noise.std(), 0, 255).round().astype(np.uint8)


IMAGES = {"digits": prepared_digits, "clouds": coloured_clouds}


def test_the_seed_alone_gives_the_weights_and_the_global_random_state_is_left_alone(weights):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    images = {"train": np.zeros((2, 3, 64, 64), np.uint8)}
    again, record = train(images, {"train": None}, {}, 0, CPU)
    other, _ = train(images, {"train": None}, {}, 1, CPU)
    assert torch.equal(torch.random.get_rng_state(), before) and record == {}
    assert set(again) == set(weights) == set(other) and len(weights) == 5
    for name, value in weights.items():
        assert torch.equal(value, again[name]) and not torch.equal(value, other[name])


@pytest.mark.parametrize("size", [32, 64])
def test_features_are_those_by_hand(weights, network, size):
    images = np.random.default_rng(0).integers(0, 256, (7, 3, size, size), np.uint8)
    values = torch.from_numpy(images).double() / 127.5 - 1
    for stage in (0, 3, 6, 9):
        values = F.conv2d(values, weights[f"stages.{stage}.weight"].double(), padding=1).clamp(min=0)
        values = values.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean(dim=(3, 5))
    half = size // 32
    quarters = values.unflatten(2, (2, half)).unflatten(4, (2, half)).mean(dim=(3, 5))
    expected = quarters.flatten(start_dim=1) @ weights["mixed.weight"].double().T
    found = extract(network, images, 3, CPU)
    assert found.shape == (7, 512) and found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def distances(network, reference: np.ndarray, *others: np.ndarray) -> list[float]:
    """Fréchet distances of images from a reference, in units of the trace of the reference's covariance."""
    known = statistics(extract(network, reference, 100, CPU))
    root, trace = covariance_root(known.covariance), known.covariance.trace().item()
    return [frechet_distance(known, root, statistics(extract(network, images, 100, CPU))) / trace for images in others]


@pytest.mark.parametrize("name", IMAGES)
def test_the_distance_grows_with_blur_and_with_noise_and_halves_are_close(network, name):
    """Measured, of digits and clouds: blur up to 1.26 and 0.21, noise up to 0.73 and 1.05, halves 0.01 and 0.10."""
    images = IMAGES[name]()
    first, second = images[::2], images[1::2]
    normal = np.random.default_rng(1).normal(size=first.shape)
    changes = {
        "blur": [ndimage.gaussian_filter(first, (0, 0, width, width)) for width in (0.7, 1.5, 3)],
        "noise": [np.clip(first + width * normal, 0, 255).round().astype(np.uint8) for width in (10, 30, 80)],
    }
    for change, changed in changes.items():
        found = distances(network, first, first, *changed)
        assert found[0] == pytest.approx(0, abs=1e-6) and np.all(np.diff(found) > 0), (change, found)
    # What is left is the bias of few images, which falls with their number.
    (halves,) = distances(network, first, second)
    assert halves < 0.15 < found[-1] / 4
    grey = np.repeat(first.mean(axis=1, keepdims=True).round().astype(np.uint8), 3, axis=1)
    assert name == "digits" or distances(network, first, grey)[0] > 0.1


@pytest.mark.parametrize("name", IMAGES)
def test_no_direction_dominates_the_features(network, name):
    spread = torch.linalg.eigvalsh(statistics(extract(network, IMAGES[name](), 100, CPU)).covariance)
    share = spread / spread.sum()
    # Measured: at most 0.37, and as many as 6 directions of equal variance.
    assert share.max() < 0.5 and 1 / share.square().sum() > 4


def test_files_that_hold_no_random_network_are_refused(tmp_path):
    path = tmp_path / "random.safetensors"
    save_file(random_network().state_dict(), path)
    assert load(path, CPU)(torch.zeros(1, 3, 32, 32)).shape == (1, 512)
    whole = path.read_bytes()
    less = {name: value for name, value in random_network().state_dict().items() if name != "mixed.weight"}
    for content in (whole[:-1], {"weight": torch.zeros(2)}, less, less | {"mixed.weight": torch.zeros(512, 1023)}):
        path.write_bytes(content) if isinstance(content, bytes) else save_file(content, path)
        with pytest.raises(UserError, match=rf"{path} does not hold.*random network.*Delete it"):
            load(path, CPU)
