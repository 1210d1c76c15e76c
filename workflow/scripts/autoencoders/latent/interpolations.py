"""Codes on the way from one image to another, and which images a cell's gallery shows."""

import numpy as np

from autoencoders.config.seeds import generator


def shown_images(count: int, most: int, seed: int) -> np.ndarray:
    """Which of ``count`` images the gallery shows: at most ``most`` indices, int64, in random order.

    Not the first ones: images from folders are sorted by class.
    """
    return generator(seed, "gallery").permutation(count)[:most]


def steps_between(first: np.ndarray, last: np.ndarray, steps: int) -> np.ndarray:
    """Codes at equal distances on the lines from codes ``first`` (P, z) to ``last`` (P, z), ends included: float32
    (P, steps, z).

    Decoded, they show whether the way from one image to another leads over images: the smoothness of hypothesis 1
    (section 2.2).
    """
    parts = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    return ((1 - parts) * first[:, None] + parts * last[:, None]).astype(np.float32)
