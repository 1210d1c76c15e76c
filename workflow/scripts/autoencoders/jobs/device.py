"""Where a job computes. How it rounds there is in `networks.numerics`."""

import ctypes
import logging
import os
import platform
import re
import resource
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from autoencoders.jobs import gpu_locks, gpu_slots
from autoencoders.jobs.errors import UserError

logger = logging.getLogger(__name__)
# NVIDIA's driver reports its version here on Linux.
DRIVER = Path("/proc/driver/nvidia/version")


def choose_device(gpu: int, wanted: int, slots: int) -> torch.device:
    """The device for a job that was given ``gpu`` slots of GPUs: CUDA, else Apple's MPS; the CPU for 0.

    On a machine with several GPUs, this waits until one has ``wanted`` of its ``slots`` free, and hides the others from
    this process, which must not have used CUDA before. Raises UserError if the job was given a GPU and PyTorch sees
    none (training on the CPU instead would take days), or if the other GPUs can't be hidden.
    """
    if gpu < 1:
        return torch.device("cpu")
    names = gpu_locks.candidates(os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count)
    # A single GPU needs no lock: a cluster calls the GPU of each of its jobs "0", whichever it is.
    if len(names) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu_locks.claim(names, wanted, slots)
        # Without the driver's management library, counting the GPUs has already used CUDA.
        if torch.cuda.device_count() > 1:
            raise UserError(
                f"this machine has several GPUs ({', '.join(names)}), and PyTorch can't be limited to one of them. Set "
                f"CUDA_VISIBLE_DEVICES={','.join(names)} (or to fewer) in front of the snakemake command."
            )
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    raise UserError(
        f"this job was given a GPU, but PyTorch {torch.__version__} sees none. To compute on the CPU, add "
        f"`--resources gpu=0` to the snakemake command. If there is a GPU, check `nvidia-smi` and "
        f"CUDA_VISIBLE_DEVICES (now {os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')!r}); slices of a GPU (MIG) must "
        "be named there, as in `nvidia-smi -L`."
    )


def open_device(gpu: int, threads: int, cells_per_gpu: Mapping[int, int], filters: int | None = None) -> torch.device:
    """Choose the device.

    ``gpu`` and ``threads`` are what Snakemake gave the job; ``cells_per_gpu`` comes from the config. ``filters`` is the
    width of the cell that is trained; any other job takes one slot.
    """
    slots = gpu_slots.slots_per_gpu(cells_per_gpu)
    wanted = 1 if filters is None else gpu_slots.training_slots(cells_per_gpu, filters)
    # Snakemake silently caps a request at its limit. The cell takes all its slots anyway: they keep other jobs away
    # from its GPU.
    if 0 < gpu < wanted:
        logger.warning(
            "this cell takes %d of the %d slots that cells_per_gpu gives a GPU, but --resources allows it %d: write "
            "--resources gpu=%d for one GPU, and add as many for each further GPU",
            *(wanted, slots, gpu, slots),
        )
    device = choose_device(gpu, wanted, slots)
    logger.info("computing on %s with %d CPU thread(s)", describe(device), threads)
    return device


def describe(device: torch.device) -> str:
    """The device's name for people: "NVIDIA H200", "mps", "AMD EPYC 9654 96-Core Processor (x86_64 CPU)"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()} ({platform.machine()} CPU)" if device.type == "cpu" else str(device)


def cpu_name() -> str:
    """The processor's name for people, if the system reports it; else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace", encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def software(device: torch.device) -> dict[str, str]:
    """Versions that are not in a Python package's metadata: the CUDA that PyTorch was built for, and the driver."""
    versions = {"cuda": torch.version.cuda or "none"}
    if device.type == "cuda":
        try:
            found = re.search(r"Kernel Module.*? (\d+\.[\d.]+)", DRIVER.read_text(encoding="utf-8"))
        except OSError:
            found = None
        versions["nvidia driver"] = found[1] if found else "unknown"
    return versions


def peak_memory(device: torch.device) -> int:
    """Peak memory of this process in bytes: the GPU's on CUDA, the resident set elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def require_memory(device: torch.device, megabytes: float) -> None:
    """Raises UserError if a CUDA GPU, or a slice of one, has less memory than training takes.

    Snakemake has asked this before the first job, but for the largest GPU of its own machine.
    """
    if device.type != "cuda":
        return
    memory = torch.cuda.get_device_properties(device).total_memory / 1e6
    if megabytes > memory:
        raise UserError(
            f"training takes about {megabytes / 1e3:.1f} GB of memory, and {describe(device)} has "
            f"{memory / 1e3:.1f} GB. Use a larger GPU, fewer filters, or a smaller training.batch_size."
        )


def energy(device: torch.device) -> float | None:
    """Joules that the GPU has used since its driver was loaded, for all processes on it; None where it is unknown, as
    on a slice of a GPU (MIG): the driver counts for all slices together.

    This calls NVIDIA's management library, which comes with the driver: its Python package would be a dependency for a
    single number.
    """
    if device.type != "cuda":
        return None
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
        handle, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
        sliced, planned = ctypes.c_uint(), ctypes.c_uint()
        name = f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode()
        known = (
            library.nvmlInit_v2() == 0
            and library.nvmlDeviceGetHandleByUUID(name, ctypes.byref(handle)) == 0
            and library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)) == 0
        )
        if not known:
            return None
        # A GPU that can't be sliced refuses this question, and leaves the answer 0.
        library.nvmlDeviceGetMigMode(handle, ctypes.byref(sliced), ctypes.byref(planned))
    except (OSError, AttributeError):
        return None
    return None if sliced.value else millijoules.value / 1000
