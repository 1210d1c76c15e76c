"""A small convolutional classifier, trained on a labelled dataset, whose features are used for a Fréchet distance.

It is for machines without the Inception weights, and for images unlike those of ImageNet.
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import AGAIN, require_format
from autoencoders.jobs.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

logger = logging.getLogger(__name__)

OPTIONS = {
    "epochs": {"type": "integer", "minimum": 1, "default": 10, "description": "a whole number, at least 1"},
    "batch_size": {"type": "integer", "minimum": 1, "default": 128, "description": "a whole number, at least 1"},
    "learning_rate": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 3e-3,
        "description": "above 0, as in 3.0e-3",
    },
}
NEEDS_LABELS = True
MINUTES = 30
FEATURES = 128


def classifier_network(classes: int) -> torch.nn.Sequential:
    """Three convolutions of stride 2, a global mean, a hidden layer (the features) and a layer of classes.

    Takes float images (N, 3, H, W) in [0, 1], of 32 or 64 pixels; returns logits (N, classes).
    """
    from torch import nn

    stages = []
    for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
        stages += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    layers = OrderedDict(
        stages=nn.Sequential(*stages),
        mean=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        hidden=nn.Linear(128, FEATURES),
        active=nn.ReLU(),
        classes=nn.Linear(FEATURES, classes),
    )
    return nn.Sequential(layers)


def load(path: str | Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Activations (N, 128) of the layer before the classes."""
    import torch

    return load_classifier(path).to(device, memory_format=torch.channels_last)[:-1]


def number_of_classes(labels: np.ndarray) -> int:
    """The number of classes in labels (N,) of 0, 1, ... Raises UserError if no classifier can be trained on them."""
    if labels.min() == labels.max():
        raise UserError(
            "the training images are all of one class, so a classifier has nothing to learn. "
            "Use the extractor inception for this dataset"
        )
    return int(labels.max()) + 1


def train(
    images: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    options: Mapping,
    seed: int,
    device: torch.device,
) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Train on the images and labels of "train"; the record has the accuracy on those of "test", or None if labels are
    unknown.

    If a classifier has not learnt its classes, its features make a poor distance.
    """
    import numpy as np

    classes = number_of_classes(labels["train"])
    start = time.monotonic()
    network = train_classifier(images["train"], labels["train"], classes, options, seed, device)
    seconds = time.monotonic() - start
    right = commonest = None
    if (labels["test"] < 0).any():
        logger.warning("the classifier's test accuracy is unknown, as labels of test images are")
    else:
        right = accuracy(network, images["test"], labels["test"], options["batch_size"], device)
        # The accuracy of always guessing the most frequent class.
        commonest = float(np.bincount(labels["test"]).max() / len(labels["test"]))
        logger.info("the classifier's test accuracy is %.1f%%", 100 * right)
    record = {
        "classes": classes,
        "training_images": len(images["train"]),
        "test_accuracy": right,
        "commonest_class": commonest,
        "seconds": seconds,
    }
    return network.state_dict(), record


def train_classifier(
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    options: Mapping[str, float],
    seed: int,
    device: torch.device,
) -> torch.nn.Sequential:
    """Train on uint8 images (N, 3, S, S) and labels (N,) with Adam; returns the network in eval mode.

    ``options`` holds epochs, batch_size and learning_rate, which falls linearly to a hundredth. The same seed
    gives the same weights on one device.
    """
    import torch
    from torch.nn import functional as F

    from autoencoders.config.seeds import stream_seed

    # Initial weights are drawn on the CPU, the same for all devices; the global random state does not change.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "classifier/weights"))
        network = classifier_network(classes)
    network.to(device).train()
    order = torch.Generator().manual_seed(stream_seed(seed, "classifier/order"))
    optimizer = torch.optim.Adam(network.parameters(), lr=options["learning_rate"])
    data = torch.from_numpy(images).to(device)
    targets = torch.from_numpy(labels).long().to(device)

    # At a constant rate, batch statistics and accuracy would depend on the last few batches.
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


def accuracy(
    network: torch.nn.Module, images: np.ndarray, labels: np.ndarray, batch_size: int, device: torch.device
) -> float:
    """Fraction of uint8 images (N, 3, S, S) whose most likely class is their label (N,); network in eval mode."""
    import torch

    right = 0
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(images[start : start + batch_size]).to(device).float() / 255
            right += int((network(batch).argmax(dim=1).cpu().numpy() == labels[start : start + batch_size]).sum())
    return right / len(images)


def load_classifier(path: str | Path) -> torch.nn.Sequential:
    """A saved classifier on the CPU, in eval mode. Raises UserError for any other file."""
    import torch
    from safetensors import SafetensorError

    from autoencoders.jobs.tensor_files import read_tensors

    try:
        arrays, metadata = read_tensors(path, "extractor")
        # Text in earlier versions.
        require_format(path, int(metadata.get("format", 1)))
        network = classifier_network(len(arrays["classes.bias"]))
        network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} does not hold this pipeline's classifier ({type(error).__name__}). {AGAIN}") from error
    return network.eval()
