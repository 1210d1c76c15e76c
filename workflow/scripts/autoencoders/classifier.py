"""A small convolutional classifier, trained on a labelled dataset, whose features a Fréchet distance is taken in.

For when the Inception weights cannot be had, and for images nothing like ImageNet.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from autoencoders.errors import UserError
from autoencoders.files import atomic
from autoencoders.progress import Progress
from autoencoders.seeds import stream_seed

FEATURES = 128


class Classifier(nn.Module):
    """Three convolutions of stride 2, a global mean, a hidden layer (the features) and a layer of classes.

    Takes float images (N, 3, H, W) in [0, 1], of 32 or 64 pixels.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        stages = []
        for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
            stages += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.stages = nn.Sequential(*stages)
        self.hidden = nn.Linear(128, FEATURES)
        self.classes = nn.Linear(FEATURES, classes)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Activations (N, 128) of the layer before the classes."""
        return F.relu(self.hidden(self.stages(images).mean(dim=(2, 3))))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Unnormalised log-probabilities (N, classes)."""
        return self.classes(self.features(images))


def number_of_classes(labels: np.ndarray) -> int:
    """How many classes labels (N,) of 0, 1, ... name. Raises UserError where they cannot teach a classifier."""
    if labels.min() < 0:
        raise UserError(
            f"the training images have the label {labels.min()}: labels count from 0, and a negative one usually "
            "means unlabelled. Name another label column, or use the extractor inception for this dataset"
        )
    classes = int(labels.max()) + 1
    if classes < 2:
        raise UserError(
            "the training images are all of one class, so that a classifier has nothing to learn. "
            "Use the extractor inception for this dataset"
        )
    return classes


def train_classifier(
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    options: Mapping[str, float],
    seed: int,
    device: torch.device,
) -> Classifier:
    """Train on uint8 images (N, 3, S, S) and labels (N,) with Adam; the network comes back in eval mode.

    ``options`` holds epochs, batch_size and learning_rate, which falls linearly to a hundredth. The same seed
    gives the same weights on one device.
    """
    # Initial weights are drawn on the CPU, the same for every device, without moving the global random state.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "classifier/weights"))
        network = Classifier(classes)
    network.to(device).train()
    order = torch.Generator().manual_seed(stream_seed(seed, "classifier/order"))
    optimizer = torch.optim.Adam(network.parameters(), lr=options["learning_rate"])
    data = torch.from_numpy(images).to(device)
    targets = torch.from_numpy(labels).long().to(device)

    # At a fixed rate the batch statistics, and with them the accuracy, would swing with the last few batches.
    steps = options["epochs"] * math.ceil(len(images) / options["batch_size"])
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.01, total_iters=steps)

    progress = Progress("training the classifier", options["epochs"] * len(images))
    for epoch in range(options["epochs"]):
        for batch in torch.randperm(len(images), generator=order).to(device).split(options["batch_size"]):
            loss = F.cross_entropy(network(data[batch].float() / 255), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            progress.advance(len(batch))
            if progress.due:
                progress.line(f"epoch {epoch + 1} of {options['epochs']}, loss {loss.item():.3f}")
    progress.line()
    return network.eval()


@torch.inference_mode()
def accuracy(
    network: nn.Module, images: np.ndarray, labels: np.ndarray, batch_size: int, device: torch.device
) -> float:
    """Fraction of uint8 images (N, 3, S, S) whose likeliest class is their label (N,); network in eval mode."""
    right = 0
    for start in range(0, len(images), batch_size):
        batch = torch.from_numpy(images[start : start + batch_size]).to(device).float() / 255
        right += int((network(batch).argmax(dim=1).cpu().numpy() == labels[start : start + batch_size]).sum())
    return right / len(images)


def save_classifier(network: Classifier, path: str | Path) -> None:
    with atomic(path) as temporary:
        save_file({name: tensor.cpu() for name, tensor in network.state_dict().items()}, temporary)


def load_classifier(path: str | Path) -> Classifier:
    """A saved classifier on the CPU, in eval mode. Raises UserError for a file that holds none."""
    try:
        weights = load_file(path)
        network = Classifier(len(weights["classes.bias"]))
        network.load_state_dict(weights)
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise UserError(
            f"{path} does not hold this pipeline's classifier ({type(error).__name__}). "
            "Delete it, and the rule train_classifier makes it again"
        ) from error
    return network.eval()
