"""A trained network at work: images to codes, codes to images, in large batches.

Everything goes to the device in one copy and comes back in one, so that no batch waits for the host. On the CPU neither
is a copy: tensors and arrays share their memory.
"""

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
    seed: int | None = None,
) -> np.ndarray:
    """Codes float32 (N, latent) of uint8 images (N, 3, S, S): a VAE's are the means (section 3).

    ``network`` is in eval mode on ``device``, which holds all images and codes at once. With a ``seed``, a VAE's
    codes are samples instead.
    """
    pixels = torch.from_numpy(images).to(device)
    codes = torch.empty((len(images), network.options.latent), device=device)
    generator = None if seed is None else torch.Generator(device).manual_seed(seed)
    for start in range(0, len(images), batch_size):
        code, log_variance = network.encoder(to_unit_interval(pixels[start : start + batch_size]))
        if generator is not None and log_variance is not None:
            code = sample_code(code, log_variance, generator)
        codes[start : start + batch_size] = code
    return codes.cpu().numpy()


@torch.inference_mode()
def decode(network: Autoencoder, codes: np.ndarray, batch_size: int, device: torch.device) -> np.ndarray:
    """Images uint8 (N, 3, S, S) of float codes (N, latent), rounded to the nearest of the 256 levels.

    ``network`` is in eval mode on ``device``, which holds all codes and images at once.
    """
    size = network.options.size
    points = torch.from_numpy(codes).float().to(device)
    images = torch.empty((len(codes), 3, size, size), dtype=torch.uint8, device=device)
    for start in range(0, len(codes), batch_size):
        intensities = network.decoder(points[start : start + batch_size]).sigmoid()
        images[start : start + batch_size] = intensities.mul(255).round()
    return images.cpu().numpy()
