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
from autoencoders.jobs.progress import Progress
from autoencoders.scores.stored_networks import load_network

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

logger = logging.getLogger(__name__)

OPTIONS = {
    "epochs": {"type": "integer", "minimum": 1, "default": 8, "description": "a whole number, at least 1"},
    "batch_size": {"type": "integer", "minimum": 1, "default": 256, "description": "a whole number, at least 1"},
    "learning_rate": {"type": "number", "exclusiveMinimum": 0, "default": 0.2, "description": "above 0, as in 0.2"},
    "flip": {"type": "boolean", "default": True, "description": "true or false"},
}
NEEDS_LABELS = True
MINUTES = 60
# Each convolution's channels and stride; the last channels are the features. At 32 pixels an image takes 53 million
# multiplications and additions.
CONVOLUTIONS = ((32, 1), (64, 2), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2))
# Batches of a small dataset are smaller than asked for, down to 16 images, so that an epoch has about 50 steps.
STEPS, SMALLEST_BATCH = 50, 16
SGD = {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
LABEL_SMOOTHING = 0.1


def classifier_network(classes: int) -> torch.nn.Sequential:
    """Eight convolutions, a global mean of the last one's activations (the features), and a layer of classes.

    Takes float images (N, 3, H, W) in [0, 1], of 32 or 64 pixels; returns logits (N, classes). As in Inception,
    features are means of activations after a ReLU.
    """
    from torch import nn

    stages, inputs = [], 3
    for outputs, stride in CONVOLUTIONS:
        convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        stages += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        inputs = outputs
    layers = OrderedDict(
        stages=nn.Sequential(*stages),
        mean=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        classes=nn.Linear(inputs, classes),
    )
    return nn.Sequential(layers)


def load(path: str | Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Activations (N, 256) of the layer before the classes."""
    import torch

    return load_classifier(path).to(device, memory_format=torch.channels_last)[:-1]


def classes(path: str | Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The layer of classes: features (N, 256), float32, to the classifier's logits (N, classes), float32."""
    return load_classifier(path).to(device).classes


def number_of_classes(labels: np.ndarray) -> int:
    """The number of classes in labels (N,) of 0, 1, ... Raises UserError if no classifier can be trained on them."""
    if labels.min() == labels.max():
        raise UserError(
            "the training images are all of one class, so a classifier has nothing to learn. "
            "Use the extractor inception or random for this dataset"
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
    """Train on uint8 images (N, 3, S, S) and labels (N,); returns the network in eval mode.

    By stochastic gradient descent with momentum, on shifted (and with ``flip`` mirrored) images, in bfloat16 where the
    device has fast products of it. ``options`` are those of `OPTIONS`. The same seed gives the same weights on one
    device with one number of threads.
    """
    import torch
    from torch.nn import functional as F

    from autoencoders.config.seeds import stream_seed
    from autoencoders.networks.numerics import autocast, usable

    # Initial weights are drawn on the CPU, the same for all devices; the global random state does not change.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "classifier/weights"))
        network = classifier_network(classes)
    network.to(device, memory_format=torch.channels_last).train()
    order = torch.Generator().manual_seed(stream_seed(seed, "classifier/order"))
    changes = torch.Generator().manual_seed(stream_seed(seed, "classifier/changes"))
    data = torch.from_numpy(images).to(device)
    targets = torch.from_numpy(labels).long().to(device)
    precision = usable("bf16", device)

    batches = batches_per_epoch(len(images), options["batch_size"])
    steps = options["epochs"] * batches
    optimizer = torch.optim.SGD(network.parameters(), options["learning_rate"], **SGD)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step, steps))

    progress = Progress("training the classifier", options["epochs"] * len(images))
    for epoch in range(options["epochs"]):
        for batch in torch.randperm(len(images), generator=order).to(device).tensor_split(batches):
            pixels = changed(data[batch], options["flip"], changes)
            with autocast(precision, device):
                logits = network(pixels.float() / 255)
            loss = F.cross_entropy(logits.float(), targets[batch], label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            progress.advance(len(batch))
            if progress.due:
                progress.line(f"epoch {epoch + 1} of {options['epochs']}, loss {loss.item():.3f}")
    progress.line()
    return network.eval()


def batches_per_epoch(images: int, batch_size: int) -> int:
    """Into how many batches the images are split. Their sizes differ by one at most: statistics of a last batch of few
    images would be poor.
    """
    return math.ceil(images / min(batch_size, max(images // STEPS, SMALLEST_BATCH)))


def one_cycle(step: int, steps: int) -> float:
    """The learning rate of a step, counted from 0, as a fraction of the highest: it rises linearly over a fifth of the
    steps, and falls linearly to nearly 0.
    """
    done = (step + 0.5) / steps
    return min(done / 0.2, (1 - done) / 0.8)


def changed(images: Tensor, flip: bool, generator: torch.Generator) -> Tensor:
    """Each image (of N, 3, S, S, channels last in the result) is moved by up to an eighth of its size in both
    directions, with its own reflection at the edges, and if ``flip`` mirrored left to right in half of all cases.

    The generator is on the CPU: the changes are the same for all devices.
    """
    import torch

    count, size = len(images), images.shape[-1]
    moves = torch.randint(-(size // 8), size // 8 + 1, (2, count, 1), generator=generator)
    # Where each row and column comes from, at most size - 1 beyond an edge.
    rows, columns = size - 1 - (size - 1 - (torch.arange(size) + moves).abs()).abs()
    if flip:
        columns = torch.where(torch.rand(count, 1, generator=generator) < 0.5, columns.flip(1), columns)
    image, rows, columns = (index.to(images.device) for index in (torch.arange(count), rows, columns))
    return images[image[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


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
    return load_network(
        path, "a classifier of this version", lambda arrays: classifier_network(len(arrays["classes.bias"]))
    )
