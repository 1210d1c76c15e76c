"""The noise of drawing: how much a score varies if samples are drawn again from the same prior of the same cell."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

# A file of redraws (`scores.redraws`) has one cell.
CELL = ["model", "filters", "depth", "latent", "seed"]


def redraw_noise(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One row for each dataset, extractor and comparison (a prior) of the files of rule redraw.

    Columns: these three; model, filters, depth, latent and seed of the cell whose samples were drawn; draws (how many);
    sd_of_log, the sample standard deviation over draws of ln value: 0.01 is about 1 % of the score. It is NaN for
    fewer than two draws, and if a value is not above 0. A cell that diverged has no row. Without files, there is none.
    """
    frames = list(frames)
    if not frames:
        return pd.DataFrame(columns=["dataset", "extractor", "comparison", *CELL, "draws", "sd_of_log"])
    table = pd.concat(frames, ignore_index=True)
    values = table["value"]
    table["log"] = np.log(values.where(values > 0))
    groups = table.groupby(["dataset", "extractor", "comparison", *CELL], sort=False)
    # pandas leaves NaN out, but a draw without a logarithm makes the deviation unknown.
    deviation = groups["log"].std().where(groups["log"].count() == groups["log"].size())
    return pd.DataFrame({"draws": groups.size(), "sd_of_log": deviation}).reset_index()
