"""Reads a prepared dataset.

Separate from `data.preparation`, since training imports this module: an edit to preparation must not retrain anything.
"""

from pathlib import Path

import numpy as np

from autoencoders.config.seeds import generator
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import AGAIN, read_npz


def load_images(path: str | Path) -> np.ndarray:
    """Images of a prepared split: uint8 (N, 3, S, S)."""
    images = read_npz(path, ["images"]).get("images")
    if images is None:
        raise UserError(f"{path} has no array `images`. {AGAIN}")
    return images


def load_labels(path: str | Path) -> np.ndarray | None:
    """Labels of a prepared split: int64 (N,), or None if the dataset has none."""
    return read_npz(path, ["labels"]).get("labels")


def evaluation_subset(count: int, size: int, seed: int) -> np.ndarray:
    """The images that a score is computed on: sorted int64 indices below ``count``.

    All of them if ``count`` is at most ``size``, otherwise ``size`` of them, drawn without replacement.
    """
    if size >= count:
        return np.arange(count, dtype=np.int64)
    return np.sort(generator(seed, "evaluation subset").choice(count, size, replace=False)).astype(np.int64)
