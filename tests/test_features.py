"""The extractors against pytorch-fid itself, with Inception weights made from a seed, and files that are refused."""

import os
import pickle
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_fid.fid_score import calculate_fid_given_paths
from pytorch_fid.inception import InceptionV3
from safetensors.torch import save_file
from scipy import ndimage

from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError
from autoencoders.scores.extractors import classifier, inception
from autoencoders.scores.features import extract
from autoencoders.scores.measures.frechet import covariance_root, frechet_distance, statistics

CPU = torch.device("cpu")

pytestmark = pytest.mark.filterwarnings(
    "ignore:The `disp` argument:DeprecationWarning", "ignore::scipy.linalg.LinAlgWarning"
)


def smooth_images(count: int, blur: float, brightness: float, variety: float, seed: int) -> np.ndarray:
    """Blurred noise with a contrast and a colour of each image's own, uint8 (count, 3, 32, 32)."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(count, 3, 32, 32)), (0, 0, blur, blur), mode="wrap")
    noise /= noise.std(axis=(2, 3), keepdims=True)
    contrast = variety * rng.uniform(0.2, 1, size=(count, 1, 1, 1))
    offset = brightness + variety * rng.uniform(-1, 1, size=(count, 3, 1, 1))
    return np.clip(noise * contrast + offset, 0, 255).round().astype(np.uint8)


def write_pngs(images: np.ndarray, folder: Path) -> str:
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{number:05d}.png")
    return str(folder)


def compare_with_pytorch_fid(weights: Path, counts: tuple[int, int], dimensions: int, folder: Path) -> None:
    """Assert that our distance of two image sets is pytorch-fid's of the same images in PNG files, same weights."""
    first, second = smooth_images(counts[0], 2, 90, 40, seed=1), smooth_images(counts[1], 0.8, 190, 20, seed=2)
    extractor = inception.load(weights, CPU, block=InceptionV3.BLOCK_INDEX_BY_DIM[dimensions])
    features = [extract(extractor, images, 20, CPU) for images in (first, second)]
    assert [x.shape for x in features] == [(count, dimensions) for count in counts]
    assert all(x.dtype == torch.float32 for x in features)
    reference, other = map(statistics, features)
    ours = frechet_distance(reference, covariance_root(reference.covariance), other)

    loaded = torch.load(weights, weights_only=True)
    with mock.patch("pytorch_fid.inception.load_state_dict_from_url", lambda *_, **__: loaded):
        theirs = calculate_fid_given_paths(
            [write_pngs(first, folder / "first"), write_pngs(second, folder / "second")], 20, "cpu", dimensions, 0
        )
    # Means, traces and the trace of the root all have to show at the tolerance below.
    difference, spread = reference.mean - other.mean, np.trace(reference.covariance) + np.trace(other.covariance)
    root = (difference @ difference + spread - ours) / 2
    assert min(difference @ difference, spread, root) > 0.01 * ours > 1e-4
    assert ours == pytest.approx(theirs, rel=1e-6)


# Measured against pytorch-fid, relative: 1.3e-9, 2.5e-8 and 3.4e-7, in this order. (Its batches are not channels last.)
# Where the 2048 features are more than the images, scipy's root of the singular product, and pytorch-fid with it, is
# off by 1.3e-6 of its trace (the exact trace is the nuclear norm in tests/test_frechet.py; ours is off by 2e-8). The
# two image sets are so far apart that this is less than 1e-6 of the distance.
@pytest.mark.parametrize(
    ("counts", "dimensions"),
    [((80, 75), 64), ((24, 20), 64), ((8, 6), 2048)],
    ids=["full-rank", "rank-deficient", "rank-deficient-2048"],
)
def test_distance_equals_pytorch_fids_of_the_same_images(inception_weights, tmp_path, counts, dimensions):
    compare_with_pytorch_fid(inception_weights, counts, dimensions, tmp_path)


def test_classifier_features_are_the_layer_before_the_classes(tmp_path):
    torch.manual_seed(0)
    network = classifier.classifier_network(classes=5).eval()
    save_file(network.state_dict(), tmp_path / "classifier.safetensors")
    extractor = kinds.load("extractors", "classifier").load(tmp_path / "classifier.safetensors", CPU)
    images = smooth_images(7, 2, 120, 40, seed=0)
    features = extract(extractor, images, 3, CPU)
    assert features.shape == (7, 128)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images).float() / 255)
        torch.testing.assert_close(network.classes(features), expected, rtol=1e-4, atol=1e-6)


