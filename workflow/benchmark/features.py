"""Images a second through Inception: this pipeline's pass beside pytorch-fid's, on the same layers."""

import time

import numpy as np
import torch
from benchmark.comparison import Row, row
from torch import nn
from torch.nn import functional as F

from autoencoders import device as devices
from autoencoders.features import extract


class UntrainedInception(nn.Module):
    """torchvision's Inception v3, up to its 2048 features: what pytorch-fid's is made of, with weights from a seed.

    Taken at 299 pixels, as pytorch-fid takes images.
    """

    def __init__(self) -> None:
        super().__init__()
        # Imported here: it takes seconds.
        from torchvision.models import inception_v3

        torch.manual_seed(0)
        self.network = inception_v3(weights=None, aux_logits=False, init_weights=False)
        self.network.fc = nn.Identity()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        large = F.interpolate(images, size=(299, 299), mode="bilinear", align_corners=False)
        return self.network(2 * large - 1)


def pytorch_fids_pass(network: nn.Module, images: np.ndarray, batch_size: int, device: torch.device) -> np.ndarray:
    """Features as pytorch-fid collects them: float32 images from the host, and each batch's features back to it."""
    found = []
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(images[start : start + batch_size]).float().div(255).to(device)
            found.append(network(batch).cpu().numpy())
    return np.concatenate(found)


def measure_features(count: int, batch_size: int, gpu: int, threads: int) -> list[Row]:
    """Both passes over ``count`` images of noise; how far their features are apart."""
    device = devices.setup(gpu, threads, {})
    images = np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    rows, features = [], []
    for contender, layout, collect in (
        ("this pipeline", torch.channels_last, extract),
        ("pytorch-fid's way", torch.contiguous_format, pytorch_fids_pass),
    ):
        network = UntrainedInception().to(device, memory_format=layout).eval()
        collect(network, images[:batch_size], batch_size, device)
        started = time.perf_counter()
        found = collect(network, images, batch_size, device)
        seconds = time.perf_counter() - started
        features.append(found if isinstance(found, np.ndarray) else found.cpu().numpy())
        case = f"{count:,} images, {batch_size} at once, float32"
        rows.append(row("features", case, contender, count / seconds, "images/s", ours=contender == "this pipeline"))
    apart = np.abs(features[0] - features[1]).max() / np.abs(features[1]).max()
    rows[1]["note"] = f"largest difference to ours {apart:.1g} of the largest feature"
    return rows
