"""Codes, images and weights of a network, against a direct forward pass."""

import numpy as np
import pytest
import torch

from autoencoders.jobs.errors import UserError
from autoencoders.latent.encode_decode import decode, encode
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


def test_sampled_codes_have_the_posteriors_moments(network, images):
    many = images[:1].repeat(4000, axis=0)
    with torch.no_grad():
        mean, log_variance = network.encoder(torch.from_numpy(images[:1]).float() / 255)
    codes = encode(network, many, 500, CPU, seed=0)
    deviation = (0.5 * log_variance[0]).exp().numpy()
    np.testing.assert_allclose(codes.mean(axis=0), mean[0], atol=5 * deviation.max() / 4000**0.5)
    np.testing.assert_allclose(codes.std(axis=0), deviation, rtol=0.06)


def test_sampled_codes_do_not_depend_on_the_batches(network, images):
    codes = encode(network, images, 3, CPU, seed=0)
    np.testing.assert_allclose(encode(network, images, 100, CPU, seed=0), codes, atol=1e-6)
    assert np.abs(encode(network, images, 3, CPU, seed=1) - codes).mean() > 0.1


def test_codes_that_are_not_finite_are_refused(network, images):
    with torch.no_grad():
        network.encoder.dense_layers()[0].bias[2] = torch.inf
    with pytest.raises(UserError, match=r"codes of 11 of 11 images are not finite.*training\.learning_rate"):
        encode(network, images, 4, CPU)


def test_a_deterministic_network_has_nothing_to_sample(images):
    model = Autoencoder(NetworkOptions(32, 2, parse_depth("1"), 3), seed=0).eval()
    sampled = encode(model, images, 4, CPU, seed=0)
    np.testing.assert_array_equal(sampled, encode(model, images, 4, CPU))


@pytest.mark.parametrize("latent_norm", ["batch", "layer", "spectral"])
def test_normalised_networks_survive_a_round_trip(latent_norm, images, tmp_path):
    options = NetworkOptions(32, 2, parse_depth("2"), 3, latent_norm=latent_norm, widening="last", decoder_channels=5)
    model = Autoencoder(options, seed=1)
    with torch.no_grad():
        # What training leaves: running statistics, and singular vectors that moved.
        model.encoder(torch.rand(4, 3, 32, 32))
    save_weights(tmp_path / "w.safetensors", model)
    loaded = load_weights(tmp_path / "w.safetensors", CPU)
    assert loaded.options == options
    np.testing.assert_array_equal(encode(loaded, images, 4, CPU), encode(model.eval(), images, 4, CPU))


def test_decoded_images_are_rounded_to_the_nearest_level(network):
    codes = np.random.default_rng(0).normal(size=(7, 6))
    with torch.no_grad():
        exact = 255 / (1 + np.exp(-network.decoder(torch.from_numpy(codes).float()).double().numpy()))
    decoded = decode(network, codes, 3, CPU)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded - exact).max() <= 0.5 + 1e-4


def test_no_codes_give_no_images(network):
    assert decode(network, np.empty((0, 6)), 3, CPU).shape == (0, 3, 32, 32)


def test_weights_survive_a_round_trip_with_the_same_bytes(network, images, tmp_path):
    save_weights(tmp_path / "a.safetensors", network)
    save_weights(tmp_path / "b.safetensors", network)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = load_weights(tmp_path / "a.safetensors", CPU)
    assert loaded.options == network.options
    np.testing.assert_array_equal(encode(loaded, images, 4, CPU), encode(network, images, 4, CPU))


def test_a_truncated_weights_file_is_refused_by_name(network, tmp_path):
    file = tmp_path / "weights.safetensors"
    save_weights(file, network)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"weights\.safetensors does not hold"):
        load_weights(file, CPU)


def test_what_a_prior_draws_becomes_codes_or_is_refused_by_name():
    from autoencoders.latent.encode_decode import as_codes

    drawn = np.arange(6.0).reshape(3, 2)
    for same in (drawn, drawn[::-1][::-1], drawn.tolist(), torch.tensor(drawn)):
        codes = as_codes(same, (3, 2), "mine")
        assert codes.flags["C_CONTIGUOUS"] and (codes == drawn).all()
    unusable = [drawn[:2], drawn.astype(str), drawn * np.nan, None, [1, [2]], torch.ones(3, 2, requires_grad=True)]
    for wrong in unusable:
        with pytest.raises(UserError, match="samples of the prior mine"):
            as_codes(wrong, (3, 2), "mine")
