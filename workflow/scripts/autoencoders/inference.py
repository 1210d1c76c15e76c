"""A trained network at work: images to codes, codes to images, in large batches."""

import numpy as np
import torch

from autoencoders.network import Autoencoder, to_unit_interval
from autoencoders.objective import sample_code


@torch.inference_mode()
def encode(
    network: Autoencoder,
    images: np.ndarray,
    batch_size: int,
    device: torch.device,
    generator: torch.Generator | None = None,
) -> np.ndarray:
    """Codes float32 (N, latent) of uint8 images (N, 3, S, S): a VAE's are the means (section 3).

    With a ``generator`` on the device, a VAE's are samples instead.
    """
    codes = np.empty((len(images), network.options.latent), np.float32)
    for start in range(0, len(images), batch_size):
        batch = torch.from_numpy(images[start : start + batch_size]).to(device)
        code, log_variance = network.encoder(to_unit_interval(batch))
        if generator is not None and log_variance is not None:
            code = sample_code(code, log_variance, generator)
        codes[start : start + batch_size] = code.cpu().numpy()
    return codes


@torch.inference_mode()
def decode(network: Autoencoder, codes: np.ndarray, batch_size: int, device: torch.device) -> np.ndarray:
    """Images uint8 (N, 3, S, S) of float codes (N, latent), rounded to the nearest of the 256 levels."""
    size = network.options.size
    images = np.empty((len(codes), 3, size, size), np.uint8)
    for start in range(0, len(codes), batch_size):
        batch = torch.from_numpy(codes[start : start + batch_size].astype(np.float32)).to(device)
        levels = network.decoder(batch).sigmoid().mul(255).round()
        images[start : start + batch_size] = levels.to(torch.uint8).cpu().numpy()
    return images
