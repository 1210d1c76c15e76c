"""The convolutions of a network in closed form and without PyTorch, for counts of its work and of its memory.

Tests compare what follows from them with the real networks.
"""

from collections.abc import Mapping
from typing import NamedTuple

# As in network.py, which imports PyTorch and so can't be imported here.
STAGES = 4
KERNELS = {32: 4, 64: 5}
DECODER_START = 8


class Convolution(NamedTuple):
    """A convolution, or in the decoder a transposed one, of square maps with ``side_in`` and ``side_out`` pixels."""

    channels_in: int
    channels_out: int
    side_in: int
    side_out: int


def decoder_channels(network: Mapping) -> int:
    """The channels of the decoder's dense layer."""
    return 8 * network["filters"] if network["decoder_channels"] is None else network["decoder_channels"]


def stage_channels(channels_in: int, channels: int, count: int, widening: str) -> list[tuple[int, int]]:
    """(channels in, channels out) of a stage's convolutions; the first or the last changes the number."""
    change = 0 if widening == "first" else count - 1
    return [
        (channels_in if index <= change else channels, channels_in if index < change else channels)
        for index in range(count)
    ]


def convolutions(network: Mapping) -> tuple[list[Convolution], list[Convolution]]:
    """Those of encoder and decoder, in order.

    ``network`` has the keys of `network.NetworkOptions`, depth as in the config ("1", "3321"); other keys are ignored.
    """
    size, filters = network["size"], network["filters"]
    depth = [int(digit) for digit in network["depth"]] * (STAGES if len(network["depth"]) == 1 else 1)

    def stage(channels: int, index: int, count: int, side: int, next_side: int) -> list[Convolution]:
        pairs = stage_channels(channels, filters * 2**index, count, network["widening"])
        return [Convolution(*pair, side, side) for pair in pairs[:-1]] + [Convolution(*pairs[-1], side, next_side)]

    encoder, channels, side = [], 3, size
    for index, count in enumerate(depth):
        encoder += stage(channels, index, count, side, side // 2)
        channels, side = filters * 2**index, side // 2
    decoder, channels, index, side = [], decoder_channels(network), STAGES - 2, DECODER_START
    while side < size:
        decoder += stage(channels, index, depth[index] if network["decoder_repeats"] else 1, side, side * 2)
        channels, index, side = filters * 2**index, index - 1, side * 2
    return encoder, [*decoder, Convolution(channels, 3, side, side)]


def dense_sizes(network: Mapping) -> tuple[int, int]:
    """Weights of the dense layers to the code (two layers in a variational network) and from it, without biases."""
    last = convolutions(network)[0][-1]
    to_code = last.channels_out * last.side_out**2 * network["latent"] * (2 if network["variational"] else 1)
    return to_code, network["latent"] * decoder_channels(network) * DECODER_START**2
