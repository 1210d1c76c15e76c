"""The bytes of stored arrays, weights and checkpoints, and the number of their format.

No rule has the code that writes them as input: this number alone decides what runs again when they change.
"""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from autoencoders.data.prepared_images import load_images
from autoencoders.jobs import checkpoints, files
from autoencoders.jobs.checkpoint_locks import unlock
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.tensor_files import write_tensors
from autoencoders.networks.network import Autoencoder, NetworkOptions
from autoencoders.networks.weights import load_weights, save_weights
from autoencoders.scores.extractors.classifier import classifier_network, load_classifier

# If one of these changes and old files look like new ones: increase FORMAT, add the new bytes under its number, and say
# in CHANGELOG.md that everything is computed again. If they can be told apart, move the old bytes to EARLIER.
BYTES = {
    1: {
        "npz": "4dcc844d6713aa2753ef2608b7bd682aecf830e4695a743dbb9308cad642164b",
        "npy": "889365233f80f3a4632f0e788d028b60f50d4c31f7c368c08882e471929ab991",
        "weights": "3059a73df6a7ede7f8e522d9fbbbd2579a0231330fbdb104e96a1272e2a3a834",
        "checkpoint": "562774e9de021186541d92f7490230d9fa228b647252e6382d7d28f89f0397a5",
    }
}
# What versions up to 0.11.0 wrote in the same format: files without checksums.
EARLIER = {
    "npy": "47d9cb788e60cfff38faf2237400d94063bde1f42a0ad39297e02642caca6b56",
    "weights": "ce5e2fdee9bf19982aa06666086181cfdad12f7eecbb313bdafca0d3db49f506",
    "checkpoint": "6c4c8cbafc637d4e3c638c87e30b9a3c4541ed9f84fb7d509fdb6aecaf5b74dc",
}
ARRAYS = {"weights": np.ones(2), "means": np.arange(6, dtype=np.float32).reshape(2, 3)}
OPTIONS = NetworkOptions(size=32, filters=2, depth=(1, 1, 1, 1), latent=3)
CPU = torch.device("cpu")


def plain_weights() -> dict[str, torch.Tensor]:
    """Not what PyTorch's generator draws, which may differ between its versions."""
    return {name: torch.ones_like(tensor) for name, tensor in Autoencoder(OPTIONS, seed=0).state_dict().items()}


@pytest.fixture
def stored(tmp_path) -> Path:
    """A folder with one file of each kind."""
    files.write_npz(tmp_path / "npz", ARRAYS)
    files.write_npy(tmp_path / "npy", ARRAYS["means"])
    network = Autoencoder(OPTIONS, seed=0)
    network.load_state_dict(plain_weights())
    save_weights(tmp_path / "weights", network)
    checkpoints.Checkpoint(tmp_path / "checkpoint", "key", 10).save(ARRAYS, {"epoch": 1})
    unlock(tmp_path / "checkpoint")
    return tmp_path


def content(file: Path) -> bytes:
    """A file's bytes; of an npz file those of its members, since versions of Python pack them differently."""
    if file.name != "npz":
        return file.read_bytes()
    with zipfile.ZipFile(file) as members:
        parts = [(member.filename, member.compress_type, members.read(member)) for member in members.infolist()]
    return repr(parts).encode()


def test_the_written_bytes_belong_to_the_number_of_the_format(stored):
    found = {file.name: hashlib.sha256(content(file)).hexdigest() for file in stored.iterdir()}
    assert found == BYTES[files.FORMAT]


def test_files_without_checksums_of_earlier_versions_are_read(tmp_path):
    """Written as those versions did."""
    with open(tmp_path / "npy", "wb") as file:
        np.save(file, ARRAYS["means"])
    options = {"network": json.dumps({"format": 1, **OPTIONS.as_dict()}, sort_keys=True)}
    save_file({name: tensor.contiguous() for name, tensor in plain_weights().items()}, tmp_path / "weights", options)
    progress = {"checkpoint": json.dumps({"key": "key", "progress": {"epoch": 1}})}
    save_file({name: torch.from_numpy(array) for name, array in ARRAYS.items()}, tmp_path / "checkpoint", progress)
    assert {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in tmp_path.iterdir()} == EARLIER
    assert np.array_equal(files.read_npy(tmp_path / "npy"), ARRAYS["means"])
    network = load_weights(tmp_path / "weights", CPU)
    assert network.options == OPTIONS
    assert all(torch.equal(tensor, plain_weights()[name]) for name, tensor in network.state_dict().items())
    arrays, progress = checkpoints.Checkpoint(tmp_path / "checkpoint", "key", 10).load()
    assert progress == {"epoch": 1} and arrays.keys() == ARRAYS.keys()
    assert all(np.array_equal(array, ARRAYS[name]) for name, array in arrays.items())


def test_files_of_another_format_are_refused(stored, monkeypatch):
    files.write_npz(stored / "train.npz", {"images": np.zeros((2, 3, 32, 32), np.uint8)})
    tensors = {name: tensor.contiguous() for name, tensor in classifier_network(3).state_dict().items()}
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    write_tensors(stored / "classifier", "extractor", arrays, {"format": files.FORMAT})
    # Of versions up to 0.11.0.
    save_file(tensors, stored / "earlier classifier", {"format": "1"})
    key = checkpoints.checkpoint_key({"a": 1}, [])
    readers = {
        "npz": files.read_npz,
        "train.npz": load_images,
        "weights": lambda path: load_weights(path, CPU),
        "classifier": load_classifier,
        "earlier classifier": load_classifier,
    }
    for name, read in readers.items():
        read(stored / name)
    monkeypatch.setattr(files, "FORMAT", 2)
    for name, read in readers.items():
        with pytest.raises(UserError, match=rf"{name} is in format 1, and this version reads 2.*Delete it"):
            read(stored / name)
    # A checkpoint's number is in its key.
    monkeypatch.setattr(checkpoints, "FORMAT", 2)
    assert checkpoints.checkpoint_key({"a": 1}, []) != key


def test_files_without_a_number_are_in_format_1(tmp_path):
    metadata = {"network": json.dumps(OPTIONS.as_dict(), sort_keys=True)}
    save_file({name: tensor.contiguous() for name, tensor in plain_weights().items()}, tmp_path / "weights", metadata)
    assert load_weights(tmp_path / "weights", CPU).options == OPTIONS
    np.savez(tmp_path / "mvg.npz", means=np.ones(3))
    assert set(files.read_npz(tmp_path / "mvg.npz")) == {"means"}
