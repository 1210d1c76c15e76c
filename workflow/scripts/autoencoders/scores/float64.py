"""Features in float64, for arithmetic that float32 would spoil.

PyTorch is imported inside functions, since Snakemake's own process reads measures, which import this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def float64_device(device: torch.device) -> torch.device:
    """The device for float64 arithmetic: ``device`` itself, but the CPU for Apple's MPS, which has no float64."""
    import torch

    return torch.device("cpu") if device.type == "mps" else device


def in_float64(features: Tensor) -> Tensor:
    """Features in float64, on the device that has it (see `float64_device`)."""
    return features.to(float64_device(features.device)).double()
