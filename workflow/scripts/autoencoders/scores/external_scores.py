"""Scores of images made elsewhere: the measures of `scores.cell_scores` between them and the test images."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.scores.cell_scores import COLUMNS, Reference, score_cell

# Their image set and comparison; `config.grid` names it too, and is no input of scores.
EXTERNAL = "external"
# They belong to no network.
NOT_THEIRS = ("filters", "depth", "latent", "seed")


def score_external(
    images: np.ndarray,
    references: Mapping[str, Reference],
    measures: Mapping[str, Mapping],
    network: Callable[[Tensor], Tensor],
    batch_size: int,
    device: torch.device,
    seed: int,
    classes: Callable[[Tensor], Tensor] | None = None,
) -> pd.DataFrame:
    """The rows of ``score_cell`` for ``images``, uint8 (N, 3, S, S), compared with the test images: one a measure."""
    sets, comparison = {EXTERNAL: images}, {EXTERNAL: (EXTERNAL, "test")}
    scores = score_cell("ok", sets, comparison, references, measures, network, batch_size, device, seed, classes).table
    # Cells have the rows of the test images themselves.
    return scores[scores["comparison"] == EXTERNAL]


def external_table(
    scores: pd.DataFrame, identity: Mapping[str, str], accuracy: float | None, chance: float | None
) -> pd.DataFrame:
    """The rows of ``score_external`` with dataset, model (their name) and extractor of ``identity``, and the accuracy
    and chance of a classifier as in ``cell_scores.identified``.
    """
    worth = {"extractor_accuracy": accuracy, "extractor_chance": chance}
    worth = {name: math.nan if value is None else float(value) for name, value in worth.items()}
    return scores.assign(**identity, **worth)[[name for name in COLUMNS if name not in NOT_THEIRS]]
