"""The bytes in which arrays, weights and checkpoints are stored, and the number of that format.

Writing them is no input of any rule: what is made anew where they change is decided by the number alone.
"""

import hashlib
import json
import zipfile

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from autoencoders.data.prepared_images import load_images
from autoencoders.jobs import files
from autoencoders.jobs.checkpoints import Checkpoint
from autoencoders.jobs.errors import UserError
from autoencoders.networks.network import Autoencoder, NetworkOptions
from autoencoders.networks.weights import load_weights, save_weights

# Where one of these changes, files of before can't be told from those of after: give FORMAT another number, write it
# here with the new bytes, and say in CHANGELOG.md that everything is made again.
BYTES = {
    1: {
        "npz": "4dcc844d6713aa2753ef2608b7bd682aecf830e4695a743dbb9308cad642164b",
        "npy": "47d9cb788e60cfff38faf2237400d94063bde1f42a0ad39297e02642caca6b56",
        "weights": "ce5e2fdee9bf19982aa06666086181cfdad12f7eecbb313bdafca0d3db49f506",
        "checkpoint": "6c4c8cbafc637d4e3c638c87e30b9a3c4541ed9f84fb7d509fdb6aecaf5b74dc",
    }
}
OPTIONS = NetworkOptions(size=32, filters=2, depth=(1, 1, 1, 1), latent=3)


def plain_network() -> Autoencoder:
    network = Autoencoder(OPTIONS, seed=0)
    # Not what PyTorch's generator draws, which may differ between its versions.
    network.load_state_dict({name: torch.ones_like(tensor) for name, tensor in network.state_dict().items()})
    return network


def written(folder) -> dict[str, str]:
    arrays = {"weights": np.ones(2), "means": np.arange(6, dtype=np.float32).reshape(2, 3)}
    files.write_npz(folder / "npz", arrays)
    files.write_npy(folder / "npy", arrays["means"])
    save_weights(folder / "weights", plain_network())
    Checkpoint(folder / "checkpoint", "key", 10).save(arrays, {"epoch": 1})
    return {file.name: hashlib.sha256(content(file)).hexdigest() for file in folder.iterdir()}


def content(file) -> bytes:
    """A file's bytes; of an npz file those of its members, since versions of Python pack them differently."""
    if file.name != "npz":
        return file.read_bytes()
    with zipfile.ZipFile(file) as members:
        parts = [(member.filename, member.compress_type, members.read(member)) for member in members.infolist()]
    return repr(parts).encode()


def test_the_bytes_that_are_written_belong_to_the_number_of_the_format(tmp_path):
    assert written(tmp_path) == BYTES[files.FORMAT]


def test_stored_arrays_and_weights_say_their_format(tmp_path):
    written(tmp_path)
    with np.load(tmp_path / "npz") as arrays:
        assert int(arrays["format"]) == files.FORMAT
    with safe_open(tmp_path / "weights", "pt") as file:
        assert json.loads(file.metadata()["network"])["format"] == files.FORMAT
    assert "format" not in files.read_npz(tmp_path / "npz")


def test_a_file_of_another_format_is_refused(tmp_path, monkeypatch):
    written(tmp_path)
    images = np.zeros((2, 3, 32, 32), np.uint8)
    files.write_npz(tmp_path / "train.npz", {"images": images})
    monkeypatch.setattr(files, "FORMAT", 2)
    for read, name in ((files.read_npz, "npz"), (load_images, "train.npz")):
        with pytest.raises(UserError, match=r"is in format 1, and this version reads 2.*Delete it"):
            read(tmp_path / name)
    with pytest.raises(UserError, match="is in format 1, and this version reads 2"):
        load_weights(tmp_path / "weights", torch.device("cpu"))


def test_a_classifier_of_another_format_is_refused(tmp_path):
    from autoencoders.scores.extractors.classifier import classifier_network, load_classifier

    weights = {name: tensor.contiguous() for name, tensor in classifier_network(3).state_dict().items()}
    save_file(weights, tmp_path / "classifier", {"format": str(files.FORMAT)})
    load_classifier(tmp_path / "classifier")
    save_file(weights, tmp_path / "classifier", {"format": "99"})
    with pytest.raises(UserError, match="is in format 99"):
        load_classifier(tmp_path / "classifier")


def test_a_checkpoint_of_another_format_has_another_key(tmp_path, monkeypatch):
    from autoencoders.jobs import checkpoints

    before = checkpoints.checkpoint_key({"a": 1}, [])
    monkeypatch.setattr(checkpoints, "FORMAT", 2)
    assert checkpoints.checkpoint_key({"a": 1}, []) != before


def test_files_from_before_there_was_a_number_can_be_kept(tmp_path):
    network, path = plain_network(), tmp_path / "weights.safetensors"
    metadata = {"network": json.dumps(OPTIONS.as_dict(), sort_keys=True)}
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path, metadata)
    assert load_weights(path, torch.device("cpu")).options == OPTIONS
    np.savez(tmp_path / "mvg.npz", means=np.ones(3))
    assert set(files.read_npz(tmp_path / "mvg.npz")) == {"means"}
