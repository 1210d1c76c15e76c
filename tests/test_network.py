"""The network against independent computations: TensorFlow's padding in NumPy, the paper's parameter counts."""

import math

import numpy as np
import pytest
import torch

from autoencoders.network import (
    Autoencoder,
    NetworkOptions,
    SameConv2d,
    SameConvTranspose2d,
    parameter_count,
    parse_depth,
)


def options(size=32, filters=32, depth="1", latent=128, variational=False) -> NetworkOptions:
    return NetworkOptions(size, filters, parse_depth(depth), latent, variational)


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
