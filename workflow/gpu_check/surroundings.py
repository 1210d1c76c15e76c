"""The machine that the check runs on."""

import math
from collections.abc import Iterator

import torch
from benchmark.machine import circumstances
from gpu_check import rows
from gpu_check.sizes import Check

from autoencoders.jobs.device import energy, software

NAME = "PyTorch computes on the GPU"


def surroundings(check: Check) -> Iterator[dict]:
    """What the page says about the machine; and the sum of a product of two matrices of ones."""
    device = check.machine.job_device()
    found = circumstances(check.machine) | software(device)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "GPU memory": f"{properties.total_memory / 2**30:.1f} GiB",
            "compute capability": f"{properties.major}.{properties.minor}",
            "cudnn": str(torch.backends.cudnn.version()),
            "energy counter": "missing" if energy(device) is None else "read",
        }
    for key, text in found.items():
        yield rows.value("machine", key, "", math.nan, "", text)
    if check.dry:
        yield rows.outcome("machine", NAME, None, "no GPU")
        return
    ones = torch.ones(256, 256, device=device)
    total = (ones @ ones).sum().item()
    yield rows.outcome("machine", NAME, total == 256**3, f"the sum of a product is {total:.0f}, expected {256**3}")
