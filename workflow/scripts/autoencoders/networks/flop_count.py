"""The floating point operations of training, in closed form and without PyTorch.

They are the multiplications and additions of convolutions and dense layers, as counted by
`torch.utils.flop_counter.FlopCounterMode`; a test compares the two. A convolution takes
2 · kernel² · channels in · channels out at each output position, a transposed one at each input position, and a dense
layer 2 · inputs · outputs. Nearly everything else (normalisation, activations, the loss, Adam) is bound by memory.
"""

from collections.abc import Mapping

# As in network.py, which imports PyTorch and so can't be imported here.
STAGES = 4
KERNELS = {32: 4, 64: 5}
DECODER_START = 8


def training_flops(network: Mapping, frozen_latent: bool) -> int:
    """Floating point operations of training on one image, forward and backward.

    ``network`` has the keys of `network.NetworkOptions`, depth as in the config ("1", "3321"); other keys are ignored.
    """
    size, filters, latent = network["size"], network["filters"], network["latent"]
    depth = [int(digit) for digit in network["depth"]] * (STAGES if len(network["depth"]) == 1 else 1)
    # Channels in times channels out times positions, of every convolution.
    encoder, channels, side = [], 3, size
    for index, count in enumerate(depth):
        pairs = stage_channels(channels, filters * 2**index, count, network["widening"])
        channels = filters * 2**index
        encoder += [before * after * side**2 for before, after in pairs[:-1]]
        side //= 2
        encoder.append(pairs[-1][0] * pairs[-1][1] * side**2)
    to_code = channels * side**2 * latent * (2 if network["variational"] else 1)

    channels = 8 * filters if network["decoder_channels"] is None else network["decoder_channels"]
    from_code = latent * channels * DECODER_START**2
    decoder, index, side = [], STAGES - 2, DECODER_START
    while side < size:
        count = depth[index] if network["decoder_repeats"] else 1
        pairs = stage_channels(channels, filters * 2**index, count, network["widening"])
        decoder += [before * after * side**2 for before, after in pairs]
        channels, index, side = filters * 2**index, index - 1, side * 2
    decoder.append(channels * 3 * side**2)

    # The backward pass computes gradients of inputs and of weights, each as costly as the forward pass, but not those
    # of the images or of frozen weights.
    convolutions = KERNELS[size] ** 2 * (3 * sum(encoder + decoder) - encoder[0])
    return 2 * (convolutions + (2 if frozen_latent else 3) * to_code + 3 * from_code)


def stage_channels(channels_in: int, channels: int, count: int, widening: str) -> list[tuple[int, int]]:
    """(channels in, channels out) of a stage's convolutions; the first or the last changes the number."""
    change = 0 if widening == "first" else count - 1
    return [
        (channels_in if index <= change else channels, channels_in if index < change else channels)
        for index in range(count)
    ]
