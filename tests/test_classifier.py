"""The classifier that serves as an extractor: it learns, a seed gives the same bytes again, its file is checked."""

from pathlib import Path

import numpy as np
import pytest
import sklearn.utils
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch.nn import functional as F

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import AGAIN
from autoencoders.networks.numerics import repeatable
from autoencoders.scores.extractors.classifier import (
    accuracy,
    batches_per_epoch,
    changed,
    classes,
    classifier_network,
    load,
    load_classifier,
    number_of_classes,
    one_cycle,
    train,
    train_classifier,
)
from autoencoders.scores.features import extract

CPU = torch.device("cpu")
OPTIONS = {"epochs": 1, "batch_size": 32, "learning_rate": 0.1, "flip": False}
STRIDES = (1, 2, 1, 1, 2, 1, 1, 2)


def by_hand(weights: dict[str, torch.Tensor], images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and logits, by the names under which existing files hold the weights."""
    for number, stride in enumerate(STRIDES):
        kernel = weights[f"stages.{3 * number}.weight"]
        names = ("running_mean", "running_var", "weight", "bias")
        norm = [weights[f"stages.{3 * number + 1}.{name}"] for name in names]
        images = F.relu(F.batch_norm(F.conv2d(images, kernel, stride=stride, padding=1), *norm))
    features = images.mean(dim=(2, 3))
    return features, F.linear(features, weights["classes.weight"], weights["classes.bias"])


def save(network: torch.nn.Module, path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits, shuffled, enlarged to 32 pixels: uint8 (1797, 3, 32, 32), and their labels."""
    pixels, labels = sklearn.utils.shuffle(*load_digits(return_X_y=True), random_state=0)
    images = np.kron(pixels.reshape(-1, 1, 8, 8), np.ones((3, 4, 4))) * 255 / 16
    return images.round().astype(np.uint8), labels.astype(np.int64)


@pytest.fixture(scope="module")
def few(digits) -> tuple[np.ndarray, np.ndarray]:
    return digits[0][:200], digits[1][:200]


def test_it_learns_the_digits(digits):
    images, labels = digits
    network = train_classifier(images[:600], labels[:600], 10, {**OPTIONS, "epochs": 4}, 0, CPU)
    assert not network.training
    assert accuracy(network, images[1400:], labels[1400:], 100, CPU) > 0.93


def test_accuracy_is_the_fraction_that_is_right():
    def brightness(images: torch.Tensor) -> torch.Tensor:
        """Says class 1 of bright images."""
        bright = images.mean(dim=(1, 2, 3)) - 0.5
        return torch.stack([-bright, bright], dim=1)

    images = np.zeros((5, 3, 32, 32), np.uint8)
    images[2:] = 255
    assert accuracy(brightness, images, np.array([0, 1, 1, 1, 0]), 2, CPU) == pytest.approx(3 / 5)


@pytest.mark.parametrize("size", [32, 64])
def test_features_and_predictions_are_those_by_hand(few, size, tmp_path):
    network = train_classifier(*few, 10, OPTIONS, 0, CPU)
    save(network, tmp_path / "classifier.safetensors")
    images = np.kron(few[0][:50], np.ones((size // 32, size // 32), np.uint8))
    # Digits are grey and even within a block, which could hide a mistake.
    images += np.random.default_rng(0).integers(0, 256, images.shape, np.uint8)
    batch = torch.from_numpy(images).float() / 255
    features, predictions = by_hand(network.state_dict(), batch)
    assert features.shape == (50, 256) and features.std(dim=0).max() > 0
    with torch.inference_mode():
        found = load_classifier(tmp_path / "classifier.safetensors")(batch)
        torch.testing.assert_close(found, predictions, rtol=1e-5, atol=1e-6)
        # Extractors lay out images channels last.
        found = extract(load(tmp_path / "classifier.safetensors", CPU), images, 30, CPU)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, features, rtol=1e-4, atol=1e-6)
        # The layer of classes, by itself, makes the classifier's own prediction of these features.
        torch.testing.assert_close(classes(tmp_path / "classifier.safetensors", CPU)(found), predictions)


def test_the_seed_alone_decides_and_the_global_random_state_is_left_alone(few, tmp_path):
    saved = []
    for number, seed in enumerate([3, 3, 4]):
        torch.manual_seed(number)
        before = torch.random.get_rng_state()
        network = train_classifier(*few, 10, {**OPTIONS, "epochs": 2}, seed, CPU)
        assert torch.equal(torch.random.get_rng_state(), before)
        save(network, tmp_path / f"{number}.safetensors")
        saved.append((tmp_path / f"{number}.safetensors").read_bytes())
    assert saved[0] == saved[1] != saved[2]


@pytest.mark.gpu
def test_a_gpu_gives_the_same_bits_again(digits):
    """With a job's settings, by which PyTorch also refuses what it knows not to be repeatable."""
    repeatable(1)
    images, labels = digits
    first, second = (train_classifier(images, labels, 10, OPTIONS, 0, torch.device("cuda")) for _ in range(2))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_the_seed_decides_the_order_of_the_images_too(few, monkeypatch):
    """With equal initial weights, two seeds still end apart."""
    monkeypatch.setattr("torch.manual_seed", lambda seed, original=torch.manual_seed: original(0))
    first, second = (train_classifier(*few, 10, OPTIONS, seed, CPU) for seed in (0, 1))
    assert not torch.equal(first.classes.weight, second.classes.weight)


def test_training_gives_the_weights_and_a_record_of_their_accuracy(digits):
    splits = {"train": slice(0, 150), "test": slice(150, 230)}
    images, labels = ({name: array[part] for name, part in splits.items()} for array in digits)
    labels = {name: array % 8 for name, array in labels.items()}
    tensors, record = train(images, labels, OPTIONS, 5, CPU)
    expected = train_classifier(images["train"], labels["train"], 8, OPTIONS, 5, CPU)
    assert set(tensors) == set(expected.state_dict())
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in expected.state_dict().items())
    assert record.pop("seconds") > 0
    assert record == {
        "classes": 8,
        "training_images": 150,
        "test_accuracy": accuracy(expected, images["test"], labels["test"], 7, CPU),
        "commonest_class": max(np.mean(labels["test"] == label) for label in range(8)),
    }


@pytest.mark.parametrize("unknown", [slice(0, 1), slice(None)], ids=["one", "all"])
def test_accuracy_is_unknown_if_test_labels_are(digits, caplog, unknown):
    images, labels = ({"train": array[:150], "test": array[150:230].copy()} for array in digits)
    labels["test"][unknown] = -1
    _, record = train(images, labels, OPTIONS, 5, CPU)
    assert record["test_accuracy"] is None and record["commonest_class"] is None and record["classes"] == 10
    assert "test accuracy is unknown" in caplog.text


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [32, 64])
def test_images_are_moved_with_reflected_edges_and_mirrored_only_if_asked(flip, size):
    """Against NumPy's reflection: each image is one of all the crops that may be, and all of them appear."""
    image = np.random.default_rng(0).integers(0, 256, (3, size, size), np.uint8)
    most = size // 8
    padded = np.pad(image, ((0, 0), (most, most), (most, most)), mode="reflect")
    moves = range(2 * most + 1)
    crops = [padded[:, y : y + size, x : x + size] for y in moves for x in moves]
    crops += [crop[:, :, ::-1] for crop in crops] if flip else []
    possible = {crop.tobytes(): number for number, crop in enumerate(crops)}
    count = 20 * len(crops)
    many = torch.from_numpy(image).expand(count, -1, -1, -1)
    found = changed(many, flip, torch.Generator().manual_seed(0))
    assert found.is_contiguous(memory_format=torch.channels_last) and found.dtype == torch.uint8
    times = np.bincount([possible[one.tobytes()] for one in found.numpy()], minlength=len(crops))
    # 20 on average, with a standard deviation of 4.5.
    assert times.min() > 0 and times.max() < 50


def test_changes_differ_from_image_to_image_and_keep_their_order():
    levels = np.arange(200, dtype=np.uint8)[:, None, None, None]
    found = changed(torch.from_numpy(levels.repeat(3, 1).repeat(32, 2).repeat(32, 3)), True, torch.Generator())
    assert (found.numpy() == levels).all()


def test_the_learning_rate_rises_over_a_fifth_of_the_steps_and_falls_to_nearly_nothing():
    """The rate of a step is that in its middle, so the mean of both lines is a half of the highest."""
    rates = [one_cycle(step, 100) for step in range(100)]
    assert np.mean(rates) == pytest.approx(0.5)
    assert np.argmax(rates) in (19, 20) and max(rates) > 0.97 and 0 < min(rates) < 0.01
    assert all(0 < one_cycle(step, steps) <= 1 for steps in (1, 2, 3, 4, 5) for step in range(steps))


@pytest.mark.parametrize(
    ("images", "batch_size", "batches"),
    [(50_000, 256, 196), (5000, 256, 50), (1257, 256, 51), (200, 256, 13), (17, 256, 2), (3, 256, 1), (200, 10, 20)],
)
def test_small_datasets_have_smaller_batches(images, batch_size, batches):
    assert batches_per_epoch(images, batch_size) == batches


@pytest.mark.parametrize("batch_size", [1, 256])
def test_very_few_images_of_two_classes_are_enough(few, batch_size):
    labels = np.array([0, 1, 1])
    network = train_classifier(few[0][:3], labels, 2, {**OPTIONS, "batch_size": batch_size}, 0, CPU)
    assert all(tensor.isfinite().all() for tensor in network.state_dict().values())


def test_files_of_the_previous_version_are_refused(tmp_path):
    """With its names and shapes; what to do is said."""
    stages = {
        f"stages.{3 * number}.weight": torch.zeros(2 * inputs if number else 32, inputs, 3, 3)
        for number, inputs in enumerate((3, 32, 64))
    }
    layers = {"hidden.weight": torch.zeros(128, 128), "classes.weight": torch.zeros(10, 128)}
    save_file({**stages, **layers, "classes.bias": torch.zeros(10)}, tmp_path / "classifier.safetensors")
    for read in (load, classes):
        with pytest.raises(UserError, match=f"classifier.safetensors does not hold.*this version.*{AGAIN}"):
            read(tmp_path / "classifier.safetensors", CPU)


def test_files_that_hold_no_classifier_are_refused(tmp_path):
    path = tmp_path / "classifier.safetensors"
    save_file(classifier_network(classes=3).state_dict(), path)
    whole = path.read_bytes()
    for content in (whole[:-1], {"weight": torch.zeros(2)}, {"classes.bias": torch.zeros(3)}):
        path.write_bytes(content) if isinstance(content, bytes) else save_file(content, path)
        with pytest.raises(UserError, match=rf"{path} does not hold.*Delete it"):
            load_classifier(path)


def test_the_number_of_classes():
    assert number_of_classes(np.array([0, 4, 2])) == 5
    for labels in ([0, 0], [3, 3]):
        with pytest.raises(UserError, match="all of one class"):
            number_of_classes(np.array(labels))
