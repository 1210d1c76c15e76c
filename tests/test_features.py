"""The extractors against pytorch-fid itself, with Inception weights made from a seed, and files that are refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_fid.fid_score import calculate_fid_given_paths
from pytorch_fid.inception import InceptionV3
from safetensors.torch import save_file
from scipy import ndimage
from torch.nn.modules.module import register_module_forward_pre_hook

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
    """Blurred noise, each image with a contrast and a colour of its own, uint8 (count, 3, 32, 32)."""
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


# Measured against pytorch-fid, relative: 2.5e-8, 1.3e-9 and 3.4e-7, in this order. (Its batches are not channels last.)
# With more features (2048) than images, scipy's root of the singular product, and so pytorch-fid's distance, is off by
# 1.3e-6 of its trace (the exact trace is the nuclear norm in tests/test_frechet.py; ours is off by 2e-8). The two image
# sets are so far apart that this is less than 1e-6 of the distance.
@pytest.mark.parametrize(
    ("counts", "dimensions"),
    [
        ((24, 20), 64),
        pytest.param((80, 75), 64, marks=pytest.mark.slow),
        pytest.param((8, 6), 2048, marks=pytest.mark.slow),
    ],
    ids=["rank-deficient", "full-rank", "rank-deficient-2048"],
)
def test_distance_equals_pytorch_fids_of_the_same_images(inception_weights, tmp_path, counts, dimensions):
    first, second = smooth_images(counts[0], 2, 90, 40, seed=1), smooth_images(counts[1], 0.8, 190, 20, seed=2)
    before = torch.hub.get_dir()
    extractor = inception.load(inception_weights, CPU, block=InceptionV3.BLOCK_INDEX_BY_DIM[dimensions])
    assert torch.hub.get_dir() == before
    features = [extract(extractor, images, 20, CPU) for images in (first, second)]
    assert [x.shape for x in features] == [(count, dimensions) for count in counts]
    assert all(x.dtype == torch.float32 for x in features)
    reference, other = map(statistics, features)
    ours = frechet_distance(reference, covariance_root(reference.covariance), other)

    (tmp_path / "checkpoints").mkdir()
    shutil.copy(inception_weights, tmp_path / "checkpoints" / inception.URL.rsplit("/", 1)[1])
    torch.hub.set_dir(tmp_path)
    folders = [write_pngs(first, tmp_path / "first"), write_pngs(second, tmp_path / "second")]
    try:
        theirs = calculate_fid_given_paths(folders, 20, "cpu", dimensions, 0)
    finally:
        torch.hub.set_dir(before)
    # Means, traces and the trace of the root must all show at the tolerance below.
    difference, spread = reference.mean - other.mean, np.trace(reference.covariance) + np.trace(other.covariance)
    root = (difference @ difference + spread - ours) / 2
    assert min(difference @ difference, spread, root) > 0.01 * ours > 1e-4
    assert ours == pytest.approx(theirs, rel=1e-6)


@pytest.fixture
def classifier_weights(tmp_path) -> Path:
    torch.manual_seed(0)
    save_file(classifier.classifier_network(classes=5).state_dict(), tmp_path / "classifier.safetensors")
    return tmp_path / "classifier.safetensors"


@pytest.mark.parametrize("kind", ["inception", "classifier"])
def test_extractors_run_in_eval_mode_channels_last_and_without_gradients(request, kind):
    extractor = kinds.load("extractors", kind).load(request.getfixturevalue(f"{kind}_weights"), CPU)
    modules = []
    hook = register_module_forward_pre_hook(lambda module, _: modules.append(module))
    try:
        features = extract(extractor, smooth_images(2, 2, 120, 40, seed=0), 2, CPU)
    finally:
        hook.remove()
    kernels = [module.weight for module in modules if isinstance(module, torch.nn.Conv2d)]
    assert len(kernels) == {"inception": 94, "classifier": 8}[kind]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    assert not any(module.training for module in modules if not list(module.children()))
    assert not features.requires_grad


def test_features_come_in_the_images_order_and_batches_channels_last():
    channels_last = []

    def corner(images: torch.Tensor) -> torch.Tensor:
        channels_last.append(images.is_contiguous(memory_format=torch.channels_last))
        return images[:, :, 0, :5].flatten(start_dim=1)

    images = np.random.default_rng(0).integers(0, 256, (11, 3, 32, 32), dtype=np.uint8)
    for batch_size in (4, 11, 100):
        features = extract(corner, images, batch_size, CPU)
        np.testing.assert_array_equal(features, images[:, :, 0, :5].reshape(11, 15) / np.float32(255))
    assert channels_last == [True] * (3 + 1 + 1)


def test_no_images_and_no_such_extractor_are_refused():
    with pytest.raises(UserError, match="no images"):
        extract(torch.nn.Identity(), np.zeros((0, 3, 32, 32), np.uint8), 10, CPU)
    with pytest.raises(UserError, match=r"'resnet' is not a kind.*Write one of classifier, inception, random, timm"):
        kinds.load("extractors", "resnet")


@pytest.mark.parametrize("content", ["empty", "cut", "other tensors", "a tensor", "one key less"])
def test_files_that_are_not_the_weights_are_refused(inception_weights, tmp_path, content):
    path, before = tmp_path / "weights.pth", torch.hub.get_dir()
    path.write_bytes(inception_weights.read_bytes()[: 100_000 if content == "cut" else 0])
    if content == "one key less":
        weights = torch.load(inception_weights, weights_only=True)
        del weights["Mixed_7c.branch1x1.conv.weight"]
        torch.save(weights, path)
    elif content in ("other tensors", "a tensor"):
        torch.save({"weight": torch.zeros(3)} if content == "other tensors" else torch.zeros(3), path)
    with pytest.raises(UserError, match=rf"{path} does not hold.*extractors\.inception\.weights.*again") as refusal:
        inception.load(path, CPU)
    assert content != "one key less" or "Mixed_7c.branch1x1.conv.weight" in str(refusal.value)
    assert torch.hub.get_dir() == before


def test_no_folder_for_temporary_files_is_said_with_the_variable_to_set(inception_weights, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(UserError, match=r"91 MB.*/nowhere.*TMPDIR"):
        inception.load(inception_weights, torch.device("cpu"))
