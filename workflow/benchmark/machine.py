"""The machine that a benchmark runs on, and a clock that waits for the GPU."""

import datetime
import importlib.metadata
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from autoencoders.jobs.device import cpu_name, open_device
from autoencoders.jobs.provenance import code_version, package_versions
from autoencoders.networks.numerics import repeatable


@dataclass(frozen=True)
class Machine:
    """The GPUs (0 or 1) and CPU threads that a measurement uses."""

    gpu: int
    threads: int

    def job_device(self, precision: str = "fp32", cells_per_gpu=None, filters=None) -> torch.device:
        """The device as the rules' scripts open it, with their flags for determinism and number formats."""
        repeatable(self.threads, tf32=precision == "tf32")
        return open_device(self.gpu, self.threads, cells_per_gpu or {}, filters)

    def default_device(self) -> torch.device:
        """The device with PyTorch's own settings; on a GPU convolutions then round to TF32, and products do not."""
        torch.set_num_threads(self.threads)
        return torch.device("cuda" if self.gpu else "cpu")


def this_machine() -> Machine:
    """A GPU if there is one, and all cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(int(torch.cuda.is_available()), cores)


def circumstances(machine: Machine) -> dict[str, str]:
    """Date, code, hardware and versions."""
    installed = {found.name: found.version for found in importlib.metadata.distributions()}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "commit": code_version(),
        "gpu": torch.cuda.get_device_name() if machine.gpu else "none",
        "cpu": cpu_name(),
        "threads": str(machine.threads),
        "load before": f"{os.getloadavg()[0]:.2f}",
        **package_versions(),
        "pythae": installed.get("pythae", "not installed"),
    }


def timed(function: Callable, *arguments: object) -> tuple[float, object]:
    """Seconds until the function's work is done, on a GPU too, and its result."""
    wait = torch.cuda.synchronize if torch.cuda.is_initialized() else lambda: None
    wait()
    started = time.perf_counter()
    result = function(*arguments)
    wait()
    return time.perf_counter() - started, result
