"""Inception features and Fréchet distances: this pipeline's and pytorch-fid's, of the same images and features."""

import warnings

import numpy as np
import torch
from benchmark.comparison import Row
from benchmark.machine import Machine, timed
from torch import nn
from torch.nn import functional as F

from autoencoders.scores.features import extract
from autoencoders.scores.measures.frechet import covariance_root, frechet_distance, statistics


class UntrainedInception(nn.Module):
    """torchvision's Inception v3 up to its 2048 features, on images scaled to 299 pixels: pytorch-fid's layers, with
    weights from a seed.
    """

    def __init__(self) -> None:
        super().__init__()
        # Imported here: it takes seconds.
        from torchvision.models import inception_v3

        torch.manual_seed(0)
        self.network = inception_v3(weights=None, aux_logits=False, init_weights=False)
        self.network.fc = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(2 * F.interpolate(images, size=(299, 299), mode="bilinear") - 1)


def pytorch_fid_pass(network: nn.Module, images: np.ndarray, batch_size: int, device: torch.device) -> np.ndarray:
    """Features as pytorch-fid collects them: float32 images from the host, and each batch's features back to it."""
    found = []
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(images[start : start + batch_size]).float().div(255).to(device)
            found.append(network(batch).cpu().numpy())
    return np.concatenate(found)


def measure_features(machine: Machine, contender: str, count: int, batch_size: int) -> list[Row]:
    """Images a second for ``count`` images of noise, after a first batch that loads libraries.

    ``contender`` is "ours"; "theirs", with PyTorch's default flags; or "theirs without TF32", in our number format.
    """
    ours = contender == "ours"
    collect, layout = (extract, torch.channels_last) if ours else (pytorch_fid_pass, torch.contiguous_format)
    device = machine.job_device() if ours else machine.default_device()
    if contender == "theirs without TF32":
        torch.backends.cudnn.allow_tf32 = False
    network = UntrainedInception().to(device, memory_format=layout).eval()
    images = np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    collect(network, images[:batch_size], batch_size, device)
    seconds, _ = timed(collect, network, images, batch_size, device)
    note = f"torchvision's untrained Inception v3, batches of {batch_size}"
    return [Row(count / seconds, "images/s", note, ours)]


def measure_distances(machine: Machine, count: int, dimensions: int) -> list[Row]:
    """Both distances of two sets of (count, dimensions) features, from their moments, and how far they differ."""
    # Imported here: it also imports torchvision.
    from pytorch_fid.fid_score import calculate_frechet_distance

    device = machine.job_device()
    # The first decomposition loads its library.
    covariance_root(torch.eye(2, dtype=torch.float64, device=device))
    sets = [np.random.default_rng(seed).normal(seed, 1 + seed, (count, dimensions)) for seed in (0, 1)]
    reference, other = (statistics(torch.from_numpy(features).to(device)) for features in sets)
    root_seconds, root = timed(covariance_root, reference.covariance)
    seconds, distance = timed(frechet_distance, reference, root, other)
    moments = [moment for features in sets for moment in (features.mean(axis=0), np.cov(features, rowvar=False))]
    with warnings.catch_warnings():
        # pytorch-fid calls scipy.linalg.sqrtm in a deprecated way.
        warnings.simplefilter("ignore", DeprecationWarning)
        their_seconds, theirs = timed(calculate_frechet_distance, *moments)
    difference = f"relative difference to ours {abs(float(distance) / float(theirs) - 1):.1g}"
    return [
        Row(seconds, "s", "once for each score of a cell", ours=True, contender="this pipeline"),
        Row(root_seconds, "s", "once for each dataset", contender="this pipeline, root of the reference"),
        Row(their_seconds, "s", difference, contender="pytorch-fid"),
    ]
