"""The network against independent computations: TensorFlow's padding in NumPy, parameter counts by hand."""

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
@pytest.mark.parametrize(
    ("convolution", "size", "reference"),
    [(SameConv2d, 8, tensorflow_same_conv), (SameConvTranspose2d, 4, tensorflow_same_conv_transpose)],
)
def test_convolutions_pad_and_crop_like_tensorflow(convolution, size, reference, kernel, stride):
    torch.manual_seed(kernel * 10 + stride)
    layer = convolution(2, 3, kernel, stride).double()
    x = torch.randn(1, 2, size, size, dtype=torch.float64)
    actual = (layer(x)[0] - layer.conv.bias[:, None, None]).detach().numpy()
    expected = reference(x[0].numpy(), layer.conv.weight.detach().numpy(), stride)
    np.testing.assert_allclose(actual, expected, atol=1e-12)


def count(part: str, **network) -> int:
    """Parameters of the encoder or decoder, without memory for them."""
    with torch.device("meta"):
        return parameter_count(getattr(Autoencoder(options(**network), seed=0), part))


# Millions of parameters, to the digits that the specification gives: of the encoder, of the decoder with 1024 channels,
# and with 8 times the filters.
@pytest.mark.parametrize(
    ("network", "encoder", "decoder", "narrower"),
    [
        ({"filters": 32}, "0.82", "10.7", "2.77"),
        ({"filters": 64}, "3.0", "13.2", "6.9"),
        ({"filters": 128}, "11.5", "19.0", "19.0"),
        ({"filters": 256}, "45.1", "33.6", "58.9"),
        ({"filters": 64, "depth": "2"}, "8.6", "13.2", "6.9"),
        ({"filters": 64, "depth": "3"}, "14.2", "13.2", "6.9"),
        ({"filters": 128, "depth": "2"}, "33.8", "19.0", "19.0"),
        ({"filters": 128, "depth": "3321"}, "18.4", "19.0", "19.0"),
        ({"size": 64, "filters": 32, "latent": 64}, "1.34", "7.8", "2.1"),
        ({"size": 64, "filters": 64, "latent": 64}, "4.83", "11.8", "6.4"),
        ({"size": 64, "filters": 128, "latent": 64}, "18.3", "21.5", "21.5"),
    ],
)
def test_parameter_counts_are_the_specifications(network, encoder, decoder, narrower):
    parts = [("encoder", None, encoder), ("decoder", 1024, decoder), ("decoder", None, narrower)]
    for part, channels, expected in parts:
        digits = len(expected.split(".")[1])
        assert f"{count(part, **network, decoder_channels=channels) / 1e6:.{digits}f}" == expected


def test_the_papers_range_of_decoders_on_cifar10_has_1024_channels_and_excludes_8_times_the_filters():
    """The paper (section 5) prints ranges alone, with one digit: 3·10⁶ to 3·10⁷. Those are the narrowest network at the
    smallest latent size, and the widest one at the latent size of Table 2.
    """
    assert f"{count('decoder', filters=32, latent=16, decoder_channels=1024):.0e}" == "3e+06"
    assert f"{count('decoder', filters=256, latent=128, decoder_channels=1024):.0e}" == "3e+07"
    # 8 times the filters are too many for the widest at any latent size of the grid, and too few for the narrowest.
    assert all(count("decoder", filters=256, latent=latent) > 44e6 for latent in (16, 128, 1024))
    assert count("decoder", filters=32, latent=16) < 1e6


