"""Extractors: networks that turn images into the feature vectors that a Fréchet distance compares."""

import textwrap
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from autoencoders.batches import in_batches
from autoencoders.classifier import Classifier, load_classifier
from autoencoders.errors import UserError
from autoencoders.progress import Progress


class InceptionFeatures(nn.Module):
    """The Inception network of the FID: pytorch-fid's, with its resize to 299 pixels and its scaling to [-1, 1].

    ``path`` is pytorch-fid's weights file, ``block`` one of the four places where pytorch-fid takes features: 0, 1, 2
    and 3 have 64, 192, 768 and 2048 of them; the FID's are the last. Raises UserError for a file of anything else.
    """

    def __init__(self, path: str | Path, block: int = 3) -> None:
        super().__init__()
        # Imported here: it takes torchvision along, and a job that scores in classifier features needs neither.
        from pytorch_fid.inception import InceptionV3

        weights = read_inception_weights(path)
        # pytorch-fid fetches its weights from its own address and takes no file, so for this one call its fetching
        # function hands over ours. It loads them strictly: every key has to fit.
        try:
            with mock.patch("pytorch_fid.inception.load_state_dict_from_url", lambda *_, **__: weights):
                self.network = InceptionV3([block])
        except (RuntimeError, TypeError, AttributeError) as error:
            raise not_inception(path, textwrap.shorten(str(error), 200)) from error

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (N, D) of float images (N, 3, H, W) in [0, 1]: the mean over space, as pytorch-fid takes it."""
        (features,) = self.network(images)
        return nn.functional.adaptive_avg_pool2d(features, output_size=(1, 1)).flatten(start_dim=1)


class ClassifierFeatures(nn.Module):
    """The layer before the classes of a classifier that the pipeline has trained: 128 features."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (N, 128) of float images (N, 3, H, W) in [0, 1]."""
        return self.classifier.features(images)


def read_inception_weights(path: str | Path) -> dict[str, torch.Tensor]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # What torch raises depends on where in the file it stumbles; whatever it is, the file is the wrong one. Its
    # message is kept back: it advises to switch off the very check that keeps a file from running code.
    except Exception as error:
        raise not_inception(path, f"reading it as weights ended with {type(error).__name__}") from error


def not_inception(path: str | Path, why: str) -> UserError:
    return UserError(
        f"{path} does not hold pytorch-fid's Inception weights (pt_inception-2015-12-05-6726825d.pth): {why}. "
        "Write the path of that file to extractors.inception.weights, or remove the setting (and this file, if it was "
        "downloaded), so that it is downloaded again"
    )


def load_extractor(name: str, path: str | Path, device: torch.device) -> nn.Module:
    """The extractor ``name``, "inception" or "classifier", with the weights in ``path``: in eval mode, on ``device``.

    Its weights are laid out channels last, as `extract` lays out images: convolutions are fastest so.
    """
    if name == "inception":
        network = InceptionFeatures(path)
    elif name == "classifier":
        network = ClassifierFeatures(load_classifier(path))
    else:
        raise UserError(f"there is no extractor {name!r}: write inception or classifier")
    return network.to(device, memory_format=torch.channels_last).eval()


@torch.inference_mode()
def extract(network: nn.Module, images: np.ndarray, batch_size: int, device: torch.device) -> torch.Tensor:
    """Features (N, D), float32 on ``device``, of uint8 images (N, 3, S, S); network in eval mode, on the device.

    The images go to the device in one copy, and the features stay there. Batches are as in `in_batches`. Raises
    UserError where there are no images, since D is then unknown.
    """
    if len(images) == 0:
        raise UserError("there are no images to take features of")
    progress = Progress("extracting features", len(images))
    pixels = torch.from_numpy(images).to(device)
    features = []

    def work(batch: slice) -> None:
        features.append(network(pixels[batch].to(torch.float32, memory_format=torch.channels_last).div_(255)))
        progress.step(len(features[-1]))

    in_batches(work, len(images), batch_size)
    # A GPU has only been given the batches so far. Reading from the last makes the last line's rate that of their work.
    features[-1].flatten()[0].item()
    # A few seconds' work needs no line, and a score does it once for each image set.
    if progress.seconds >= progress.interval:
        progress.line()
    return torch.cat(features)
