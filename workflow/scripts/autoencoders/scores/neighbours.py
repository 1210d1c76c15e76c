"""Nearest neighbours among features, and which features lie within each other's neighbourhoods.

Squared distances come from float32 products of rows around a common centre, block by block. Their rounding errors are
some 1e-7 of the squared norms, which is more than the distance of a copy from its original. So the nearest rows and all
comparisons that the rounding leaves open are computed again from differences, which have no such errors: distances are
right to six digits, however small they are, and rows that are equal are at distance 0.

PyTorch is imported inside functions, since Snakemake's own process reads measures, which import this module.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from autoencoders.jobs.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

# Rows and columns of a block of distances: 40 MB, and as much again for what is computed from them.
ROWS, COLUMNS = 1000, 10_000
# A bound of the rounding error of a squared distance, relative to the sum of the largest squared norms.
ROUNDING = 1e-5
# Candidates beyond the nearest neighbours asked for, of which rounding may hide a nearer one.
SPARE = 3
# Pairs of rows whose differences are computed at once: 8 MB with 2,048 features.
PAIRS = 1024

NEIGHBOURS = {
    "k": {
        "type": "integer",
        "minimum": 1,
        "default": 5,
        "description": "a whole number of neighbours, at least 1",
    }
}


class Overlap(NamedTuple):
    """``balls`` (N,): in how many of the reference's balls each feature lies; ``reached`` (M,): whether any feature
    lies in a reference row's ball; ``recalled`` (M,): whether a reference row lies in the ball of any feature.

    A ball's radius is the distance of its centre from its k-th nearest neighbour of the same set; what lies on its
    surface is outside.
    """

    balls: Tensor
    reached: Tensor
    recalled: Tensor


def overlap(features: Tensor, reference: Tensor, reference_radii: Tensor, k: int, shared: dict) -> Overlap | None:
    """Computed once for each reference and ``k``, and kept in ``shared``; None if a set has too few images for balls.

    ``reference_radii`` (M,) are `squared_radii` of the reference.
    """
    import torch

    if ("radii", k) not in shared:
        shared["radii", k] = squared_radii(features, k)
    radii = shared["radii", k]
    key = "overlap", id(reference), k
    if key not in shared:
        shared[key] = None
        if not (radii.isnan().any() or reference_radii.isnan().any()):
            balls = torch.zeros(len(features), dtype=torch.int64)
            reached = torch.zeros(len(reference), dtype=torch.bool)
            recalled = torch.zeros(len(reference), dtype=torch.bool)
            for block in blocks(features, reference):
                row, column = block.closer(reference_radii[block.columns].unsqueeze(0))
                balls += row.bincount(minlength=len(features))
                reached[column] = True
                _, column = block.closer(radii[block.rows].unsqueeze(1))
                recalled[column] = True
            shared[key] = Overlap(balls, reached, recalled)
    return shared[key]


def squared_radii(features: Tensor, k: int) -> Tensor:
    """The squared distance of each row of features (N, D) from its k-th nearest other row, float64 (N,) on the CPU.

    All NaN, with a warning, if there are no more than k rows. Warns if a radius is 0.
    """
    import torch

    if len(features) <= k:
        logger.warning(
            "%d images have no %d nearest neighbours each: use more images, or a smaller k", len(features), k
        )
        return torch.full((len(features),), torch.nan, dtype=torch.float64)
    radii = nearest(features, features, k, same=True)[0][:, -1]
    if zeros := int((radii == 0).sum()):
        logger.warning(
            "%d of %d images have %d others with the same features: nothing lies within their neighbourhoods, which "
            "have a radius of 0",
            *(zeros, len(features), k),
        )
    return radii


def nearest_once(features: Tensor, others: Tensor, shared: dict) -> tuple[Tensor, Tensor]:
    """`nearest` for one neighbour, as two tensors (N,); computed once for ``others``, and kept in ``shared``."""
    key = "nearest", id(others)
    if key not in shared:
        distances, index = nearest(features, others, 1)
        shared[key] = distances[:, 0], index[:, 0]
    return shared[key]


def nearest(features: Tensor, others: Tensor, count: int, same: bool = False) -> tuple[Tensor, Tensor]:
    """The squared distances of features (N, D) from their ``count`` nearest rows of ``others`` (M, D), nearest first,
    float64 (N, count), and these rows' indices, int64 (N, count), both on the CPU.

    ``same``: both are the same tensor, and no row is its own neighbour. There must be ``count`` neighbours.
    """
    import torch

    kept = min(count + SPARE, len(others) - same)
    best = torch.full((len(features), kept), torch.inf, device=features.device)
    index = torch.zeros((len(features), kept), dtype=torch.int64, device=features.device)
    for block in blocks(features, others):
        rows, squared = block.rows, block.squared
        if same:
            own = torch.arange(rows.start, rows.stop, device=squared.device)
            squared.masked_fill_(
                own.unsqueeze(1) == torch.arange(*block.columns.indices(len(others)), device=own.device), torch.inf
            )
        values, columns = squared.topk(min(kept, squared.shape[1]), dim=1, largest=False)
        best[rows], order = torch.cat([best[rows], values], dim=1).topk(kept, dim=1, largest=False)
        index[rows] = torch.cat([index[rows], columns + block.columns.start], dim=1).gather(1, order)
    row = torch.arange(len(features), device=index.device).repeat_interleave(kept)
    exact = exact_distances(features, row, others, index.flatten()).view(index.shape)
    exact, order = exact.sort(dim=1, stable=True)
    return exact[:, :count], index.cpu().gather(1, order)[:, :count]


class Block(NamedTuple):
    """Squared distances (R, C) in float32 between a range of rows and a range of columns, and a bound of their rounding
    errors.
    """

    features: Tensor
    others: Tensor
    rows: slice
    columns: slice
    squared: Tensor
    bound: float

    def closer(self, limits: Tensor) -> tuple[Tensor, Tensor]:
        """The rows and columns of all pairs whose distance is below one of the squared ``limits``, float64 (R, 1) or
        (1, C) on the CPU: two tensors int64 (P,) on the CPU.
        """
        upper = (limits + self.bound).float().to(self.squared.device)
        row, column = (self.squared <= upper).nonzero(as_tuple=True)
        distances = self.squared[row, column].cpu().double()
        row, column = row.cpu(), column.cpu()
        limit = limits.expand(self.squared.shape)[row, column]
        undecided = (distances - limit).abs() <= 2 * self.bound
        row, column = row + self.rows.start, column + self.columns.start
        distances[undecided] = exact_distances(self.features, row[undecided], self.others, column[undecided])
        inside = distances < limit
        return row[inside], column[inside]


def blocks(features: Tensor, others: Tensor) -> Iterator[Block]:
    """All distances between the rows of features (N, D) and ``others`` (M, D), block by block."""
    centre = others.mean(dim=0)
    centred = features - centre
    norms = centred.square().sum(dim=1, keepdim=True)
    progress = Progress("computing distances", len(features) * len(others), "distances")
    for columns in ranges(len(others), COLUMNS):
        chunk = others[columns] - centre
        chunk_norms = chunk.square().sum(dim=1)
        bound = ROUNDING * (norms.max() + chunk_norms.max()).item()
        for rows in ranges(len(features), ROWS):
            squared = chunk_norms.addmm(centred[rows], chunk.T, alpha=-2).add_(norms[rows])
            yield Block(features, others, rows, columns, squared, bound)
            progress.step(squared.numel())


def ranges(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def exact_distances(features: Tensor, rows: Tensor, others: Tensor, columns: Tensor) -> Tensor:
    """The squared distances of pairs of rows, from their differences: float64 (P,) on the CPU."""
    import torch

    found = [torch.zeros(0, dtype=torch.float64)]
    for row, column in zip(rows.split(PAIRS), columns.split(PAIRS), strict=True):
        difference = features[row.to(features.device)] - others[column.to(others.device)]
        found.append(difference.square_().sum(dim=1).cpu().double())
    return torch.cat(found)
