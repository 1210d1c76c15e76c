"""The figures of scores against the latent size in the paper, Figures 1 to 5, in its colours and line styles.

Each takes a table from ``evidence.score_tables.collect_scores`` with the cells of one experiment, the extractor whose
features it shows, the published values (``read_published``), and the measure if it is not the Fréchet distance. How all
of them show seeds, diverged cells and published values is described in ``figures.score_curves.draw_scores``.
"""

import pandas as pd
from matplotlib.figure import Figure

from autoencoders.config.grid import NOT_PRIORS
from autoencoders.evidence.display_names import comparison_order
from autoencoders.evidence.measure_texts import FRECHET
from autoencoders.figures.line_looks import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    OTHER_LINES,
    OTHER_LOOKS,
    PURPLE,
    RED,
    SOLID,
    WIDTHS,
    Encoding,
    known_or_other,
    width_looks,
)
from autoencoders.figures.score_curves import draw_scores

# The parts of markers that are filled go with dashed and dotted lines.
DASHED, DOTTED = ("--", "left"), (":", "none")
# As in the paper, two depths that never occur at the same width share a line style; here their markers differ.
DEPTH_LINES = {("1",): SOLID, ("2",): DASHED, ("3",): DOTTED, ("3321",): (":", "top")}
DEPTH = Encoding("Depth", ("depth",), known_or_other(DEPTH_LINES, OTHER_LINES))


def prior_lines(**known: tuple) -> Encoding:
    return Encoding(
        "Prior", ("comparison",), known_or_other({(name,): look for name, look in known.items()}, OTHER_LINES)
    )


def fitted_priors(scores: pd.DataFrame) -> list[str]:
    """MVG, GMM and a user's own priors, without N(0,I), whose distances are far larger for most models."""
    return sorted(({*scores["comparison"]} | {"mvg", "gmm"}) - {*NOT_PRIORS, "standard_normal"}, key=comparison_order)


def figure1(scores: pd.DataFrame, extractor: str, published: pd.DataFrame, measure: str = FRECHET) -> Figure:
    """Figure 1: width. Panels MVG and GMM; VAE solid, DAE dotted; crosses for the results that the paper cites."""
    panels = [[prior] for prior in fitted_priors(scores)]
    widths = Encoding("Filters", ("filters",), width_looks)
    lines = {("vae", "1"): SOLID, ("dae", "1"): DOTTED}
    models = Encoding("Model", ("model", "depth"), known_or_other(lines, OTHER_LINES))
    return draw_scores(scores, extractor, published, panels, widths, models, measure, cited=True)


def figure2_5(scores: pd.DataFrame, extractor: str, published: pd.DataFrame, measure: str = FRECHET) -> Figure:
    """Figures 2 and 5, which the paper prints twice: depth. Panels MVG and GMM; the VAE baseline black."""
    panels = [[prior] for prior in fitted_priors(scores)]
    looks = {("vae",): (BLACK, "o"), **{("dae", filters): WIDTHS[filters] for filters in (64, 128, 256)}}
    models = Encoding("Model", ("model", "filters"), known_or_other(looks, OTHER_LOOKS))
    return draw_scores(scores, extractor, published, panels, models, DEPTH, measure)


def figure3(scores: pd.DataFrame, extractor: str, published: pd.DataFrame, measure: str = FRECHET) -> Figure:
    """Figure 3: the latent layer frozen at its initial weights. MVG solid, GMM dotted."""
    looks = {
        ("dae", "1"): (GREEN, "^"),
        ("dae", "2"): (BLUE, "D"),
        ("dae-frozen", "1"): (PURPLE, "s"),
        ("dae-frozen", "2"): (ORANGE, "o"),
    }
    models = Encoding("Model", ("model", "depth", "filters"), known_or_other(looks, OTHER_LOOKS))
    priors = prior_lines(mvg=SOLID, gmm=DOTTED)
    return draw_scores(scores, extractor, published, [fitted_priors(scores)], models, priors, measure)


def figure4(scores: pd.DataFrame, extractor: str, published: pd.DataFrame, measure: str = FRECHET) -> Figure:
    """Figure 4: normalisation of the code. MVG solid, GMM dashed, N(0,I) dotted.

    The axis is logarithmic because in the paper the distances of a plain DAE with N(0,I) are several times the others.
    """
    looks = {
        ("dae",): (RED, "s"),
        ("vae",): (ORANGE, "o"),
        ("dae-bn",): (GREEN, "^"),
        ("dae-sn",): (BLUE, "D"),
        ("dae-ln",): (BLACK, "v"),
    }
    models = Encoding("Model", ("model", "filters", "depth"), known_or_other(looks, OTHER_LOOKS))
    priors = prior_lines(mvg=SOLID, gmm=DASHED, standard_normal=DOTTED)
    panel = ["standard_normal", *fitted_priors(scores)]
    return draw_scores(scores, extractor, published, [panel], models, priors, measure, log=True)


PAPER_FIGURES = {"figure1": figure1, "figure2_5": figure2_5, "figure3": figure3, "figure4": figure4}
