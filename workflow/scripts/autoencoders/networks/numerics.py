"""The number formats of training: the config's `precision`.

"bf16": inputs and outputs of convolutions and of the decoder's dense layer are bfloat16 (8 bits of mantissa), summed in
float32; weights, batch statistics, codes, losses and the optimiser's state are float32. "tf32": everything is float32,
but NVIDIA GPUs round the inputs of products to 10 bits of mantissa. "fp32": plain float32.
"""

import logging
import os

import torch

logger = logging.getLogger(__name__)

# x86 instructions for bfloat16 products. Without them PyTorch converts back and forth, far slower than float32.
CPU_CAPABILITIES = ("avx512_bf16", "amx_bf16")


def usable(precision: str, device: torch.device) -> str:
    """``precision``, or "fp32" if the device has no fast products in that format."""
    supported = precision == "fp32"
    if device.type == "cuda":
        # The same generation of tensor cores introduced bf16 and TF32.
        supported = supported or torch.cuda.is_bf16_supported(including_emulation=False)
    elif precision == "bf16" and device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        supported = any(capabilities.get(name) for name in CPU_CAPABILITIES)
    if supported:
        return precision
    logger.info("this %s has no fast %s products: using fp32", device.type, precision)
    return "fp32"


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context of the network's forward pass."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def repeatable(threads: int, *, tf32: bool = False) -> None:
    """Select deterministic algorithms; call it before anything is computed. With the same number of CPU ``threads``,
    every run then gives the same numbers. ``tf32`` lets a GPU round the float32 inputs of convolutions and matrix
    products to 10 bits. Products of bfloat16 are summed in float32.
    """
    torch.set_num_threads(threads)
    # With a fixed workspace, cuBLAS sums in a fixed order; it reads this at its first use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Like use_deterministic_algorithms(True), but without importing the compiler, which takes over a second.
    torch.set_deterministic_debug_mode("error")
    # Otherwise every new tensor is filled with NaN, which only helps to find reads of uninitialised memory.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    # By default convolutions would use TF32, and matrix products would not.
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    # By default cuBLAS may round partial sums of bfloat16 products to bfloat16.
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
