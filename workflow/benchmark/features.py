"""Images a second through Inception: this pipeline's pass beside pytorch-fid's, on the same layers."""

import time
from collections.abc import Callable

import numpy as np
import torch
from benchmark.comparison import Row, row
from benchmark.machine import job_device
from benchmark.training import default_device
from torch import nn
from torch.nn import functional as F

from autoencoders.scores.features import extract


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


def pass_rate(
    collect: Callable, layout: torch.memory_format, count: int, batch_size: int, device: torch.device
) -> float:
    """Images a second of ``collect`` over ``count`` images of noise, after a first batch that loads libraries."""
    images = np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    network = UntrainedInception().to(device, memory_format=layout).eval()
    collect(network, images[:batch_size], batch_size, device)
    started = time.perf_counter()
    collect(network, images, batch_size, device)
    return count / (time.perf_counter() - started)


def features_row(contender: str, rate: float, count: int, batch_size: int, note: str, ours: bool = False) -> Row:
    note = f"torchvision's untrained Inception v3, {batch_size} images at once; {note}"
    return row("features", f"{count:,} images", contender, rate, "images/s", ours=ours, note=note)


def measure_pipeline(count: int, batch_size: int, gpu: int, threads: int) -> list[Row]:
    """Our pass, under the flags of a job that scores."""
    rate = pass_rate(extract, torch.channels_last, count, batch_size, job_device(gpu, threads))
    return [features_row("this pipeline", rate, count, batch_size, "float32 without TF32, deterministic", ours=True)]


def measure_pytorch_fid(count: int, batch_size: int, gpu: int, threads: int) -> list[Row]:
    """pytorch-fid's pass as PyTorch computes by default and, on a GPU, in the number format that ours has."""
    device = default_device(gpu, threads)

    def line(contender: str, note: str) -> Row:
        rate = pass_rate(pytorch_fids_pass, torch.contiguous_format, count, batch_size, device)
        return features_row(contender, rate, count, batch_size, note)

    if not gpu:
        return [line("pytorch-fid's way", "as PyTorch does by default; pytorch-fid's own batch is 50")]
    rows = [line("pytorch-fid's way", "as by default, its own and PyTorch's: convolutions with TF32")]
    torch.backends.cudnn.allow_tf32 = False
    return [*rows, line("pytorch-fid's way, float32 without TF32", "else as by default")]
