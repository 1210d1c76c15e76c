"""Arrays in safetensors files, with a checksum and other metadata as JSON: weights and checkpoints."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from autoencoders.jobs.files import atomic

# The key of the checksum among the other metadata. Files of earlier versions have none.
CHECKSUM = "sha256"


def write_tensors(path: str | Path, kind: str, arrays: Mapping[str, np.ndarray], metadata: Mapping) -> None:
    """Write arrays, and metadata that JSON can hold (a dict with text as keys), under the key ``kind``."""
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    # A single metadata key: safetensors writes several in random order. Inside it, order is kept: a resumed training
    # goes on with the columns of its history in the order that they were in.
    text = json.dumps({**metadata, CHECKSUM: checksum(arrays, metadata)})
    with atomic(path) as temporary:
        save_file(arrays, temporary, {kind: text})


def read_tensors(path: str | Path, kind: str) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and the metadata of ``write_tensors``; of a file without such metadata, what it has instead.

    Raises SafetensorError, TypeError or ValueError for a damaged file.
    """
    with safe_open(path, "numpy") as file:
        found = file.metadata() or {}
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    metadata = dict(json.loads(found[kind])) if kind in found else found
    if CHECKSUM in metadata and metadata.pop(CHECKSUM) != checksum(arrays, metadata):
        raise ValueError("its checksum is wrong")
    return arrays, metadata


def checksum(arrays: Mapping[str, np.ndarray], metadata: Mapping) -> str:
    """SHA-256 of the metadata, and of the names, dtypes, shapes and bytes of the arrays, in the order of names."""
    found = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        found.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        found.update(np.ascontiguousarray(array))
    return found.hexdigest()
