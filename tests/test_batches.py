"""Batches: every image once and in order, and smaller ones where the memory is full."""

import numpy as np
import pytest
import torch

from autoencoders.jobs.errors import UserError
from autoencoders.latent.encode_decode import decode, encode
from autoencoders.networks.batches import in_batches
from autoencoders.networks.network import Autoencoder, NetworkOptions, parse_depth

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")


def worked(count: int, batch_size: int, room: int, error: Exception | None = None) -> list[slice]:
    """The batches that were done where ``room`` images fit into the memory."""
    done = []

    def work(batch: slice) -> None:
        if batch.stop - batch.start > room:
            raise error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        done.append(batch)

    in_batches(work, count, batch_size)
    return done


@pytest.mark.parametrize(
    ("count", "batch_size", "room", "sizes"),
    [
        (7, 3, 9, [3, 3, 1]),
        (0, 3, 9, []),
        (10, 8, 3, [2, 2, 2, 2, 2]),
        # Halves of what was really tried, not of what was asked for.
        (5, 1000, 3, [2, 2, 1]),
        (3, 3, 1, [1, 1, 1]),
    ],
)
def test_every_image_is_in_one_batch_in_their_order(count, batch_size, room, sizes):
    done = worked(count, batch_size, room)
    assert [batch.stop - batch.start for batch in done] == sizes
    assert [batch.start for batch in done] == np.cumsum([0, *sizes])[:-1].tolist()


def test_smaller_batches_are_told_once(caplog):
    worked(1000, 64, 64)
    assert not caplog.messages
    worked(1000, 64, 10)
    assert caplog.messages == ["the memory is full: on with batches of 8 images instead of 64"]


def test_a_single_image_that_does_not_fit_ends_with_what_to_do():
    with pytest.raises(UserError, match=r"single image \(CUDA out of memory.*Run fewer jobs at once"):
        worked(10, 8, 0)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        # As PyTorch 2.14 says it on a CPU, and the libraries below it.
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tri"
        ),
        RuntimeError("could not create a primitive"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB"),
    ],
)
def test_full_memory_has_many_names(error):
    assert len(worked(4, 4, 2, error)) == 2


@pytest.mark.parametrize("error", [RuntimeError("shapes can't be multiplied"), ValueError("out of memory")])
def test_any_other_error_is_raised_as_it_is(error):
    with pytest.raises(type(error)) as caught:
        worked(4, 4, 2, error)
    assert caught.value is error


@NEEDS_CUDA
def test_a_full_gpu_halves_the_batches_of_encoding_and_decoding():
    device = torch.device("cuda")
    network = Autoencoder(NetworkOptions(32, 64, parse_depth("1"), 8), seed=0).to(device).eval()
    images = np.random.default_rng(0).integers(0, 256, (8192, 3, 32, 32), dtype=np.uint8)
    codes = encode(network, images, 128, device)
    decoded = decode(network, codes, 128, device)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 400 * 2**20) / total)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            network.decoder(torch.from_numpy(codes).to(device))
        np.testing.assert_allclose(encode(network, images, 8192, device), codes, atol=1e-3)
        assert np.abs(decode(network, codes, 8192, device).astype(int) - decoded).max() <= 1
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
