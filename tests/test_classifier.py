"""The classifier that serves as an extractor: it learns, a seed gives the same bytes again, its file is checked."""

import numpy as np
import pytest
import sklearn.utils
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch.nn import functional as F

from autoencoders.jobs.errors import UserError
from autoencoders.scores.extractors.classifier import (
    accuracy,
    classifier_network,
    load,
    load_classifier,
    number_of_classes,
    train,
    train_classifier,
)
from autoencoders.scores.features import extract

CPU = torch.device("cpu")
OPTIONS = {"epochs": 1, "batch_size": 32, "learning_rate": 2e-3}


def by_hand(weights: dict[str, torch.Tensor], images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and log-probabilities, by the names under which existing files hold the weights."""
    for first in (0, 3, 6):
        norm = [weights[f"stages.{first + 1}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        kernel, bias = weights[f"stages.{first}.weight"], weights[f"stages.{first}.bias"]
        images = F.relu(F.batch_norm(F.conv2d(images, kernel, bias, stride=2, padding=1), *norm))
    features = F.relu(F.linear(images.mean(dim=(2, 3)), weights["hidden.weight"], weights["hidden.bias"]))
    return features, F.linear(features, weights["classes.weight"], weights["classes.bias"])


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
    network = train_classifier(images[:600], labels[:600], 10, {**OPTIONS, "epochs": 5}, 0, CPU)
    assert not network.training
    assert accuracy(network, images[1400:], labels[1400:], 100, CPU) > 0.85


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
    weights = train_classifier(*few, 10, OPTIONS, 0, CPU).state_dict()
    save_file(weights, tmp_path / "classifier.safetensors")
    images = np.kron(few[0][:50], np.ones((size // 32, size // 32), np.uint8))
    # Digits are grey and even within a block, which could hide a mistake.
    images += np.random.default_rng(0).integers(0, 256, images.shape, np.uint8)
    batch = torch.from_numpy(images).float() / 255
    features, predictions = by_hand(weights, batch)
    assert features.shape == (50, 128) and features.std(dim=0).max() > 0
    with torch.inference_mode():
        found = load_classifier(tmp_path / "classifier.safetensors")(batch)
        torch.testing.assert_close(found, predictions, rtol=1e-5, atol=1e-6)
        # Extractors lay out images channels last.
        found = extract(load(tmp_path / "classifier.safetensors", CPU), images, 30, CPU)
        torch.testing.assert_close(found, features, rtol=1e-4, atol=1e-6)


def test_the_seed_alone_decides_and_the_global_random_state_is_left_alone(few, tmp_path):
    saved = []
    for number, seed in enumerate([3, 3, 4]):
        torch.manual_seed(number)
        before = torch.random.get_rng_state()
        network = train_classifier(*few, 10, {**OPTIONS, "epochs": 2}, seed, CPU)
        assert torch.equal(torch.random.get_rng_state(), before)
        save_file(network.state_dict(), tmp_path / f"{number}.safetensors")
        saved.append((tmp_path / f"{number}.safetensors").read_bytes())
    assert saved[0] == saved[1] != saved[2]


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
