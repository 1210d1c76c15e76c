"""How much memory this machine's GPUs have, for a check before the first job.

Snakemake's own process imports this module, so it needs nothing but the standard library.
"""

import subprocess
from typing import NamedTuple

MIB = 2**20


class Gpu(NamedTuple):
    """``memory`` is in bytes."""

    name: str
    memory: int


def largest_gpu() -> Gpu | None:
    """The GPU of this machine with most memory, as `nvidia-smi` says.

    None if that program is missing or fails, or if a GPU is sliced (MIG), whose slices it does not list. A job on
    another GPU checks its own.
    """
    query = "--query-gpu=memory.total,mig.mode.current,name"
    try:
        command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
        lines = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
        rows = [line.split(", ", 2) for line in lines]
        if any(sliced == "Enabled" for _, sliced, _ in rows):
            return None
        return max((Gpu(name, int(memory) * MIB) for memory, _, name in rows), key=lambda gpu: gpu.memory, default=None)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
