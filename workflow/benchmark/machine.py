"""Under which circumstances a benchmark ran."""

import datetime
import importlib.metadata
import os

import torch

from autoencoders.jobs.device import cpu_name
from autoencoders.jobs.provenance import code_version, package_versions


def cpu_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
