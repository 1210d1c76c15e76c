"""Trained weights as safetensors, with the options that rebuild the network in the metadata."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import AGAIN, FORMAT, atomic, require_format
from autoencoders.networks.network import Autoencoder, NetworkOptions


def save_weights(path: str | Path, network: Autoencoder) -> None:
    # A single metadata key: safetensors writes several in random order.
    metadata = {"network": json.dumps({"format": FORMAT, **network.options.as_dict()}, sort_keys=True)}
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata)


def load_weights(path: str | Path, device: torch.device) -> Autoencoder:
    """The network in eval mode on ``device``. Raises UserError if the file does not hold a cell's weights."""
    try:
        with safe_open(path, "pt") as file:
            options = json.loads(file.metadata()["network"])
            require_format(path, options.pop("format", 1))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        network = Autoencoder(NetworkOptions(**{**options, "depth": tuple(options["depth"])}), seed=0)
        network.load_state_dict(state)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} does not hold a cell's weights ({error}). {AGAIN}") from error
    return network.to(device, memory_format=torch.channels_last).eval()
