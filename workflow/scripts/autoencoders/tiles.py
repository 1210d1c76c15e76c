"""Many small images as one large one."""

import numpy as np


def tile(images: np.ndarray, columns: int, gap: int = 2) -> np.ndarray:
    """Images uint8 (n, 3, S, S), n ≥ 1, row by row on white: uint8 (H, W, 3), ``gap`` pixels between them.

    Small images are enlarged by a whole factor, to about 128 pixels, so that every pixel stays a sharp square.
    """
    count, _, size, _ = images.shape
    scale = max(1, 128 // size)
    step = size * scale + gap
    rows = -(-count // columns)
    canvas = np.full((rows * step - gap, min(columns, count) * step - gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * step, (index % columns) * step
        pixels = image.transpose(1, 2, 0).repeat(scale, axis=0).repeat(scale, axis=1)
        canvas[top : top + size * scale, left : left + size * scale] = pixels
    return canvas
