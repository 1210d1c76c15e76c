"""Networks of extractors that this pipeline made itself, from their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import AGAIN, require_format

if TYPE_CHECKING:
    import numpy as np
    import torch


def load_network(
    path: str | Path, what: str, build: Callable[[Mapping[str, np.ndarray]], torch.nn.Module]
) -> torch.nn.Module:
    """The network that ``build`` makes for a file's arrays, with these as its tensors: on the CPU, in eval mode.

    Raises UserError for any other file than that of ``what``, as in "a classifier".
    """
    import torch
    from safetensors import SafetensorError

    from autoencoders.jobs.tensor_files import read_tensors

    try:
        arrays, metadata = read_tensors(path, "extractor")
        # Text in earlier versions.
        require_format(path, int(metadata.get("format", 1)))
        network = build(arrays)
        network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} does not hold {what} ({type(error).__name__}). {AGAIN}") from error
    return network.eval()