class Levels:
    """An image's first pixels as features; remembers the memory layouts of its batches."""

    def __init__(self) -> None:
        self.channels_last = []

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.channels_last.append(images.is_contiguous(memory_format=torch.channels_last))
        return images[:, :, 0, :5].flatten(start_dim=1)


def test_features_come_in_the_images_order_and_batches_channels_last():
    images = np.random.default_rng(0).integers(0, 256, (11, 3, 32, 32), dtype=np.uint8)
    network = Levels()
    for batch_size in (4, 11, 100):
        features = extract(network, images, batch_size, CPU)
        np.testing.assert_array_equal(features, images[:, :, 0, :5].reshape(11, 15) / np.float32(255))
    assert network.channels_last == [True] * (3 + 1 + 1)


@pytest.fixture(params=["inception", "classifier"])
def loaded(request, tmp_path, monkeypatch) -> torch.nn.Module:
    """The network that an extractor's function of images applies."""
    module, make = {
        "inception": (inception, "inception_network"),
        "classifier": (classifier, "load_classifier"),
    }[request.param]
    if request.param == "inception":
        path = request.getfixturevalue("inception_weights")
    else:
        path = tmp_path / "classifier.safetensors"
        save_file(classifier.classifier_network(classes=5).state_dict(), path)
    networks, original = [], getattr(module, make)

    def remembered(*arguments: object) -> torch.nn.Module:
        networks.append(original(*arguments))
        return networks[-1]

    monkeypatch.setattr(module, make, remembered)
    module.load(path, CPU)
    (network,) = networks
    return network


def test_extractors_weights_are_laid_out_channels_last(loaded):
    kernels = [parameter for parameter in loaded.parameters() if parameter.ndim == 4]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def test_extractors_come_in_eval_mode(loaded):
    assert not any(module.training for module in loaded.modules())


def test_features_come_without_gradients(inception_weights, tmp_path):
    save_file(classifier.classifier_network(classes=5).state_dict(), tmp_path / "classifier.safetensors")
    images = smooth_images(2, 2, 120, 40, seed=0)
    for kind, path in (("inception", inception_weights), ("classifier", tmp_path / "classifier.safetensors")):
        assert not extract(kinds.load("extractors", kind).load(path, CPU), images, 2, CPU).requires_grad
    network = inception.inception_network(inception_weights, block=3)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_no_images_and_no_such_extractor_are_refused():
    with pytest.raises(UserError, match="no images"):
        extract(torch.nn.Identity(), np.zeros((0, 3, 32, 32), np.uint8), 10, CPU)
    with pytest.raises(UserError, match=r"'resnet' is no kind.*Write one of classifier, inception"):
        kinds.load("extractors", "resnet")


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        inception.load(path, CPU)
    message = str(caught.value)
    assert str(path) in message
    assert "extractors.inception.weights" in message
    assert "downloaded again" in message
    return message


@pytest.mark.parametrize("kept", [0, 1, 100_000])
def test_truncated_weights_are_refused(inception_weights, tmp_path, kept):
    (tmp_path / "weights.pth").write_bytes(inception_weights.read_bytes()[:kept])
    refused(tmp_path / "weights.pth")


def test_weights_that_lack_a_key_are_refused(inception_weights, tmp_path):
    weights = torch.load(inception_weights, weights_only=True)
    del weights["Mixed_7c.branch1x1.conv.weight"]
    torch.save(weights, tmp_path / "weights.pth")
    assert "Mixed_7c.branch1x1.conv.weight" in refused(tmp_path / "weights.pth")


@pytest.mark.parametrize(
    "content", [{"weight": torch.zeros(3)}, torch.zeros(3), [1, 2], {}], ids=["other", "tensor", "list", "empty"]
)
def test_other_contents_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    refused(tmp_path / "weights.pth")


class Malicious:
    """Unpickled, it makes the folder ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path, save):
    save({"weight": Malicious(tmp_path / "made")}, tmp_path / "weights.pth")
    message = refused(tmp_path / "weights.pth")
    assert not (tmp_path / "made").exists()
    assert "weights_only" not in message  # torch's own advice: switch the protection off
    # The file is a danger indeed: an unguarded load runs it.
    torch.load(tmp_path / "weights.pth", weights_only=False) if save is torch.save else pickle.loads(
        (tmp_path / "weights.pth").read_bytes()
    )
    assert (tmp_path / "made").exists()
