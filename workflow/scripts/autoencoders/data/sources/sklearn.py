"""Datasets that scikit-learn ships: 1,797 real handwritten digits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoencoders.data.pictures import Split

DESCRIPTION = "a dataset that scikit-learn ships, as in {name: digits}"
OPTIONS = {"name": {"description": "a dataset that scikit-learn ships", "enum": ["digits"]}}


def has_test(options: Mapping) -> bool:
    return False


def labelled(options: Mapping) -> bool:
    return True


def training_images(options: Mapping) -> int:
    return 1_797


def side(options: Mapping) -> int:
    return 8


def splits(options: Mapping, folder: str | Path) -> dict[str, Split]:
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    from autoencoders.data.pictures import Split

    digits = load_digits()
    # 17 levels, 0 to 16.
    images = np.rint(digits.images * 255 / 16).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    return {"train": Split(len(images), labels, lambda: map(Image.fromarray, images), lambda index: f"digit {index}")}
