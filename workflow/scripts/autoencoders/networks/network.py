"""The convolutional autoencoder of section 3, after Tolstikhin et al. (2018), deterministic or variational.

Images are float32 (N, 3, S, S) with S = 32 or 64 and values in [0, 1]; codes are float32 (N, latent).
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

# Keras' defaults, which the paper trained with: momentum 0.99 is 0.01 in PyTorch's convention.
BATCH_NORM = {"eps": 1e-3, "momentum": 0.01}
LAYER_NORM = {"eps": 1e-3}
STAGES = 4
# Kernel size by image size.
KERNELS = {32: 4, 64: 5}
# The layers with weights.
LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
# Side length of the feature map that the decoder's dense layer outputs.
DECODER_START = 8


@dataclass(frozen=True)
class NetworkOptions:
    """The options that define a network's shape, named as in the config (config/README.md).

    ``depth`` is the number of convolutions of each of the four stages. ``decoder_channels`` None is 8 · filters.
    """

    size: int
    filters: int
    depth: tuple[int, int, int, int]
    latent: int
    variational: bool = False
    latent_norm: str = "none"
    widening: str = "first"
    decoder_channels: int | None = None
    decoder_activation: str = "linear"
    decoder_repeats: bool = False

    def as_dict(self) -> dict:
        return {**asdict(self), "depth": list(self.depth)}


def parse_depth(depth: str) -> tuple[int, int, int, int]:
    """Convolutions per encoder stage: "2" is two in each of the four stages, "3321" one digit per stage."""
    digits = tuple(int(digit) for digit in depth)
    return digits * STAGES if len(digits) == 1 else digits


def same_padding(kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's 'same' padding (before, after) along one axis whose length is a multiple of ``stride``."""
    total = max(kernel - stride, 0)
    return total // 2, total - total // 2


class SameConv2d(nn.Module):
    """Convolution with TensorFlow's 'same' padding: (N, C, H, W) to (N, C', H / stride, W / stride)."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        before, after = same_padding(kernel, stride)
        # nn.Conv2d pads symmetrically; uneven padding needs a separate step.
        self.pad = None if before == after else (before, after, before, after)
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding=before if before == after else 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x if self.pad is None else F.pad(x, self.pad))


class SameConvTranspose2d(nn.Module):
    """Transposed convolution with TensorFlow's 'same' padding: (N, C, H, W) to (N, C', H · stride, W · stride).

    The full output is cropped by ``before`` pixels at its start and ``after`` at its end, as the gradient of the
    'same' convolution is. PyTorch's ``output_padding`` would crop the other side.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        before, after = same_padding(kernel, stride)
        self.excess = after - before
        self.conv = nn.ConvTranspose2d(channels_in, channels_out, kernel, stride, padding=before)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if not self.excess:
            return y
        # A crop is a strided view, for which the next layer has no fast path.
        return y[..., : -self.excess, : -self.excess].contiguous(memory_format=torch.channels_last)


def activation(channels: int) -> list[nn.Module]:
    """The layers after every convolution but the last."""
    return [nn.BatchNorm2d(channels, **BATCH_NORM), nn.ReLU()]


def stage(
    convolution: type[nn.Module], channels_in: int, channels: int, kernel: int, count: int, widening: str
) -> list[nn.Module]:
    """``count`` convolutions, the last one of stride 2; the first or the last of them changes the channels."""
    layers = []
    for index in range(count):
        last = index == count - 1
        channels_out = channels if widening == "first" or last else channels_in
        layers.append(convolution(channels_in, channels_out, kernel, 2 if last else 1))
        layers += activation(channels_out)
        channels_in = channels_out
    return layers


def latent_normalisation(kind: str, latent: int) -> nn.Module:
    """The layer after the code (section 4). Spectral normalisation acts on weights instead."""
    if kind in ("batch", "batch_plain"):
        return nn.BatchNorm1d(latent, affine=kind == "batch", **BATCH_NORM)
    if kind == "layer":
        return nn.LayerNorm(latent, **LAYER_NORM)
    return nn.Identity()


