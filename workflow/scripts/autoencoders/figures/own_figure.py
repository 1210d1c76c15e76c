"""The figure of an experiment that has none in the paper: its experiment with noise (section 4), and a user's own."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from autoencoders.evidence.measure_texts import FRECHET
from autoencoders.figures.line_looks import OTHER_LINES, SOLID, Encoding, known_or_other
from autoencoders.figures.model_looks import model_looks
from autoencoders.figures.paper_figures import fitted_priors
from autoencoders.figures.score_curves import draw_scores


def own_figure(
    scores: pd.DataFrame, extractor: str, published: pd.DataFrame, models: Sequence[str], measure: str = FRECHET
) -> Figure:
    """Panels Test R and the fitted priors. Colour and marker are the model's, the line style is that of width and
    depth.

    ``models`` are all models of the config (``model_looks``); the rest is described in ``score_curves.draw_scores``.
    """
    panels = [["test_recon"], *([prior] for prior in fitted_priors(scores))]
    looks = Encoding("Model", ("model",), model_looks(models))
    sizes = Encoding("Network", ("filters", "depth"), known_or_other({}, [SOLID, *OTHER_LINES]))
    return draw_scores(scores, extractor, published, panels, looks, sizes, measure, cited=True)
