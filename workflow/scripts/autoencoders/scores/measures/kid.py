"""The kernel distance between two sets of features, the KID if they are Inception's.

Bińkowski et al., "Demystifying MMD GANs" (2018): the squared maximum mean discrepancy with the kernel
k(u, v) = (u·v / D + 1)³ of D features. Pairs of an image with itself are left out, so that its expectation is 0 for
equal distributions, and a value may be negative:

    Σ_{i≠j} k(x_i, x_j) / (n (n - 1)) + Σ_{i≠j} k(y_i, y_j) / (m (m - 1)) - 2 Σ_{i, j} k(x_i, y_j) / (n m)

Other programs average this over random subsets of 1,000 images; here it is computed once, over all pairs, in float64.
Its error is s / √B, with the standard deviation s of the same statistic over B = 10 disjoint subsets. It errs on the
safe side: between equal distributions the statistic over all pairs varies √10 times less.

The sums over pairs are kept for each pair of subsets, so that one pass gives both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoencoders.jobs.errors import UserError
from autoencoders.scores.float64 import in_float64

if TYPE_CHECKING:
    from torch import Tensor

SUBSETS = 10
# Rows of a block of products: with 1,000 columns, 8 MB.
ROWS = 1000


def prepare(reference: Tensor, options: Mapping) -> dict[str, Tensor]:
    """The sums of `own_sums` over the reference's subsets."""
    return {"sums": own_sums(subsets(reference, seed=0))}


def measure(
    features: Tensor, reference: Tensor, options: Mapping, *, prepared: Mapping[str, Tensor], shared: dict, **_
) -> tuple[float, float]:
    """The distance and its error, which is NaN if there are fewer than four images on either side."""
    import torch

    if "kid" not in shared:
        shared["kid"] = own_sums(subsets(features, seed=1)).cpu()
    mine, theirs, own, sums = subsets(features, seed=1), subsets(reference, seed=0), shared["kid"], prepared["sums"]
    cross = torch.stack([torch.stack([kernel_sum(x, y) for y in theirs]) for x in mine]).cpu()
    value = discrepancy(own.sum(), sums.sum(), cross.sum(), sizes(mine).sum(), sizes(theirs).sum()).item()
    both = min(len(mine), len(theirs))
    if both < 2:
        return value, math.nan
    diagonals = [each.diagonal()[:both] for each in (own, sums, cross)]
    return value, discrepancy(*diagonals, sizes(mine)[:both], sizes(theirs)[:both]).std().item() / math.sqrt(both)


def subsets(features: Tensor, seed: int) -> list[Tensor]:
    """Features (N, D) in random order, in up to SUBSETS parts of at least two, float64.

    Two sets of images need different seeds: a reconstruction and its image in the same place would share a subset.
    """
    import numpy as np
    import torch

    if len(features) < 2:
        raise UserError(
            f"a kernel distance needs at least two images on each side, not {len(features)}: "
            "raise scoring.images, or the dataset's limit"
        )
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(features))).to(features.device)
    return list(in_float64(features[order]).tensor_split(min(SUBSETS, len(features) // 2)))


def sizes(parts: list[Tensor]) -> Tensor:
    import torch

    return torch.tensor([len(part) for part in parts], dtype=torch.float64)


def kernel_sum(first: Tensor, second: Tensor) -> Tensor:
    """Σ k(u, v) over all pairs of rows of two tensors, (N, D) and (M, D)."""
    one = first.new_ones(())
    kernels = (one.addmm(rows, second.T, alpha=1 / first.shape[1]).flatten() for rows in first.split(ROWS))
    return sum((kernel * kernel) @ kernel for kernel in kernels)


def own_sums(parts: list[Tensor]) -> Tensor:
    """For each pair of parts (B, B), Σ k(u, v) over pairs of their rows, without those of a row with itself."""
    import torch

    sums = torch.zeros(len(parts), len(parts), dtype=torch.float64, device=parts[0].device)
    for i, first in enumerate(parts):
        with_itself = ((first * first).sum(dim=1) / first.shape[1] + 1).pow(3).sum()
        sums[i, i] = kernel_sum(first, first) - with_itself
        for j in range(i):
            sums[i, j] = sums[j, i] = kernel_sum(first, parts[j])
    return sums


def discrepancy(own: Tensor, theirs: Tensor, cross: Tensor, count: Tensor, their_count: Tensor) -> Tensor:
    """The squared discrepancy from sums over pairs of ``count`` images, of ``their_count`` images, and of both."""
    return own / (count * (count - 1)) + theirs / (their_count * (their_count - 1)) - 2 * cross / (count * their_count)
