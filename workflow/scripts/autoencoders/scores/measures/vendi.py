"""The Vendi score: the effective number of different images in a set.

Friedman and Dieng, "The Vendi Score: A Diversity Evaluation Metric for Machine Learning" (2023): exp of the entropy of
the eigenvalues of K / n, where K holds the cosines between the features of n images. It is 1 for images with the same
features, and n for images whose features are orthogonal. It does not depend on the reference.

K / n = X Xᵀ / n, for X of normalised rows, has the eigenvalues of Xᵀ X / n (D, D) and zeros, so the smaller one serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoencoders.scores.float64 import in_float64

if TYPE_CHECKING:
    from torch import Tensor


def prepare(reference: Tensor, options: Mapping) -> dict[str, float]:
    """The reference's own score, to be shown beside the others."""
    return {"baseline": vendi_score(reference)}


def measure(features: Tensor, reference: Tensor, options: Mapping, *, shared: dict, **_) -> float:
    """The score of features (N, D)."""
    if "vendi" not in shared:
        shared["vendi"] = vendi_score(features)
    return shared["vendi"]


def vendi_score(features: Tensor) -> float:
    """Rows of zeros, which have no cosines, count as images with the same features, orthogonal to all others."""
    import torch

    features = in_float64(features)
    norms = features.norm(dim=1, keepdim=True)
    rows = torch.cat([features / norms.where(norms > 0, 1), (norms == 0).double()], dim=1)
    product = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    # Eigenvalues below zero are rounding errors.
    eigenvalues = torch.linalg.eigvalsh(product / len(rows)).clamp(min=0)
    return (-torch.special.xlogy(eigenvalues, eigenvalues).sum()).exp().item()
