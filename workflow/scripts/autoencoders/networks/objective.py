"""The training objective (section 3): the reconstruction loss and weighted penalties."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError
from autoencoders.networks.network import Autoencoder, normal_like, sample_code
from autoencoders.networks.numerics import autocast


@dataclass(frozen=True)
class Step:
    """One batch of B images on its way through the network, as a penalty sees it: float32 tensors on one device.

    ``images`` (B, 3, S, S) are in [0, 1]. ``codes`` (B, z) are the encoder's output: for a VAE the means, with their
    ``log_variance`` (None for other models). ``decoded`` (B, z) is the decoder's input, noise included: for a VAE the
    samples. The sigmoid of ``logits`` (B, 3, S, S) is the reconstruction, and
    ``torch.autograd.grad(..., step.decoded, create_graph=True)`` is a gradient of the decoder. Draw random numbers from
    ``generator``, which is on the device: a resumed training then draws the same ones. ``batch_size`` is that of a full
    batch, than which the last one of an epoch may be smaller.
    """

    network: Autoencoder
    images: Tensor
    codes: Tensor
    log_variance: Tensor | None
    decoded: Tensor
    logits: Tensor
    generator: torch.Generator
    batch_size: int

    def versions(self) -> list[int]:
        """How often each tensor was changed in place, as PyTorch counts."""
        tensors = (self.images, self.codes, self.log_variance, self.decoded, self.logits)
        return [tensor._version for tensor in tensors if tensor is not None]


class Term(NamedTuple):
    """One penalty with its weight and options. Batches of fewer than ``min_batch`` images are trained without it."""

    penalty: Callable[[Step, Mapping], Tensor]
    weight: float
    options: Mapping
    min_batch: int = 1


@dataclass(frozen=True)
class Objective:
    """``beta`` is the weight of a variational network's KL term, ``kl_reduction`` ("mean" or "sum") its reduction over
    latent units, ``noise`` the standard deviation of the noise on the decoder's input (section 4). ``penalties`` maps
    names to kind, weight and options, as in the config.
    """

    beta: float = 0.0
    kl_reduction: str = "mean"
    noise: float = 0.0
    penalties: Mapping[str, Mapping] = field(default_factory=dict)

    def terms(self, variational: bool) -> dict[str, Term]:
        """The penalties of a network, by name."""
        found = {}
        if variational:
            found[kinds.KL] = Term(
                kinds.load("penalties", kinds.KL).penalty, self.beta, {"reduction": self.kl_reduction}
            )
        for name, entry in self.penalties.items():
            module = kinds.load("penalties", entry["kind"])
            options = kinds.complete(entry, kinds.options(module))
            found[name] = Term(module.penalty, entry["weight"], options, kinds.needs(module, "MIN_BATCH", 1))
        return found


def reconstruction_loss(logits: Tensor, images: Tensor) -> Tensor:
    """Binary cross-entropy between sigmoid(logits) and images in [0, 1], averaged over batch and pixels.

    Both (N, 3, S, S) float32; a scalar in nats.
    """
    return F.binary_cross_entropy_with_logits(logits, images)


def describe(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)


def batch_losses(
    network: Autoencoder,
    images: Tensor,
    noise: float,
    terms: Mapping[str, Term],
    generator: torch.Generator,
    precision: str = "fp32",
    batch_size: int | None = None,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """The loss of one batch and its parts, float32: (loss, reconstruction loss, unweighted penalties by name).

    ``batch_size`` is that of a full batch, by default this one's.
    """
    with autocast(precision, images.device):
        mean, log_variance = network.encoder(images)
    code = mean if log_variance is None else sample_code(mean, log_variance, generator)
    if noise:
        code = code + noise * normal_like(code, generator)
    with autocast(precision, images.device):
        logits = network.decoder(code)
    logits = logits.float()
    loss = reconstruction = reconstruction_loss(logits, images)
    step = Step(network, images, mean, log_variance, code, logits, generator, batch_size or len(images))
    penalties = {}
    for name, term in terms.items():
        if len(images) < term.min_batch:
            penalties[name] = torch.zeros_like(reconstruction)
            continue
        versions = step.versions()
        penalties[name] = value = term.penalty(step, term.options)
        if step.versions() != versions:
            raise UserError(
                f"the penalty {name} changes a tensor of the step, as x -= y does, but gradients need it as it was. "
                "Write x = x - y."
            )
        if not isinstance(value, Tensor) or value.shape:
            raise UserError(f"the penalty {name} must return a scalar tensor, but returned {describe(value)}.")
        if not value.requires_grad and torch.is_grad_enabled():
            # Python shows the same warning once, not at every step.
            warnings.warn(f"the penalty {name} has no gradient and changes nothing", stacklevel=2)
        loss = loss + term.weight * penalties[name]
    return loss, reconstruction.detach(), {name: value.detach() for name, value in penalties.items()}
