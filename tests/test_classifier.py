"""The classifier that serves as an extractor: it learns, it repeats itself, and its file is checked when read."""

import numpy as np
import pytest
import sklearn.utils
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from autoencoders.jobs.errors import UserError
from autoencoders.scores.extractors.classifier import (
    Classifier,
    accuracy,
    load_classifier,
    number_of_classes,
    save_classifier,
    train_classifier,
)

CPU = torch.device("cpu")
OPTIONS = {"epochs": 6, "batch_size": 32, "learning_rate": 2e-3}


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
    network = Classifier(classes=4).eval()
    images = torch.rand(2, 3, size, size)
    assert network(images).shape == (2, 4)
    assert network.features(images).shape == (2, 128)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(digits, tmp_path):
    images, labels = (array[:200] for array in digits)
    saved = []
    for number, seed in enumerate([3, 3, 4]):
        torch.manual_seed(number)  # the global state has no say
        network = train_classifier(images, labels, 10, {**OPTIONS, "epochs": 2}, seed, CPU)
        save_classifier(network, tmp_path / f"{number}.safetensors")
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
    save_classifier(network, tmp_path / "classifier.safetensors")
    loaded = load_classifier(tmp_path / "classifier.safetensors")
    batch = torch.from_numpy(images).float() / 255
    assert not loaded.training
    assert torch.equal(loaded.features(batch), network.features(batch))


def test_files_that_hold_no_classifier_are_refused(tmp_path):
    path = tmp_path / "classifier.safetensors"
    save_classifier(Classifier(classes=3), path)
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
