"""Features of images by any extractor."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.progress import Progress
from autoencoders.networks.batches import in_batches


def load_extractor(
    entry: Mapping[str, object], weights: str | Path, device: torch.device
) -> Callable[[Tensor], Tensor]:
    """The network of an extractor's entry in the config: a function from images to features, as `extract` calls it."""
    return kinds.load("extractors", entry["kind"]).load(weights, device, **kinds.feature_options(entry))


def load_classes(
    entry: Mapping[str, object], weights: str | Path, device: torch.device, measures: Mapping[str, Mapping]
) -> Callable[[Tensor], Tensor] | None:
    """A function from these features to logits of the network's classes; None if none of the ``measures`` needs them,
    or the network has none.
    """
    module = kinds.load("extractors", entry["kind"])
    needed = any(kinds.needs(kinds.load("measures", each["kind"]), "OF_CLASSES", False) for each in measures.values())
    return module.classes(weights, device) if needed and hasattr(module, "classes") else None


def recorded_name(name: str, entry: Mapping[str, object], weights_sha256: str) -> str:
    """The name of an extractor in tables: that of its entry, unless its kind reserves this name for some weights."""
    module = kinds.load("extractors", entry["kind"])
    return module.recorded_name(weights_sha256) if name == entry["kind"] and hasattr(module, "recorded_name") else name


@torch.no_grad()
def extract(
    network: Callable[[Tensor], Tensor], images: np.ndarray, batch_size: int, device: torch.device
) -> torch.Tensor:
    """Features (N, D), float32 on ``device``, of uint8 images (N, 3, S, S), by an extractor on that device.

    The images go to the device in one copy, and the features stay there. For batches, see `in_batches`. Raises
    UserError if there are no images, since D is then unknown.
    """
    if len(images) == 0:
        raise UserError("there are no images to extract features from")
    progress = Progress("extracting features", len(images))
    pixels = torch.from_numpy(images).to(device)
    features = []

    def work(batch: slice) -> None:
        features.append(network(pixels[batch].to(torch.float32, memory_format=torch.channels_last).div_(255)))
        progress.step(len(features[-1]))

    in_batches(work, len(images), batch_size)
    # A GPU may still be computing. Reading from the last batch waits for it, so that the last line has the real rate.
    features[-1].flatten()[0].item()
    # Work of a few seconds needs no line: scoring does it for every image set.
    if progress.seconds >= progress.interval:
        progress.line()
    return torch.cat(features)


def finite_features(
    network: Callable[[Tensor], Tensor], images: np.ndarray, batch_size: int, device: torch.device, what: str
) -> torch.Tensor:
    """Features (N, D), float32 on ``device``, of uint8 images (N, 3, S, S).

    Raises UserError, naming ``what``, if any is not finite.
    """
    features = extract(network, images, batch_size, device)
    bad = len(images) - int(features.isfinite().all(dim=1).sum())
    if bad:
        raise UserError(
            f"the features of {bad} of {len(images)} images of {what} are not finite: the extractor's weights are "
            "broken. Replace their file, or delete it if a job wrote it, and the next run creates it again"
        )
    return features
