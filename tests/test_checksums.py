"""Weights, codes, images, priors and checkpoints with a flipped bit are never read as something else."""

import hashlib
import json
import logging
import random

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from autoencoders.data.prepared_images import load_images, load_labels
from autoencoders.jobs.checkpoints import Checkpoint
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import FORMAT, read_npy, read_npz, write_npy, write_npz
from autoencoders.jobs.tensor_files import read_tensors, write_tensors
from autoencoders.networks.network import Autoencoder, NetworkOptions
from autoencoders.networks.weights import load_weights, save_weights
from autoencoders.scores.extractors.classifier import classifier_network, load_classifier

CPU = torch.device("cpu")
NUMBERS = np.random.default_rng(0)
CODES = NUMBERS.normal(size=(50, 3)).astype(np.float32)
IMAGES = NUMBERS.integers(0, 256, (2, 3, 8, 8), np.uint8)
PRIOR = {"weights": np.array([0.25, 0.75]), "means": CODES[:2], "converged": np.bool_(True)}


def plain(arrays: dict) -> dict:
    """Tensors or arrays as something that can be compared."""
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}


def write_weights(path) -> None:
    save_weights(path, Autoencoder(NetworkOptions(size=32, filters=1, depth=(1, 1, 1, 1), latent=2), seed=0))


def read_weights(path):
    network = load_weights(path, CPU)
    return network.options, plain(network.state_dict())


def write_classifier(path) -> None:
    arrays = {name: tensor.numpy() for name, tensor in classifier_network(3).state_dict().items()}
    write_tensors(path, "extractor", arrays, {"format": FORMAT})


def read_checkpoint(path):
    """A damaged checkpoint only means that the job starts over, with a warning that names the file."""
    found = Checkpoint(path, "a key", 10).load()
    if found is None:
        raise UserError(f"{path} is not used")
    return plain(found[0]), found[1]


KINDS = {
    "weights.safetensors": (write_weights, read_weights),
    "classifier.safetensors": (write_classifier, lambda path: plain(load_classifier(path).state_dict())),
    "checkpoint.safetensors": (
        lambda path: Checkpoint(path, "a key", 10).save(PRIOR, {"epoch": 3, "losses": [0.5, 0.25]}),
        read_checkpoint,
    ),
    "codes.npy": (lambda path: write_npy(path, CODES), lambda path: plain({"": read_npy(path)})),
    "images.npy": (lambda path: write_npy(path, IMAGES), lambda path: plain({"": read_npy(path)})),
    "gmm.npz": (lambda path: write_npz(path, PRIOR), lambda path: plain(read_npz(path))),
    "train.npz": (
        lambda path: write_npz(path, {"images": IMAGES, "labels": np.array([3, 1])}),
        lambda path: plain({"images": load_images(path), "labels": load_labels(path)}),
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_flipped_bit_changes_nothing_or_is_refused_by_name(tmp_path, name, caplog):
    """In every byte, or of a larger file in a thousand bytes, half of them near its beginning, where headers are."""
    write, read = KINDS[name]
    path = tmp_path / name
    write(path)
    whole, expected = path.read_bytes(), read(path)
    caplog.set_level(logging.CRITICAL)  # Each damaged checkpoint gives a warning.
    chance, size = random.Random(0), len(whole)
    some = [*chance.sample(range(min(size, 4000)), min(size, 500)), *chance.sample(range(size), min(size, 500))]
    refused = 0
    places = range(size) if size <= 3000 else some
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            assert read(path) == expected, place
        except UserError as error:
            assert str(path) in str(error)
            refused += 1
    # The rest is what no reader uses, such as time stamps in zip.
    assert refused > 0.6 * len(places)


def test_a_damaged_checkpoint_starts_over_with_a_warning(tmp_path, caplog):
    path = tmp_path / "checkpoint.safetensors"
    Checkpoint(path, "a key", 10).save(PRIOR, {"epoch": 3})
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    assert Checkpoint(path, "a key", 10).load() is None
    assert f"{path} is not a readable checkpoint (its checksum is wrong). This job starts over" in caplog.text


def test_the_trailer_of_npy_is_a_sha256_and_other_readers_ignore_it(tmp_path):
    path = tmp_path / "codes.npy"
    write_npy(path, CODES)
    np.save(tmp_path / "bare.npy", CODES)
    bare = (tmp_path / "bare.npy").read_bytes()
    assert path.read_bytes() == bare + b"\nSHA-256" + hashlib.sha256(bare).digest()
    for found in (np.load(path), np.load(path, mmap_mode="r"), read_npy(tmp_path / "bare.npy")):
        assert np.array_equal(found, CODES)
    # Without a trailer, the file must end with its array; a trailer that the header counts as numbers is none.
    longer = bare.replace(b"(50, 3)", b"(60, 3)")
    rest = bytes(4 * 30 - 40) + path.read_bytes()[len(bare) :]
    for content in (bare + b"x", bare[:-1], path.read_bytes()[:-1], longer + rest):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"codes\.npy is not a readable npy file.*Delete it"):
            read_npy(path)


def test_a_prior_whose_bytes_or_header_are_damaged_is_refused_by_the_checksum_of_zip(tmp_path):
    path = tmp_path / "gmm.npz"
    write_npz(path, {"means": np.arange(5000.0)})
    whole = path.read_bytes()
    number = np.float64(4321).tobytes()
    assert whole.count(number) == 1
    path.write_bytes(whole.replace(number, np.float64(4322).tobytes()))
    with pytest.raises(UserError, match=r"gmm\.npz is not a readable npz file \(Bad CRC-32.*Delete it"):
        read_npz(path)
    # A single bit: NumPy's own reader stops before the end, where the checksum would be compared.
    path.write_bytes(whole.replace(b"(5000,)", b"(4000,)"))
    assert len(np.load(path)["means"]) == 4000
    with pytest.raises(UserError, match=r"gmm\.npz is not a readable npz file"):
        read_npz(path)


ARRAYS = {"a": np.arange(6, dtype=np.float32), "b": np.ones(6, np.float32), "c": np.array(3)}
CHANGED = {
    "bytes": {**ARRAYS, "b": np.zeros(6, np.float32)},
    "names": {**ARRAYS, "a": ARRAYS["b"], "b": ARRAYS["a"]},
    "dtypes": {**ARRAYS, "a": ARRAYS["a"].view(np.int32)},
    "shapes": {**ARRAYS, "a": ARRAYS["a"].reshape(2, 3)},
    "one less": {name: ARRAYS[name] for name in "ac"},
    "one more": {**ARRAYS, "d": np.zeros(0)},
    "metadata": ARRAYS,
}


@pytest.mark.parametrize("change", CHANGED)
def test_the_checksum_of_tensors_covers_everything_that_is_read(tmp_path, change):
    path = tmp_path / "a.safetensors"
    write_tensors(path, "kind", ARRAYS, {"options": {"depth": (1, 2), "rate": 0.1}, "none": None})
    arrays, metadata = read_tensors(path, "kind")
    assert plain(arrays) == plain(ARRAYS) and metadata == {"options": {"depth": [1, 2], "rate": 0.1}, "none": None}
    assert plain(load_file(path)) == plain(ARRAYS)
    with safe_open(path, "numpy") as file:
        (text,) = file.metadata().values()
    found = json.loads(text)
    if change == "metadata":
        found["options"]["rate"] = 0.2
    save_file(CHANGED[change], path, {"kind": json.dumps(found)})
    with pytest.raises(ValueError, match="its checksum is wrong"):
        read_tensors(path, "kind")
