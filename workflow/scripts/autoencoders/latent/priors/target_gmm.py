"""The mixture that the penalty `mixture` draws codes to (Saseendran et al. 2021); nothing is fitted.

K equally likely components N(m_k, I), where m_k is 1 in unit k modulo z, and 0 elsewhere. With more components than
units, several have the same mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

OPTIONS = {
    "components": {
        "type": "integer",
        "minimum": 1,
        "default": 10,
        "description": "a whole number, at least 1",
        "by_dataset": True,
    }
}
# It says nothing about the codes of models that were not trained towards it.
ONLY_NATIVE = True


def fit(codes: np.ndarray, options: Mapping, **_) -> dict[str, np.ndarray]:
    """The means (K, z) float64."""
    import numpy as np

    components, latent = options["components"], codes.shape[1]
    means = np.zeros((components, latent))
    means[np.arange(components), np.arange(components) % latent] = 1
    return {"means": means}


def sample(prior: Mapping[str, np.ndarray], count: int, random: np.random.Generator) -> np.ndarray:
    """Draw ``count`` codes, float64 (count, z), in random order."""
    means = prior["means"]
    return means[random.integers(len(means), size=count)] + random.normal(size=(count, means.shape[1]))
