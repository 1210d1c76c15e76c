"""Images to codes and codes to images with a trained network, in large batches.

All data goes to the device in one copy, and the results come back in one, so no batch waits for the host. On the CPU
nothing is copied: tensors and arrays share their memory.
"""

import numpy as np
import torch

from autoencoders.config.seeds import generator
from autoencoders.jobs.errors import UserError
from autoencoders.networks.batches import in_batches
from autoencoders.networks.network import Autoencoder, sample_code, to_unit_interval


@torch.inference_mode()
def encode(
    network: Autoencoder,
    images: np.ndarray,
    batch_size: int,
    device: torch.device,
    seed: int | None = None,
) -> np.ndarray:
    """Codes float32 (N, latent) of uint8 images (N, 3, S, S); for a VAE the means (section 3).

    ``network`` is in eval mode on ``device``, which holds all images and codes at once. With a ``seed``, a VAE's
    codes are samples instead. For batches, see `in_batches`. Raises UserError if a code is not finite.
    """
    pixels = torch.from_numpy(images).to(device)
    codes = torch.empty((len(images), network.options.latent), device=device)
    sampled = seed is not None and network.options.variational
    log_variances = torch.empty_like(codes) if sampled else None

    def work(batch: slice) -> None:
        codes[batch], log_variance = network.encoder(to_unit_interval(pixels[batch]))
        if sampled:
            log_variances[batch] = log_variance

    in_batches(work, len(images), batch_size)
    if sampled:
        # In a single draw, so that it does not depend on the batches.
        codes = sample_code(codes, log_variances, torch.Generator(device).manual_seed(seed))
    bad = len(images) - int(codes.isfinite().all(dim=1).sum())
    if bad:
        raise UserError(
            f"the codes of {bad} of {len(images)} images are not finite, though the weights are. Train this model at "
            "a lower rate (training.learning_rate), or remove it from the config."
        )
    return codes.cpu().numpy()


@torch.inference_mode()
def decode(network: Autoencoder, codes: np.ndarray, batch_size: int, device: torch.device) -> np.ndarray:
    """Images uint8 (N, 3, S, S) of float codes (N, latent), rounded to the nearest of the 256 levels.

    ``network`` is in eval mode on ``device``, which holds all codes and images at once. For batches, see
    `in_batches`.
    """
    size = network.options.size
    points = torch.from_numpy(codes).float().to(device)
    images = torch.empty((len(codes), 3, size, size), dtype=torch.uint8, device=device)

    def work(batch: slice) -> None:
        images[batch] = network.decoder(points[batch]).sigmoid().mul(255).round()

    in_batches(work, len(codes), batch_size)
    return images.cpu().numpy()


def as_codes(drawn: object, shape: tuple[int, int], prior: str) -> np.ndarray:
    """A prior's samples as an array of codes. Raises UserError if they are not finite numbers of this shape."""
    try:
        codes = np.ascontiguousarray(drawn)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"samples of the prior {prior} are not an array ({error}).") from error
    if codes.shape != shape or codes.dtype.kind not in "fiu":
        found = f"{codes.dtype} of shape {codes.shape}"
        raise UserError(f"samples of the prior {prior} must be codes of shape {shape}, but are {found}.")
    if not np.isfinite(codes).all():
        raise UserError(f"samples of the prior {prior} are not finite.")
    return codes


def midpoints(codes: np.ndarray, seed: int) -> np.ndarray:
    """Midpoints (N, z) of N random pairs of ``codes`` (N, z); every code is in two pairs.

    Decoded, they show whether points between codes give images too: the smoothness of hypothesis 1 (section 2.2).
    """
    order = generator(seed, "midpoints").permutation(len(codes))
    return (codes[order] + codes[np.roll(order, 1)]) / 2
