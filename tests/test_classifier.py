"""The classifier that serves as an extractor: it learns, a seed gives the same bytes again, its file is checked."""

import numpy as np
import pytest
import sklearn.utils
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn
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


class Classifier(nn.Module):
    """The classifier as it was first written: existing files and tables are this one's."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        stages = []
        for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
            stages += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.stages = nn.Sequential(*stages)
        self.hidden = nn.Linear(128, 128)
        self.classes = nn.Linear(128, classes)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return F.relu(self.hidden(self.stages(images).mean(dim=(2, 3))))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classes(self.features(images))


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
def test_features_and_predictions_are_the_first_classifiers_to_the_bit(few, size, tmp_path):
    trained = train_classifier(*few, 10, OPTIONS, 0, CPU).state_dict()
    save_file(trained, tmp_path / "classifier.safetensors")
    first, network = Classifier(classes=10).eval(), load_classifier(tmp_path / "classifier.safetensors")
    first.load_state_dict(trained)
    images = np.kron(few[0][:50], np.ones((size // 32, size // 32), np.uint8))
    # Digits are grey and even within a block, which could hide a mistake.
    images += np.random.default_rng(0).integers(0, 256, images.shape, np.uint8)
    batch = torch.from_numpy(images).float() / 255
    with torch.inference_mode():
        # Extractors lay out images channels last, training does not, and convolutions may round otherwise.
        for layout in (torch.contiguous_format, torch.channels_last):
            for either in (first, network):
                either.to(memory_format=layout)
            batch = batch.contiguous(memory_format=layout)
            assert torch.equal(network(batch), first(batch))
        features = extract(load(tmp_path / "classifier.safetensors", CPU), images, 50, CPU)
        assert torch.equal(features, first.features(batch))
        assert features.std(dim=0).max() > 0


def test_a_seed_starts_and_teaches_as_it_did_the_first_classifier():
    networks = []
    for make in (Classifier, classifier_network):
        torch.manual_seed(2)
        networks.append(make(classes=4).train())
    images, labels = torch.rand(20, 3, 64, 64), torch.arange(20) % 4
    for network in networks:
        F.cross_entropy(network(images), labels).backward()
    first, second = (dict(network.named_parameters()) for network in networks)
    assert list(first) == list(second)
    for name, parameter in first.items():
        assert torch.equal(parameter, second[name]) and torch.equal(parameter.grad, second[name].grad), name


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


def test_files_that_hold_no_classifier_are_refused(tmp_path):
    path = tmp_path / "classifier.safetensors"
    save_file(classifier_network(classes=3).state_dict(), path)
    whole = path.read_bytes()
    for content in (whole[:-1], {"weight": torch.zeros(2)}, {"classes.bias": torch.zeros(3)}):
        path.write_bytes(content) if isinstance(content, bytes) else save_file(content, path)
        with pytest.raises(UserError, match=rf"{path} does not hold.*Delete it"):
            load_classifier(path)


@pytest.mark.parametrize(
    ("labels", "expected"), [([0, 4, 2], 5), ([0, -1, 1], "label -1.*inception"), ([0, 0], "all of one class")]
)
def test_the_number_of_classes(labels, expected):
    if isinstance(expected, int):
        assert number_of_classes(np.array(labels)) == expected
    else:
        with pytest.raises(UserError, match=expected):
            number_of_classes(np.array(labels))
