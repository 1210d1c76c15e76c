"""Trained weights as safetensors, with the options that rebuild the network in the metadata."""

from pathlib import Path

import torch
from safetensors import SafetensorError

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import AGAIN, FORMAT, require_format
from autoencoders.jobs.tensor_files import read_tensors, write_tensors
from autoencoders.networks.network import Autoencoder, NetworkOptions


def save_weights(path: str | Path, network: Autoencoder) -> None:
    arrays = {name: tensor.numpy(force=True) for name, tensor in network.state_dict().items()}
    write_tensors(path, "network", arrays, {"format": FORMAT, **network.options.as_dict()})


def load_weights(path: str | Path, device: torch.device) -> Autoencoder:
    """The network in eval mode on ``device``. Raises UserError if the file does not hold a cell's weights."""
    try:
        arrays, options = read_tensors(path, "network")
        require_format(path, options.pop("format", 1))
        network = Autoencoder(NetworkOptions(**{**options, "depth": tuple(options["depth"])}), seed=0)
        network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} does not hold a cell's weights ({error}). {AGAIN}") from error
    return network.to(device, memory_format=torch.channels_last).eval()
