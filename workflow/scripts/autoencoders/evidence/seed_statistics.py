"""What several seeds say about one number: t tests over seeds, adjusted for the number of claims.

An effect is one number a seed, such as ln(FID of one model / FID of another). Seeds are the replicates; latent sizes
and redrawn samples are not. Bouthillier et al., "Accounting for variance in machine learning benchmarks" (2021); Colas
et al., "How many random seeds?" (2018).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

# With fewer seeds nothing is decided: the test would find only enormous effects.
MIN_SEEDS = 5
LEVEL = 0.05


class Region(NamedTuple):
    """The open interval in which a claim says that the mean effect lies.

    ``two_sided``: the alternative is an effect in the other direction, and both are tested (t test). Otherwise a bound
    is a margin, and the claim is that the effect does not reach it (two one-sided tests, Schuirmann 1987).
    """

    low: float
    high: float
    two_sided: bool = False

    def __contains__(self, mean: float) -> bool:
        return self.low < mean < self.high


def region_p_values(effects: Sequence[float], region: Region) -> tuple[float, float]:
    """p values of (the mean effect lies in ``region``, it lies outside), for at least two effects.

    Each is below 0.05 with probability 0.05 at most if what it says is false. With margins, the first is below 0.05 if
    the 90 % interval of the mean lies within them, and the second if it lies beyond one of them.
    """
    above, below = one_sided_p(effects, region.low), one_sided_p(np.negative(effects), -region.high)
    inside = max(above, below)
    outside = min(one_sided_p(np.negative(effects), -region.low), one_sided_p(effects, region.high))
    sides = 2 if region.two_sided else 1
    return min(sides * inside, 1.0), min(sides * outside, 1.0)


def one_sided_p(effects: Sequence[float], bound: float) -> float:
    """p value of the t test that the mean of ``effects`` is above ``bound``."""
    if math.isinf(bound):
        return float(bound > 0)
    if np.ptp(effects) == 0:
        # Sizes chosen from a coarse grid often agree. Without a spread there is no t test, but a sign test.
        return 0.5 ** len(effects) if np.max(effects) > bound else 1.0
    error = np.std(effects, ddof=1) / math.sqrt(len(effects))
    return float(stats.t.sf((np.mean(effects) - bound) / error, len(effects) - 1))


def interval(effects: Sequence[float], share: float = 0.95) -> tuple[float, float]:
    """The interval of the mean of at least two effects that has this coverage: mean ± t · s / √n."""
    mean = float(np.mean(effects))
    half = half_width(float(np.std(effects, ddof=1)), len(effects), share)
    return mean - half, mean + half


def half_width(deviation: float, seeds: int, share: float = 0.95) -> float:
    """t · s / √n: half the width of the mean's interval; infinite for a single seed."""
    if seeds < 2:
        return math.inf
    return float(stats.t.ppf((1 + share) / 2, seeds - 1) * deviation / math.sqrt(seeds))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted so that any false one is below 0.05 with probability 0.05 at most (Holm 1979)."""
    order, adjusted, largest = np.argsort(p_values), [math.nan] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(largest, 1.0)
    return adjusted


def false_discovery(p_values: Sequence[float]) -> list[float]:
    """p values adjusted so that on average 5 % at most of those below 0.05 are false (Benjamini and Hochberg 1995)."""
    return list(map(float, stats.false_discovery_control(p_values))) if len(p_values) else []
