"""The network against independent computations: TensorFlow's padding in NumPy, the paper's parameter counts."""

import math

import numpy as np
import pytest
import torch

from autoencoders.networks.network import (
    Autoencoder,
    NetworkOptions,
    SameConv2d,
    SameConvTranspose2d,
    parameter_count,
    parse_depth,
)


def options(size=32, filters=32, depth="1", latent=128, variational=False, **others) -> NetworkOptions:
    return NetworkOptions(size, filters, parse_depth(depth), latent, variational, **others)


def tensorflow_same_conv(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """conv2d(padding="SAME") as TensorFlow documents it, pixel by pixel. x (C, H, W), kernel (O, C, k, k)."""
    (channels, height, width), (filters, _, k, _) = x.shape, kernel.shape
    out_height, out_width = math.ceil(height / stride), math.ceil(width / stride)
    pad_height = max((out_height - 1) * stride + k - height, 0)
    pad_width = max((out_width - 1) * stride + k - width, 0)
    padded = np.zeros((channels, height + pad_height, width + pad_width))
    padded[:, pad_height // 2 : pad_height // 2 + height, pad_width // 2 : pad_width // 2 + width] = x
    y = np.empty((filters, out_height, out_width))
    for row in range(out_height):
        for column in range(out_width):
            window = padded[:, row * stride : row * stride + k, column * stride : column * stride + k]
            y[:, row, column] = np.tensordot(kernel, window, axes=3)
    return y


def tensorflow_same_conv_transpose(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """conv2d_transpose as TensorFlow defines it: the gradient of the 'same' convolution, by linearity.

    x (C, h, w), kernel (C, O, k, k): column by column of the convolution's matrix, transposed.
    """
    shape = (kernel.shape[1], x.shape[1] * stride, x.shape[2] * stride)
    y = np.empty(math.prod(shape))
    for index in range(y.size):
        unit = np.zeros(y.size)
        unit[index] = 1
        y[index] = (tensorflow_same_conv(unit.reshape(shape), kernel, stride) * x).sum()
    return y.reshape(shape)


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_pads_like_tensorflow(kernel, stride):
    torch.manual_seed(kernel * 10 + stride)
    layer = SameConv2d(2, 3, kernel, stride).double()
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    expected = tensorflow_same_conv(x[0].numpy(), layer.conv.weight.detach().numpy(), stride)
    actual = (layer(x)[0] - layer.conv.bias[:, None, None]).detach().numpy()
    np.testing.assert_allclose(actual, expected, atol=1e-12)


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_transposed_convolution_crops_like_tensorflow(kernel, stride):
    torch.manual_seed(kernel * 10 + stride)
    layer = SameConvTranspose2d(2, 3, kernel, stride).double()
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    expected = tensorflow_same_conv_transpose(x[0].numpy(), layer.conv.weight.detach().numpy(), stride)
    actual = (layer(x)[0] - layer.conv.bias[:, None, None]).detach().numpy()
    np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_padding_is_tensorflows_and_not_pytorchs_output_padding():
    """The mistake that the specification warns of gives another image: the test above can see it."""
    torch.manual_seed(0)
    layer = SameConvTranspose2d(2, 3, 5, 2)
    wrong = torch.nn.ConvTranspose2d(2, 3, 5, 2, padding=2, output_padding=1)
    wrong.load_state_dict(layer.conv.state_dict())
    x = torch.randn(1, 2, 4, 4)
    assert layer(x).shape == wrong(x).shape
    assert not torch.allclose(layer(x), wrong(x))


# Millions of parameters, as the paper and the specification give them (all to the digits that they print).
@pytest.mark.parametrize(
    ("network", "encoder", "decoder"),
    [
        (options(filters=32), "0.82", "2.77"),
        (options(filters=64), "3.0", "6.9"),
        (options(filters=128), "11.5", "19.0"),
        (options(filters=256), "45.1", "58.9"),
        (options(filters=64, depth="2"), "8.6", None),
        (options(filters=64, depth="3"), "14.2", None),
        (options(filters=128, depth="2"), "33.8", None),
        (options(filters=128, depth="3321"), "18.4", None),
        (options(size=64, filters=32, latent=64), "1.34", "2.1"),
        (options(size=64, filters=64, latent=64), "4.83", "6.4"),
        (options(size=64, filters=128, latent=64), "18.3", "21.5"),
    ],
)
def test_parameter_counts_are_the_published_ones(network, encoder, decoder):
    with torch.device("meta"):
        model = Autoencoder(network, seed=0)
    for part, published in ((model.encoder, encoder), (model.decoder, decoder)):
        if published is not None:
            digits = len(published.split(".")[1])
            assert f"{parameter_count(part) / 1e6:.{digits}f}" == published


def test_a_vae_has_a_second_dense_head_and_nothing_else_more():
    dae, vae = Autoencoder(options(), seed=0), Autoencoder(options(variational=True), seed=0)
    assert parameter_count(vae) - parameter_count(dae) == (32 * 32 + 1) * 128


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("variational", [False, True])
def test_shapes(size, variational):
    network = Autoencoder(options(size=size, filters=4, depth="3321", latent=7, variational=variational), seed=0)
    mean, log_variance = network.encoder(torch.rand(2, 3, size, size))
    assert mean.shape == (2, 7)
    assert (log_variance is not None) == variational
    assert network.decoder(mean).shape == (2, 3, size, size)


def test_a_stage_widens_first_and_strides_last():
    encoder = Autoencoder(options(filters=8, depth="3321"), 0).encoder
    convolutions = [module for module in encoder.modules() if isinstance(module, torch.nn.Conv2d)]
    shapes = [(m.in_channels, m.out_channels, m.stride[0]) for m in convolutions]
    assert shapes == [
        *[(3, 8, 1), (8, 8, 1), (8, 8, 2)],
        *[(8, 16, 1), (16, 16, 1), (16, 16, 2)],
        *[(16, 32, 1), (32, 32, 2)],
        (32, 64, 2),
    ]


def test_normalisation_and_activations_follow_every_convolution_but_the_last():
    network = Autoencoder(options(filters=4), seed=0)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 4 + 2
    assert {(norm.eps, norm.momentum, norm.affine) for norm in norms} == {(1e-3, 0.01, True)}
    assert sum(isinstance(m, torch.nn.ReLU) for m in network.modules()) == 4 + 2
    assert isinstance(list(network.decoder.layers)[-1], SameConvTranspose2d)


def test_weights_are_glorot_uniform_and_biases_zero():
    network = Autoencoder(options(filters=32), seed=3)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear):
            # Keras: limit sqrt(6 / (fan_in + fan_out)); a kernel's fans count its pixels.
            pixels = math.prod(module.weight.shape[2:])
            limit = math.sqrt(6 / (pixels * (module.weight.shape[0] + module.weight.shape[1])))
            assert module.weight.abs().max() <= limit
            assert module.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.05)
            assert not module.bias.any()


def test_the_seed_decides_the_weights():
    first, again, other = (Autoencoder(options(filters=4), seed) for seed in (1, 1, 2))
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(first.encoder.mean.weight, other.encoder.mean.weight)


def test_batch_normalisation_of_codes_uses_the_batch_in_training_and_running_statistics_later():
    network = Autoencoder(options(filters=2, latent=5, latent_norm="batch"), seed=0)
    norm = network.encoder.normalisation
    assert (type(norm), norm.eps, norm.momentum, norm.affine) == (torch.nn.BatchNorm1d, 1e-3, 0.01, True)
    torch.manual_seed(0)
    images = torch.rand(16, 3, 32, 32)
    raw = network.encoder.mean(network.encoder.convolutions(images)).detach()
    codes = network.encoder(images)[0].detach()
    assert codes.mean(dim=0).numpy() == pytest.approx(np.zeros(5), abs=1e-6)
    expected = (raw - raw.mean(dim=0)) / (raw.var(dim=0, unbiased=False) + 1e-3).sqrt()
    torch.testing.assert_close(codes, expected)
    # One image at a time: its own statistics would give a code of zeros.
    network.eval()
    norm.running_mean.copy_(torch.arange(5.0))
    norm.running_var.fill_(4.0)
    raw = network.encoder.mean(network.encoder.convolutions(images[:1]))
    torch.testing.assert_close(network.encoder(images[:1])[0], (raw - torch.arange(5.0)) / math.sqrt(4.001))


def test_layer_normalisation_of_codes_is_one_over_each_codes_units():
    network = Autoencoder(options(filters=2, latent=6, latent_norm="layer"), seed=0).eval()
    images = torch.rand(3, 3, 32, 32)
    raw = network.encoder.mean(network.encoder.convolutions(images)).detach()
    expected = (raw - raw.mean(dim=1, keepdim=True)) / (raw.var(dim=1, unbiased=False, keepdim=True) + 1e-3).sqrt()
    torch.testing.assert_close(network.encoder(images)[0].detach(), expected)
    assert network.encoder.normalisation.elementwise_affine


@pytest.mark.parametrize("variational", [False, True])
def test_spectral_normalisation_makes_the_largest_singular_value_one(variational):
    network = Autoencoder(options(filters=4, latent=8, latent_norm="spectral", variational=variational), seed=0)
    dense = network.encoder.dense_layers()
    assert len(dense) == 1 + variational
    # A weight far from normal, approached by one power iteration a step.
    with torch.no_grad():
        for layer in dense:
            layer.parametrizations.weight.original.mul_(7)
    for _ in range(100):
        network.encoder(torch.rand(2, 3, 32, 32))
    for layer in dense:
        assert torch.linalg.svdvals(layer.weight.detach())[0].item() == pytest.approx(1, rel=1e-3)
        assert torch.linalg.svdvals(layer.parametrizations.weight.original.detach())[0].item() > 2
        assert layer.parametrizations.weight[0].n_power_iterations == 1
    convolution = next(module for module in network.modules() if isinstance(module, torch.nn.Conv2d))
    assert not torch.nn.utils.parametrize.is_parametrized(convolution)


def test_spectral_normalisation_starts_from_the_seeded_weights():
    networks = [Autoencoder(options(filters=2, latent=3, latent_norm="spectral"), seed) for seed in (1, 1)]
    plain = Autoencoder(options(filters=2, latent=3), 1)
    states = [network.state_dict() for network in networks]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert torch.equal(states[0]["encoder.mean.parametrizations.weight.original"], plain.encoder.mean.weight)
    assert parameter_count(networks[0]) == parameter_count(plain)


def convolution_shapes(part) -> list[tuple[int, int, int]]:
    kinds = torch.nn.Conv2d | torch.nn.ConvTranspose2d
    return [(m.in_channels, m.out_channels, m.stride[0]) for m in part.modules() if isinstance(m, kinds)]


def test_the_last_convolution_of_a_stage_widens_where_that_is_asked_for():
    encoder = Autoencoder(options(filters=8, depth="2221", widening="last"), 0).encoder
    assert convolution_shapes(encoder) == [
        *[(3, 3, 1), (3, 8, 2)],
        *[(8, 8, 1), (8, 16, 2)],
        *[(16, 16, 1), (16, 32, 2)],
        (32, 64, 2),
    ]


def test_the_decoders_channels_and_first_activation():
    plain = Autoencoder(options(filters=8), 0).decoder
    assert convolution_shapes(plain) == [(64, 32, 2), (32, 16, 2), (16, 3, 1)]
    wide = Autoencoder(options(filters=8, decoder_channels=1024, decoder_activation="bn_relu"), 0).decoder
    assert convolution_shapes(wide) == [(1024, 32, 2), (32, 16, 2), (16, 3, 1)]
    assert wide.layers[0].out_features == 8 * 8 * 1024
    assert isinstance(wide.layers[2], torch.nn.BatchNorm2d) and wide.layers[2].num_features == 1024
    assert isinstance(wide.layers[3], torch.nn.ReLU)
    assert not isinstance(plain.layers[2], torch.nn.BatchNorm2d)
    assert wide(torch.rand(2, 128)).shape == (2, 3, 32, 32)


def test_depth_repeats_in_the_decoder_only_where_that_is_asked_for():
    """A decoder stage is as deep as the encoder stage of as many filters: 4f the third, 2f the second, f the first."""
    deep = options(size=64, filters=8, depth="4321", latent=4)
    assert convolution_shapes(Autoencoder(deep, 0).decoder) == [(64, 32, 2), (32, 16, 2), (16, 8, 2), (8, 3, 1)]
    repeated = Autoencoder(options(size=64, filters=8, depth="4321", latent=4, decoder_repeats=True), 0).decoder
    assert convolution_shapes(repeated) == [
        *[(64, 32, 1), (32, 32, 2)],
        *[(32, 16, 1), (16, 16, 1), (16, 16, 2)],
        *[(16, 8, 1), (8, 8, 1), (8, 8, 1), (8, 8, 2)],
        (8, 3, 1),
    ]
    assert repeated(torch.rand(2, 4)).shape == (2, 3, 64, 64)


def test_what_a_transposed_convolution_crops_is_laid_out_channels_last():
    """Otherwise the layers after it take their slowest path."""
    layer = SameConvTranspose2d(4, 6, kernel=5, stride=2).to(memory_format=torch.channels_last)
    cropped = layer(torch.rand(2, 4, 8, 8).to(memory_format=torch.channels_last))
    assert cropped.shape == (2, 6, 16, 16)
    assert cropped.is_contiguous(memory_format=torch.channels_last)
