"""A dataset whose test images are held out of another one's training images (rule prepare_validation)."""

from collections.abc import Mapping

import numpy as np

from autoencoders.data.preparation import describe, split_train_test
from autoencoders.jobs.errors import UserError


def hold_out(
    images: np.ndarray, labels: np.ndarray | None, fraction: float, limit: int | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Split prepared training images: {"train": arrays, "test": arrays}, as `data.preparation.prepare` returns them.

    ``images`` are uint8 (N, 3, S, S), ``labels`` int64 (N,) or None. The first ``limit`` (None: all) of the share
    ``fraction``, in their order, are the test images. Raises UserError if a split has fewer than two images.
    """
    train, test = split_train_test(len(images), labels, fraction)
    arrays = {}
    for split, indices in {"train": train, "test": test[:limit]}.items():
        if len(indices) < 2:
            raise UserError(
                f"The {split} split of this validation dataset has a single image; priors and Fréchet distances need "
                "at least two. Add images to the dataset that it is held out of, or change `test_fraction`."
            )
        arrays[split] = {"images": images[indices]} | ({} if labels is None else {"labels": labels[indices]})
    return arrays


def describe_held_out(base: Mapping, name: str, arrays: dict[str, dict[str, np.ndarray]]) -> dict:
    """The contents of dataset.json, given those of the dataset ``name`` that the images are held out of."""
    source = {key: value for key, value in base["source"].items() if key != "kind"}
    kind = base["source"]["kind"]
    record = describe({"source": kind, kind: source, "crop": base["crop"], "size": base["size"]}, arrays)
    return {"validation_of": name} | record