@pytest.mark.parametrize("size", [32, 64])
def test_a_vae_has_a_second_dense_head_and_nothing_else_more(size):
    both = {"size": size, "filters": 4, "depth": "3321", "latent": 7}
    dae, vae = (Autoencoder(options(**both, variational=variational), seed=0) for variational in (False, True))
    assert parameter_count(vae) - parameter_count(dae) == (4 * 8 * (size // 16) ** 2 + 1) * 7
    images = torch.rand(2, 3, size, size)
    assert dae.encoder(images)[1] is None
    assert [head.shape for head in vae.encoder(images)] == [(2, 7), (2, 7)]
    assert dae.decoder(torch.rand(2, 7)).shape == images.shape


def convolutions(part) -> list[tuple[int, int, int]]:
    """(channels in, channels out, stride) of each convolution, in order."""
    kinds = torch.nn.Conv2d | torch.nn.ConvTranspose2d
    return [(m.in_channels, m.out_channels, m.stride[0]) for m in part.modules() if isinstance(m, kinds)]


@pytest.mark.parametrize(
    ("part", "changed", "expected"),
    [
        # A stage widens first and strides last.
        (
            "encoder",
            {"depth": "3321"},
            [
                *[(3, 8, 1), (8, 8, 1), (8, 8, 2), (8, 16, 1), (16, 16, 1), (16, 16, 2)],
                *[(16, 32, 1), (32, 32, 2), (32, 64, 2)],
            ],
        ),
        (
            "encoder",
            {"depth": "2221", "widening": "last"},
            [(3, 3, 1), (3, 8, 2), (8, 8, 1), (8, 16, 2), (16, 16, 1), (16, 32, 2), (32, 64, 2)],
        ),
        ("decoder", {}, [(64, 32, 2), (32, 16, 2), (16, 3, 1)]),
        ("decoder", {"decoder_channels": 1024}, [(1024, 32, 2), (32, 16, 2), (16, 3, 1)]),
        # Depth repeats in the decoder only where the config says so, by the encoder stage of as many filters.
        ("decoder", {"size": 64, "depth": "4321"}, [(64, 32, 2), (32, 16, 2), (16, 8, 2), (8, 3, 1)]),
        (
            "decoder",
            {"size": 64, "depth": "4321", "decoder_repeats": True},
            [
                *[(64, 32, 1), (32, 32, 2), (32, 16, 1), (16, 16, 1), (16, 16, 2)],
                *[(16, 8, 1), (8, 8, 1), (8, 8, 1), (8, 8, 2), (8, 3, 1)],
            ],
        ),
    ],
)
def test_the_order_of_channels_and_strides(part, changed, expected):
    network = Autoencoder(options(filters=8, latent=4, **changed), 0)
    assert convolutions(getattr(network, part)) == expected
    assert network.decoder(torch.rand(2, 4)).shape == (2, 3, network.options.size, network.options.size)


def test_batch_normalisation_and_relu_follow_every_convolution_but_the_last():
    network = Autoencoder(options(filters=4), seed=0)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    # Keras' defaults.
    assert {(norm.eps, norm.momentum, norm.affine) for norm in norms} == {(1e-3, 0.01, True)}
    assert len(norms) == sum(isinstance(m, torch.nn.ReLU) for m in network.modules()) == 4 + 2
    assert isinstance(list(network.decoder.layers)[-1], SameConvTranspose2d)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("linear", []), ("bn_relu", [torch.nn.BatchNorm2d, torch.nn.ReLU]), ("relu", [torch.nn.ReLU])],
)
def test_what_follows_the_decoders_dense_layer(activation, expected):
    layers = [type(layer) for layer in Autoencoder(options(filters=8, decoder_activation=activation), 0).decoder.layers]
    before, after = layers.index(torch.nn.Unflatten), layers.index(SameConvTranspose2d)
    assert layers[before + 1 : after] == expected


def test_weights_are_glorot_uniform_and_biases_zero_and_the_seed_decides_them():
    network, again, other = (Autoencoder(options(filters=32), seed) for seed in (3, 3, 4))
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear):
            # Keras: limit sqrt(6 / (fan_in + fan_out)); a kernel's fans count its pixels.
            pixels = math.prod(module.weight.shape[2:])
            limit = math.sqrt(6 / (pixels * (module.weight.shape[0] + module.weight.shape[1])))
            assert module.weight.abs().max() <= limit
            assert module.weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.05)
            assert not module.bias.any()
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert not torch.equal(network.encoder.mean.weight, other.encoder.mean.weight)


def test_batch_normalisation_of_codes_uses_the_batch_in_training_and_running_statistics_later():
    network = Autoencoder(options(filters=2, latent=5, latent_norm="batch"), seed=0)
    norm = network.encoder.normalisation
    assert (type(norm), norm.eps, norm.momentum, norm.affine) == (torch.nn.BatchNorm1d, 1e-3, 0.01, True)
    images = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    raw = network.encoder.mean(network.encoder.convolutions(images)).detach()
    expected = (raw - raw.mean(dim=0)) / (raw.var(dim=0, unbiased=False) + 1e-3).sqrt()
    torch.testing.assert_close(network.encoder(images)[0].detach(), expected)
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
    shape = {"filters": 4, "latent": 8, "variational": variational}
    network = Autoencoder(options(**shape, latent_norm="spectral"), seed=0)
    plain = Autoencoder(options(**shape), seed=0)
    dense = network.encoder.dense_layers()
    assert len(dense) == 1 + variational
    assert torch.equal(dense[0].parametrizations.weight.original, plain.encoder.mean.weight)
    assert parameter_count(network) == parameter_count(plain)
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


def test_the_cropped_output_is_channels_last():
    """Otherwise the layers after it take their slowest path."""
    layer = SameConvTranspose2d(4, 6, kernel=5, stride=2).to(memory_format=torch.channels_last)
    cropped = layer(torch.rand(2, 4, 8, 8).to(memory_format=torch.channels_last))
    assert cropped.is_contiguous(memory_format=torch.channels_last)