class Encoder(nn.Module):
    """Four stages of f, 2f, 4f, 8f filters, each of ``depth`` convolutions, then a linear layer to the code.

    Returns (code, None), or for a variational network the mean and the log-variance of the code's distribution. The
    latent normalisation acts on the code or mean.
    """

    def __init__(self, options: NetworkOptions) -> None:
        super().__init__()
        kernel = KERNELS[options.size]
        channels, layers = 3, []
        for index, count in enumerate(options.depth):
            wide = options.filters * 2**index
            layers += stage(SameConv2d, channels, wide, kernel, count, options.widening)
            channels = wide
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        flat = channels * (options.size // 2**STAGES) ** 2
        self.mean = nn.Linear(flat, options.latent)
        self.normalisation = latent_normalisation(options.latent_norm, options.latent)
        self.log_variance = nn.Linear(flat, options.latent) if options.variational else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        hidden = self.convolutions(images)
        # Always float32: priors are fitted to codes, and spectral normalisation, with one power iteration per step,
        # converges only if each step keeps its digits.
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.float()
            code = self.normalisation(self.mean(hidden))
            return code, None if self.log_variance is None else self.log_variance(hidden)

    def dense_layers(self) -> list[nn.Linear]:
        """The layers to z: one, or for a variational network two."""
        return [self.mean] if self.log_variance is None else [self.mean, self.log_variance]


class Decoder(nn.Module):
    """A linear layer to 8 × 8 × C, transposed convolutions of stride 2 with 4f, 2f (and f) filters, and one of stride 1
    to the logits.

    With ``decoder_repeats``, a stage has as many convolutions as the encoder stage with the same number of filters.
    """

    def __init__(self, options: NetworkOptions) -> None:
        super().__init__()
        kernel = KERNELS[options.size]
        channels = 8 * options.filters if options.decoder_channels is None else options.decoder_channels
        layers: list[nn.Module] = [
            nn.Linear(options.latent, channels * DECODER_START**2),
            nn.Unflatten(1, (channels, DECODER_START, DECODER_START)),
        ]
        if options.decoder_activation == "bn_relu":
            layers += activation(channels)
        elif options.decoder_activation == "relu":
            layers.append(nn.ReLU())
        # 4f, 2f and, at 64 pixels, f: the encoder's stages 3, 2 and 1.
        index, size = STAGES - 2, DECODER_START
        while size < options.size:
            narrow = options.filters * 2**index
            count = options.depth[index] if options.decoder_repeats else 1
            layers += stage(SameConvTranspose2d, channels, narrow, kernel, count, options.widening)
            channels, index, size = narrow, index - 1, size * 2
        layers.append(SameConvTranspose2d(channels, 3, kernel, 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, codes: Tensor) -> Tensor:
        """Logits (N, 3, S, S); their sigmoid is the image."""
        return self.layers(codes)


class Autoencoder(nn.Module):
    """Encoder and decoder. Weights are drawn on the CPU from ``seed``, so that every device starts from the same."""

    def __init__(self, options: NetworkOptions, seed: int) -> None:
        super().__init__()
        self.options = options
        self.encoder = Encoder(options)
        self.decoder = Decoder(options)
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, LAYERS):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)
        normalised = {
            "spectral": self.encoder.dense_layers(),
            "spectral_all": [module for module in self.modules() if isinstance(module, LAYERS)],
        }
        # After the weights are drawn, since it reparametrises them. It draws its first singular vectors from torch's
        # global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for layer in normalised.get(options.latent_norm, []):
                normalise_spectrally(layer)


def normalise_spectrally(layer: nn.Module) -> None:
    """Divide a layer's weight by its largest singular value, estimated by one power iteration a step.

    Weights are matrices with output channels as rows, those of transposed convolutions with input channels as rows, as
    in the code of RAE (Ghosh et al. 2020). Always float32: the iteration converges only if each step keeps its digits.
    """
    spectral_norm(layer, n_power_iterations=1, dim=0)
    parametrization = layer.parametrizations.weight[0]
    iterate = parametrization.forward

    def forward(weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):
            return iterate(weight)

    parametrization.forward = forward


def sample_code(mean: Tensor, log_variance: Tensor, generator: torch.Generator) -> Tensor:
    """The reparameterised sample mean + sigma · epsilon, (N, latent)."""
    return mean + (0.5 * log_variance).exp() * normal_like(mean, generator)


def normal_like(codes: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers of the codes' shape, type and device."""
    return torch.randn(codes.shape, generator=generator, device=codes.device, dtype=codes.dtype)


def to_unit_interval(images: Tensor) -> Tensor:
    """uint8 (N, 3, S, S) to float32 in [0, 1], channels last, the fastest layout for convolutions."""
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)


def parameter_count(module: nn.Module) -> int:
    """Weights and biases, frozen ones included (batch normalisation's running statistics are not)."""
    return sum(parameter.numel() for parameter in module.parameters())
