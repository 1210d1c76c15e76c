"""What a benchmark runs on, and under which circumstances."""

import datetime
import importlib.metadata
import os
from collections.abc import Mapping

import torch

from autoencoders.jobs.device import cpu_name, open_device
from autoencoders.jobs.provenance import code_version, package_versions
from autoencoders.networks.numerics import repeatable


def cpu_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def job_device(
    gpu: int,
    threads: int,
    cells_per_gpu: Mapping[int, int] | None = None,
    filters: int | None = None,
    tf32: bool = False,
) -> torch.device:
    """The device as the scripts of rules open it, with their flags."""
    repeatable(threads, tf32=tf32)
    return open_device(gpu, threads, cells_per_gpu or {}, filters)


def circumstances(gpu: int, threads: int) -> dict[str, str]:
    """Columns that every row of the table gets."""
    versions = package_versions()
    try:
        versions["pythae"] = importlib.metadata.version("pythae")
    except importlib.metadata.PackageNotFoundError:
        versions["pythae"] = "not installed"
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "commit": code_version(),
        "gpu": torch.cuda.get_device_name() if gpu else "none",
        "cpu": cpu_name(),
        "threads": str(threads),
        "load before": f"{os.getloadavg()[0]:.2f}",
        **versions,
    }
