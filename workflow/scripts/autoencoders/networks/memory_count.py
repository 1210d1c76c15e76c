"""The memory that training takes, in closed form and without PyTorch.

Counted are the tensors that exist together: the dataset's images, weights, gradients and Adam's two moments in float32,
and what the forward pass keeps for the backward pass. A test compares the count with PyTorch's own tracker. Left out
are CUDA's context and workspaces, what penalties and spectral normalisation keep, and that a GPU without bfloat16
trains in float32; a frozen layer counts like the others.
"""

from collections.abc import Mapping

from autoencoders.networks.layer_shapes import DECODER_START, KERNELS, convolutions, decoder_channels, dense_sizes

FLOAT32 = 4
# Learned scale and shift of a batch normalisation, and the bias of a convolution, for each channel.
SCALE_SHIFT, BIAS = 2, 1
# What suggestions leave for CUDA, in bytes.
SPARE = 10**9
# With fewer images in a batch, codes can't be normalised over it.
SMALLEST_BATCH = 2


def parameter_counts(network: Mapping) -> tuple[int, int]:
    """Weights and biases of encoder and decoder. ``network`` has the keys of `network.NetworkOptions`, depth as in the
    config.
    """
    kernel, latent = KERNELS[network["size"]], network["latent"]
    encoder, decoder = convolutions(network)
    to_code, from_code = dense_sizes(network)

    def weights(layers) -> int:
        each = (
            kernel**2 * layer.channels_in * layer.channels_out + (BIAS + SCALE_SHIFT) * layer.channels_out
            for layer in layers
        )
        return sum(each)

    learned_norm = {"batch": SCALE_SHIFT * latent, "layer": SCALE_SHIFT * latent}.get(network["latent_norm"], 0)
    to_code += latent * (2 if network["variational"] else 1) + learned_norm
    from_code += decoder_channels(network) * DECODER_START**2
    if network["decoder_activation"] == "bn_relu":
        from_code += SCALE_SHIFT * decoder_channels(network)
    # No normalisation follows the decoder's last convolution.
    return weights(encoder) + to_code, weights(decoder) - SCALE_SHIFT * decoder[-1].channels_out + from_code


def activation_bytes(network: Mapping, precision: str) -> tuple[int, int]:
    """Bytes for each image of a batch: of all that the forward pass keeps, and of the largest map, the gradients of
    whose input and output exist together.
    """
    size = 2 if precision == "bf16" else FLOAT32
    kernel = KERNELS[network["size"]]
    encoder, decoder = convolutions(network)

    def padded(side: int, stride: int) -> int:
        # PyTorch pads evenly by itself; TensorFlow's uneven padding makes a padded copy, which is kept too.
        total = kernel - stride
        return (side + total) ** 2 if total % 2 else 0

    kept = 3 * network["size"] ** 2 * size
    for layer in encoder:
        kept += layer.channels_in * padded(layer.side_in, layer.side_in // layer.side_out) * size
    # The input of each batch normalisation, and the output of the ReLU after it.
    maps = [layer.channels_out * layer.side_out**2 * size for layer in encoder + decoder[:-1]]
    kept += 2 * sum(maps)
    flat = encoder[-1].channels_out * encoder[-1].side_out ** 2
    kept += flat * FLOAT32 if size < FLOAT32 else 0
    from_code = decoder_channels(network) * DECODER_START**2 * size
    kept += from_code * (2 if network["decoder_activation"] == "bn_relu" else 1) + network["latent"] * size
    # Logits and images in the loss.
    return kept + 2 * 3 * network["size"] ** 2 * FLOAT32, max(maps)


def training_bytes(network: Mapping, precision: str, batch_size: int, images: int) -> int:
    """Bytes that exist together at the peak of training on ``images`` in batches of ``batch_size``.

    The peak is at the end of the forward pass, when the gradients of the step before still exist, or at the beginning
    of the backward pass, without them.
    """
    parameters, batch = sum(parameter_counts(network)), min(batch_size, images)
    kept, largest = activation_bytes(network, precision)
    # Weights and Adam's moments, and the bfloat16 copies of the weights.
    always = 3 * FLOAT32 * parameters + (2 * parameters if precision == "bf16" else 0)
    return images * 3 * network["size"] ** 2 + always + batch * kept + max(FLOAT32 * parameters, 2 * batch * largest)


def shortage(network: Mapping, precision: str, batch_size: int, images: int, gpu: str, room: int) -> str:
    """Why training can't run on a GPU of this name with ``room`` bytes, and what may fit: the largest half, quarter and
    so on of the filters or of the batch.
    """

    def fits(filters: int, batch: int) -> bool:
        return training_bytes({**network, "filters": filters}, precision, batch, images) + SPARE <= room

    filters = next((width for width in halves(network["filters"]) if fits(width, batch_size)), None)
    batches = (size for size in halves(batch_size) if size >= SMALLEST_BATCH)
    batch = next((size for size in batches if fits(network["filters"], size)), None)
    suggestions = [f"{filters} filters"] if filters else []
    suggestions += [f"training.batch_size: {batch}, for all models alike"] if batch else []
    return (
        f"training takes about {training_bytes(network, precision, batch_size, images) / 1e9:.1f} GB of memory, and "
        f"{gpu} has {room / 1e9:.1f} GB. "
        f"What may fit: {' or '.join(suggestions) or 'no width, and no batch size'}"
    )


def halves(number: int) -> list[int]:
    """Half of a number, a quarter, and so on, down to 1."""
    return [number // 2**power for power in range(1, number.bit_length())]
