"""Many small images in one large picture, and its PNG file."""

from pathlib import Path

import numpy as np
from PIL import Image

from autoencoders.jobs.files import atomic


def tile(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Images uint8 (n, 3, S, S), n ≥ 1, row by row on white with ``gap`` pixels between them: uint8 (H, W, 3).

    Small images are enlarged by an integer factor, to at most 96 pixels, so that every pixel stays a sharp square.
    """
    count, _, size, _ = images.shape
    scale = max(1, 96 // size)
    step = size * scale + gap
    rows = -(-count // columns)
    canvas = np.full((rows * step - gap, min(columns, count) * step - gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * step, (index % columns) * step
        pixels = image.transpose(1, 2, 0).repeat(scale, axis=0).repeat(scale, axis=1)
        canvas[top : top + size * scale, left : left + size * scale] = pixels
    return canvas


def write_png(path: str | Path, array: np.ndarray) -> None:
    """Write uint8 (H, W, 3) as a PNG file."""
    with atomic(path) as temporary:
        Image.fromarray(array).save(temporary, format="PNG")
