"""Codes, images and weights of a trained network, against a direct forward pass; batches where memory is full."""

import numpy as np
import pytest
import torch

from autoencoders.jobs.errors import UserError
from autoencoders.latent.encode_decode import as_codes, decode, encode, midpoints
from autoencoders.networks.batches import in_batches
from autoencoders.networks.network import Autoencoder, NetworkOptions, parse_depth
from autoencoders.networks.weights import load_weights, save_weights

CPU = torch.device("cpu")


@pytest.fixture
def network() -> Autoencoder:
    model = Autoencoder(NetworkOptions(32, 4, parse_depth("1"), 6, variational=True), seed=0).eval()
    # Running statistics that are not the identity, so that eval and train mode differ.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (11, 3, 32, 32), dtype=np.uint8)


def test_codes_are_the_means_of_the_forward_pass_in_any_batch_size(network, images):
    with torch.no_grad():
        expected = network.encoder(torch.from_numpy(images).float() / 255)[0].numpy()
    for batch_size in (3, 11, 100):
        codes = encode(network, images, batch_size, CPU)
        assert codes.dtype == np.float32
        np.testing.assert_allclose(codes, expected, atol=1e-6)


def test_sampled_codes_have_the_posteriors_moments_and_do_not_depend_on_the_batches(network, images):
    with torch.no_grad():
        mean, log_variance = network.encoder(torch.from_numpy(images[:1]).float() / 255)
    codes = encode(network, images[:1].repeat(4000, axis=0), 500, CPU, seed=0)
    deviation = (0.5 * log_variance[0]).exp().numpy()
    np.testing.assert_allclose(codes.mean(axis=0), mean[0], atol=5 * deviation.max() / 4000**0.5)
    np.testing.assert_allclose(codes.std(axis=0), deviation, rtol=0.06)
    codes = encode(network, images, 3, CPU, seed=0)
    np.testing.assert_allclose(encode(network, images, 100, CPU, seed=0), codes, atol=1e-6)
    assert np.abs(encode(network, images, 3, CPU, seed=1) - codes).mean() > 0.1
    # A deterministic network has nothing to sample.
    dae = Autoencoder(NetworkOptions(32, 2, parse_depth("1"), 3), seed=0).eval()
    np.testing.assert_array_equal(encode(dae, images, 4, CPU, seed=0), encode(dae, images, 4, CPU))


def test_codes_that_are_not_finite_are_refused(network, images):
    with torch.no_grad():
        network.encoder.dense_layers()[0].bias[2] = torch.inf
    with pytest.raises(UserError, match=r"codes of 11 of 11 images are not finite.*training\.learning_rate"):
        encode(network, images, 4, CPU)


def test_decoded_images_are_rounded_to_the_nearest_level(network):
    codes = np.random.default_rng(0).normal(size=(7, 6))
    with torch.no_grad():
        exact = 255 / (1 + np.exp(-network.decoder(torch.from_numpy(codes).float()).double().numpy()))
    decoded = decode(network, codes, 3, CPU)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded - exact).max() <= 0.5 + 1e-4
    assert decode(network, np.empty((0, 6)), 3, CPU).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("latent_norm", ["none", "batch", "layer", "spectral"])
def test_weights_survive_a_round_trip_with_the_same_bytes(latent_norm, images, tmp_path):
    options = NetworkOptions(32, 2, parse_depth("2"), 3, latent_norm=latent_norm, widening="last", decoder_channels=5)
    model = Autoencoder(options, seed=1)
    with torch.no_grad():
        # What training leaves: running statistics, and singular vectors that moved.
        model.encoder(torch.rand(4, 3, 32, 32))
    for name in ("a", "b"):
        save_weights(tmp_path / name, model)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = load_weights(tmp_path / "a", CPU)
    assert loaded.options == options
    np.testing.assert_array_equal(encode(loaded, images, 4, CPU), encode(model.eval(), images, 4, CPU))


def test_a_truncated_weights_file_is_refused_by_name(network, tmp_path):
    file = tmp_path / "weights.safetensors"
    save_weights(file, network)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"weights\.safetensors does not hold"):
        load_weights(file, CPU)


def test_what_a_prior_draws_becomes_codes_or_is_refused_by_name():
    drawn = np.arange(6.0).reshape(3, 2)
    for same in (drawn, drawn[::-1][::-1], drawn.tolist(), torch.tensor(drawn)):
        codes = as_codes(same, (3, 2), "mine")
        assert codes.flags["C_CONTIGUOUS"] and (codes == drawn).all()
    unusable = [drawn[:2], drawn.astype(str), drawn * np.nan, None, [1, [2]], torch.ones(3, 2, requires_grad=True)]
    for wrong in unusable:
        with pytest.raises(UserError, match="the prior mine"):
            as_codes(wrong, (3, 2), "mine")


def test_midpoints_lie_halfway_between_two_different_codes_and_use_each_twice():
    codes = np.float32(3) ** np.arange(9)[:, None]
    middle = midpoints(codes, seed=0)
    assert middle.shape == (9, 1)
    # Sums of two different powers of three tell which two they are.
    pairs = [[i, j] for i in range(9) for j in range(i) if np.isin(codes[i] + codes[j], 2 * middle)[0]]
    assert len(pairs) == 9
    assert np.bincount(np.ravel(pairs), minlength=9).tolist() == [2] * 9
    np.testing.assert_array_equal(middle, midpoints(codes, seed=0))
    assert not np.array_equal(middle, midpoints(codes, seed=1))
    assert midpoints(codes[:0], seed=0).shape == (0, 1)


def worked(count: int, batch_size: int, room: int, error: Exception | None = None) -> list[slice]:
    """The batches that were done where ``room`` images fit into memory."""
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
def test_every_image_is_in_one_batch_in_order(count, batch_size, room, sizes, caplog):
    done = worked(count, batch_size, room)
    assert [batch.stop - batch.start for batch in done] == sizes
    assert [batch.start for batch in done] == np.cumsum([0, *sizes])[:-1].tolist()
    assert len(caplog.messages) == (room < min(count, batch_size))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        # What PyTorch 2.14 says on a CPU, and the libraries below it.
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tri"
        ),
        RuntimeError("could not create a primitive"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        # The texts of PyTorch 2.14 and of its CUDA libraries.
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("FIND was unable to find an engine to execute this computation"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnCreate(handle)`. If y"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB"),
    ],
)
def test_full_memory_has_many_names(error):
    assert len(worked(4, 4, 2, error)) == 2
    with pytest.raises(UserError, match=r"single image.*Run fewer jobs at once"):
        worked(4, 4, 0, error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes can't be multiplied"),
        ValueError("out of memory"),
        # Not of creating a handle, and not of an allocation.
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm( handle, opa, opb, m, n, k)`"
        ),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        RuntimeError("cuDNN error: CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED"),
    ],
)
def test_any_other_error_is_raised_as_it_is(error):
    with pytest.raises(type(error)) as caught:
        worked(4, 4, 2, error)
    assert caught.value is error


@pytest.mark.gpu
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
