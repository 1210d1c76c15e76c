"""The floating point operations of training, in closed form and without PyTorch.

They are the multiplications and additions of convolutions and dense layers, as counted by
`torch.utils.flop_counter.FlopCounterMode`; a test compares the two. A convolution takes
2 · kernel² · channels in · channels out at each output position, a transposed one at each input position, and a dense
layer 2 · inputs · outputs. Nearly everything else (normalisation, activations, the loss, Adam) is bound by memory.
"""

from collections.abc import Mapping

from autoencoders.networks.layer_shapes import KERNELS, convolutions, dense_sizes


def training_flops(network: Mapping, frozen_latent: bool) -> int:
    """Floating point operations of training on one image, forward and backward.

    ``network`` is as in ``layer_shapes.convolutions``.
    """
    encoder, decoder = convolutions(network)
    to_code, from_code = dense_sizes(network)
    # Channels in times channels out times positions: those of the smaller map.
    products = [
        layer.channels_in * layer.channels_out * min(layer.side_in, layer.side_out) ** 2 for layer in encoder + decoder
    ]
    # The backward pass computes gradients of inputs and of weights, each as costly as the forward pass, but not those
    # of the images or of frozen weights.
    total = KERNELS[network["size"]] ** 2 * (3 * sum(products) - products[0])
    return 2 * (total + (2 if frozen_latent else 3) * to_code + 3 * from_code)
