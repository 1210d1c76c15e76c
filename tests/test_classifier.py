"""The classifier that serves as an extractor: it learns, it repeats itself, and its file is checked when read."""

import numpy as np
import pytest
import sklearn.utils
import torch
from safetensors.torch import load_file, save_file
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
OPTIONS = {"epochs": 6, "batch_size": 32, "learning_rate": 2e-3}


class Classifier(nn.Module):
    """The classifier as it was first written: what files and tables of then hold are this one's."""

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


def test_learns_the_digits(digits):
    images, labels = digits
    network = train_classifier(images[:1400], labels[:1400], 10, OPTIONS, 0, CPU)
    assert not network.training
    assert accuracy(network, images[1400:], labels[1400:], 100, CPU) > 0.9


def test_accuracy_is_the_fraction_that_is_right():
    class Brightness(torch.nn.Module):
        """Says class 1 of bright images."""

        def forward(self, images):
            bright = images.mean(dim=(1, 2, 3)) - 0.5
            return torch.stack([-bright, bright], dim=1)

    images = np.zeros((5, 3, 32, 32), np.uint8)
    images[2:] = 255
    assert accuracy(Brightness(), images, np.array([0, 1, 1, 1, 0]), 2, CPU) == pytest.approx(3 / 5)


@pytest.mark.parametrize("size", [32, 64])
def test_takes_both_sizes(size):
    network = classifier_network(classes=4).eval()
    images = torch.rand(2, 3, size, size)
    assert network(images).shape == (2, 4)
    assert network[:-1](images).shape == (2, 128)


@pytest.fixture(scope="module")
def trained(digits) -> dict[str, torch.Tensor]:
    """Weights, and statistics of batches, that are not those of the start."""
    images, labels = (array[:200] for array in digits)
    return train_classifier(images, labels, 10, {**OPTIONS, "epochs": 1}, 0, CPU).state_dict()


@pytest.mark.parametrize("size", [32, 64])
def test_features_and_predictions_are_the_first_classifiers_to_the_bit(digits, trained, size, tmp_path):
    first, network = Classifier(classes=10).eval(), classifier_network(classes=10).eval()
    images = np.kron(digits[0][:50], np.ones((size // 32, size // 32), np.uint8))
    # Digits are grey and even within a block, which could hide a mistake.
    images += np.random.default_rng(0).integers(0, 256, images.shape, np.uint8)
    batch = torch.from_numpy(images).float() / 255
    for either in (first, network):
        either.load_state_dict(trained)
    with torch.inference_mode():
        # Extractors lay out images channels last, training does not, and convolutions may round otherwise.
        for layout in (torch.contiguous_format, torch.channels_last):
            for either in (first, network):
                either.to(memory_format=layout)
            batch = batch.contiguous(memory_format=layout)
            assert torch.equal(network(batch), first(batch))
            assert torch.equal(network[:-1](batch), first.features(batch))
        save_file(trained, tmp_path / "classifier.safetensors")
        features = extract(load(tmp_path / "classifier.safetensors", CPU), images, 50, CPU)
        assert torch.equal(features, first.features(batch))
        assert features.std(dim=0).max() > 0


@pytest.mark.parametrize("size", [32, 64])
def test_a_seed_starts_and_teaches_as_it_did_the_first_classifier(size):
    networks = []
    for make in (Classifier, classifier_network):
        torch.manual_seed(2)
        networks.append(make(classes=4))
    images, labels = torch.rand(20, 3, size, size), torch.arange(20) % 4
    for network in networks:
        F.cross_entropy(network.train()(images), labels).backward()
    first, second = (dict(network.named_parameters()) for network in networks)
    assert list(first) == list(second)
    for name, parameter in first.items():
        assert torch.equal(parameter, second[name]), name
        assert torch.equal(parameter.grad, second[name].grad), name


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(digits, tmp_path):
    images, labels = (array[:200] for array in digits)
    saved = []
    for number, seed in enumerate([3, 3, 4]):
        torch.manual_seed(number)  # the global state has no say
        network = train_classifier(images, labels, 10, {**OPTIONS, "epochs": 2}, seed, CPU)
        save_file(network.state_dict(), tmp_path / f"{number}.safetensors")
        saved.append((tmp_path / f"{number}.safetensors").read_bytes())
    assert saved[0] == saved[1]
    assert saved[0] != saved[2]


def test_training_leaves_the_global_random_state_alone(digits):
    images, labels = (array[:20] for array in digits)
    before = torch.random.get_rng_state()
    train_classifier(images, labels, 10, {**OPTIONS, "epochs": 1}, 0, CPU)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_seed_decides_the_order_of_the_images_too(digits, monkeypatch):
    """With equal initial weights, two seeds still end apart."""
    images, labels = (array[:200] for array in digits)
    monkeypatch.setattr("torch.manual_seed", lambda seed, original=torch.manual_seed: original(0))
    first, second = (train_classifier(images, labels, 10, {**OPTIONS, "epochs": 1}, seed, CPU) for seed in (0, 1))
    assert not torch.equal(first.classes.weight, second.classes.weight)


def test_a_saved_classifier_gives_the_same_features(digits, tmp_path):
    images, labels = (array[:200] for array in digits)
    network = train_classifier(images, labels, 10, {**OPTIONS, "epochs": 1}, 0, CPU)
    save_file(network.state_dict(), tmp_path / "classifier.safetensors")
    loaded = load_classifier(tmp_path / "classifier.safetensors")
    batch = torch.from_numpy(images).float() / 255
    assert not loaded.training
    assert torch.equal(loaded[:-1](batch), network[:-1](batch))


def test_training_gives_the_weights_and_a_record_of_what_they_are_worth(digits, tmp_path):
    images, labels = digits
    splits = {"train": slice(0, 150), "test": slice(150, 230)}
    images, labels = ({name: array[part] for name, part in splits.items()} for array in digits)
    # Of eight classes in training alone.
    labels = {name: array % 8 for name, array in labels.items()}
    tensors, record = train(images, labels, {**OPTIONS, "epochs": 1}, 5, CPU)
    expected = train_classifier(images["train"], labels["train"], 8, {**OPTIONS, "epochs": 1}, 5, CPU)
    save_file(tensors, tmp_path / "classifier.safetensors")
    stored = load_file(tmp_path / "classifier.safetensors")
    assert set(stored) == set(expected.state_dict())
    assert all(torch.equal(tensor, stored[name]) for name, tensor in expected.state_dict().items())
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
    path.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=rf"{path} does not hold.*Delete it"):
        load_classifier(path)
    for tensors in ({"weight": torch.zeros(2)}, {"classes.bias": torch.zeros(3)}):
        save_file(tensors, path)
        with pytest.raises(UserError, match=rf"{path} does not hold.*Delete it"):
            load_classifier(path)


def test_the_number_of_classes_is_one_more_than_the_largest_label():
    assert number_of_classes(np.array([0, 4, 2])) == 5


@pytest.mark.parametrize(("labels", "message"), [([0, -1, 1], "label -1"), ([0, 0], "all of one class")])
def test_labels_that_teach_nothing_are_refused(labels, message):
    with pytest.raises(UserError, match=rf"{message}.*inception"):
        number_of_classes(np.array(labels))
