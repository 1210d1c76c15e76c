"""The number formats that a network is trained in: the config's `precision`.

"bf16": convolutions and the decoder's dense layer take and give bfloat16 (8 bits of mantissa) and sum in float32;
weights, batch statistics, codes, losses and the optimiser's state are float32. "tf32": everything is float32, and
NVIDIA GPUs round the inputs of products to 10 bits of mantissa. "fp32": no rounding beyond float32's.
"""

import logging
import os

import torch

logger = logging.getLogger(__name__)

# x86's instructions for bfloat16 products. Without them PyTorch converts to and fro, far slower than float32.
CPU_CAPABILITIES = ("avx512_bf16", "amx_bf16")


def usable(precision: str, device: torch.device) -> str:
    """``precision``, or "fp32" where the device has no fast products in that format."""
    supported = precision == "fp32"
    if device.type == "cuda":
        # Tensor cores of the same age have both formats.
        supported = supported or torch.cuda.is_bf16_supported(including_emulation=False)
    elif precision == "bf16" and device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        supported = any(capabilities.get(name) for name in CPU_CAPABILITIES)
    if supported:
        return precision
    logger.info("this %s has no fast %s products: fp32 it is", device.type, precision)
    return "fp32"


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context in which the network runs forward."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def repeatable(threads: int, *, tf32: bool = False) -> None:
    """Ask for deterministic algorithms, before anything is computed: with as many CPU ``threads``, every run gives the
    same numbers then. ``tf32`` lets a GPU round the float32 inputs of convolutions and matrix products to 10 bits.
    """
    torch.set_num_threads(threads)
    # cuBLAS needs a fixed workspace to add in a fixed order; it reads this when it is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # What use_deterministic_algorithms(True) sets, without its import of the compiler, which takes over a second.
    torch.set_deterministic_debug_mode("error")
    # It would also fill every new tensor with NaN, which only helps to find reads of what was never written.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    # Convolutions would be rounded by default, and products not.
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
