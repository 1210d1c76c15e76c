"""Codes drawn from a fitted prior of any kind."""

from collections.abc import Mapping

import numpy as np

from autoencoders.jobs import kinds
from autoencoders.latent.encode_decode import as_codes


def draw_codes(
    prior: str, kind: str, fitted: Mapping[str, np.ndarray], shape: tuple[int, int], random: np.random.Generator
) -> np.ndarray:
    """Codes of ``shape`` (count, latent) from the prior named ``prior``, whose kind stored the arrays ``fitted``.

    Raises UserError if the kind draws anything but finite codes of this shape.
    """
    return as_codes(kinds.load("priors", kind).sample(fitted, shape[0], random), shape, prior)
