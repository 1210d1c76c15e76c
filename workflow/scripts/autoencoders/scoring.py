"""Scores of one cell: the Fréchet distances of its image sets to the dataset's references."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from autoencoders.errors import UserError
from autoencoders.features import extract
from autoencoders.files import file_sha256, read_npz
from autoencoders.frechet import Statistics, covariance_root, float64_device, frechet_distance, statistics

COLUMNS = [
    *("dataset", "model", "filters", "depth", "latent", "seed"),
    *("setting", "extractor", "extractor_accuracy", "extractor_chance"),
    *("metric", "frechet_distance", "images", "reference_images", "status"),
]


def finite_features(
    network: nn.Module, images: np.ndarray, batch_size: int, device: torch.device, what: str
) -> torch.Tensor:
    """Features (N, D), float32 on ``device``, of uint8 images (N, 3, S, S).

    Raises UserError, naming ``what``, where any is not finite.
    """
    features = extract(network, images, batch_size, device)
    bad = len(images) - int(features.isfinite().all(dim=1).sum())
    if bad:
        raise UserError(
            f"the features of {bad} of {len(images)} images of {what} are not finite: the extractor's weights are "
            "broken. Replace extractors.inception.weights, or delete the classifier's file, and it is trained again"
        )
    return features


def reference_arrays(
    network: nn.Module, images: np.ndarray, weights: str | Path, batch_size: int, device: torch.device
) -> dict[str, np.ndarray]:
    """What the rule reference stores of a split's images, uint8 (N, 3, S, S), computed on ``device``.

    Their features' mean (D,), covariance and its root (D, D), float64, count, and the checksum of the extractor's
    ``weights`` file.
    """
    reference = statistics(finite_features(network, images, batch_size, device, "the reference"))
    return {
        "mean": reference.mean.cpu().numpy(),
        "covariance": reference.covariance.cpu().numpy(),
        "root": covariance_root(reference.covariance).cpu().numpy(),
        "count": np.int64(reference.count),
        "extractor_sha256": np.str_(file_sha256(weights)),
    }


def read_reference(path: str | Path, weights_sha256: str, device: torch.device) -> tuple[Statistics, torch.Tensor]:
    """A stored reference's statistics and the root (D, D) of its covariance: float64, on ``float64_device(device)``.

    Raises UserError where they were computed with another extractor than the one whose weights file has this checksum:
    distances between two networks' features mean nothing.
    """
    arrays = read_npz(path)
    if str(arrays["extractor_sha256"]) != weights_sha256:
        raise UserError(
            f"{path} was computed with other weights than the extractor's present ones. Delete it, and it is made again"
        )
    mean, covariance, root = (
        torch.from_numpy(arrays[name]).to(float64_device(device)) for name in ("mean", "covariance", "root")
    )
    return Statistics(mean, covariance, int(arrays["count"])), root


def score_cell(
    status: str,
    image_sets: Mapping[str, np.ndarray],
    comparisons: Mapping[str, Sequence[str]],
    references: Mapping[str, tuple[Statistics, torch.Tensor]],
    network: nn.Module | None,
    batch_size: int,
    device: torch.device,
) -> pd.DataFrame:
    """One row a comparison, in their order: metric, frechet_distance (NaN unless status is "ok"), images and
    reference_images (how many were compared), status.

    ``comparisons`` maps metrics to (image set, split): which of ``image_sets``, uint8 images (N, 3, S, S), is compared
    with which of ``references``, each the statistics of a split and the root of their covariance. A cell that is not
    "ok" has sets of N = 0 and needs no network. Raises UserError where the features of an image set are not finite.
    """
    found = {}
    if status == "ok":
        for name, images in image_sets.items():
            found[name] = statistics(finite_features(network, images, batch_size, device, name))
    rows = []
    for metric, (name, split) in comparisons.items():
        distance = frechet_distance(*references[split], found[name]) if status == "ok" else np.nan
        rows.append((metric, distance, len(image_sets[name]), references[split][0].count, status))
    table = pd.DataFrame(rows, columns=COLUMNS[COLUMNS.index("metric") :])
    return table.astype({"frechet_distance": "float64", "images": "int64", "reference_images": "int64"})


def identified(
    scores: pd.DataFrame, cell: Mapping[str, object], setting: str, extractor: str, accuracy: float, chance: float
) -> pd.DataFrame:
    """The rows of ``score_cell`` with the cell, setting and extractor in front, in the order of ``COLUMNS``.

    ``accuracy`` is the share of test images that a classifier whose features these are gets right, ``chance`` what it
    would get right by always naming the commonest class; NaN of others.
    """
    # Explicit types: every cell's file has to have the same ones, whatever the depth looks like ("1", "3321").
    identity = {
        "dataset": str(cell["dataset"]),
        "model": str(cell["model"]),
        "filters": int(cell["filters"]),
        "depth": str(cell["depth"]),
        "latent": int(cell["latent"]),
        "seed": int(cell["seed"]),
        "setting": setting,
        "extractor": extractor,
        "extractor_accuracy": float(accuracy),
        "extractor_chance": float(chance),
    }
    return scores.assign(**identity)[COLUMNS]
