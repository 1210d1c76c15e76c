"""Scores of samples that are drawn again from the priors of one cell (rule redraw).

They differ by the draw alone. A difference between two cells that is smaller than this noise is a tie.
"""

import logging
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.config.seeds import generator
from autoencoders.latent.encode_decode import decode
from autoencoders.latent.prior_samples import draw_codes
from autoencoders.networks.network import Autoencoder
from autoencoders.networks.numerics import repeatable
from autoencoders.scores.cell_scores import Reference, score_cell

logger = logging.getLogger(__name__)

DRAWS = 5
# The columns of a file of redraws, and their types: the same in all files, whatever the depth looks like.
TYPES = {
    **{"dataset": "str", "model": "str", "filters": "int64", "depth": "str", "latent": "int64", "seed": "int64"},
    **{"extractor": "str", "comparison": "str", "draw": "int64", "value": "float64"},
}


def sample_score(
    network: Autoencoder,
    prior: str,
    kind: str,
    fitted: Mapping[str, np.ndarray],
    count: int,
    random: np.random.Generator,
    reference: Reference,
    measure: Mapping,
    extractor: Callable[[Tensor], Tensor],
    batch_size: int,
    device: torch.device,
    *,
    threads: int,
    tf32: bool,
) -> float:
    """The Fréchet distance between ``count`` samples of a prior, decoded by ``network``, and the ``reference``.

    The numbers are those of the rules sample and score: ``tf32`` may be used to decode, and is never used to score.
    ``measure`` is the config's entry frechet, kind and options; for the prior see `draw_codes`.
    """
    codes = draw_codes(prior, kind, fitted, (count, network.options.latent), random)
    repeatable(threads, tf32=tf32)
    images = {prior: decode(network, codes, batch_size, device)}
    repeatable(threads)
    comparisons, references = {prior: (prior, "test")}, {"test": reference}
    # The Fréchet distance draws no random numbers, so its seed means nothing.
    scores = score_cell(
        "ok", images, comparisons, references, {"frechet": measure}, extractor, batch_size, device, seed=0
    )
    return float(scores.table["value"].item())


def redraw(score: Callable[[np.random.Generator], float], prior: str, seed: int) -> Iterator[tuple[str, int, float]]:
    """(prior, draw, value) of DRAWS draws: ``score`` with a random stream for each.

    The streams depend on the cell's ``seed``, the prior's name and the draw, and none is that of the rule sample.
    """
    for draw in range(DRAWS):
        value = score(generator(seed, f"redraw/{draw}/{prior}"))
        logger.info("%s, draw %d: %.6g", prior, draw, value)
        yield prior, draw, value


def redraw_table(
    cell: Mapping[str, object], extractor: str, values: Iterator[tuple[str, int, float]] | list
) -> pd.DataFrame:
    """One row for each of the ``values`` of ``redraw``, with the columns TYPES; no rows for a diverged cell."""
    rows = [
        {**cell, "extractor": extractor, "comparison": prior, "draw": draw, "value": value}
        for prior, draw, value in values
    ]
    return pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES)
