"""The colour and marker of each model in figures of our own: the same in all of them.

The paper's figures have the paper's colours (`figures.paper_figures`).
"""

from collections.abc import Callable, Sequence

import matplotlib.colors as colors

# DAE and VAE differ most, in grey too (luminance 0.15 and 0.67); with more noise, a DAE becomes paler, and with a lower
# rate a DAE paler and a VAE darker.
MODELS = {
    "dae": ("#08306b", "o"),
    "vae": ("#ff9f1c", "s"),
    "dae-noise0.1": ("#2f6fb7", ">"),
    "dae-noise0.5": ("#6aa7dc", "<"),
    "dae-noise1": ("#a9cdf0", "p"),
    "dae-bn": ("#43b649", "^"),
    "dae-sn": ("#9b30c8", "D"),
    "dae-ln": ("#8c564b", "v"),
    "dae-frozen": ("#17becf", "P"),
    "dae-rate0.5": ("#02818a", "X"),
    "dae-rate0.25": ("#41b6c4", "d"),
    "dae-rate0.125": ("#7fcdbb", "h"),
    "vae-rate0.5": ("#e6550d", "X"),
    "vae-rate0.25": ("#b35806", "d"),
    "vae-rate0.125": ("#7f3b08", "h"),
    "dae-bn0": ("#1b7837", "v"),
    "eae": ("#a6d96a", "<"),
    "wae": ("#d62728", "D"),
    "rae": ("#7b3294", "h"),
    "rae-l2": ("#c2a5cf", "H"),
    "ae-l2": ("#636363", "8"),
    "rae-sn": ("#e7298a", "p"),
    "rae-gp": ("#5e3c99", ">"),
    "gmm-dae": ("#a6761d", "d"),
}
# For other models. The numbers of colours and of markers are coprime, so that no pair repeats before the 20th.
OTHER_COLOURS = ("#d62728", "#e377c2", "#7f7f7f", "#bcbd22", "#000000")
OTHER_MARKERS = "Xhd8"


def model_look(model: str, models: Sequence[str]) -> tuple[str, str]:
    """Colour and marker of a model. ``models`` are all models of the config: those that are not in ``MODELS`` get their
    looks in this order, so that a figure that shows some of them does not give them others.
    """
    if model in MODELS:
        return MODELS[model]
    place = [name for name in models if name not in MODELS].index(model)
    return OTHER_COLOURS[place % len(OTHER_COLOURS)], OTHER_MARKERS[place % len(OTHER_MARKERS)]


def model_looks(models: Sequence[str]) -> Callable[[list[tuple[str]]], dict[tuple[str], tuple]]:
    """For ``line_looks.Encoding``: the looks of keys (model,), given all models of the config."""
    return lambda keys: {key: model_look(key[0], models) for key in keys}


def shade(colour: str, strength: float) -> tuple[float, float, float]:
    """``colour`` mixed with white: white for 0, unchanged for 1."""
    return tuple(1 - strength * (1 - part) for part in colors.to_rgb(colour))
