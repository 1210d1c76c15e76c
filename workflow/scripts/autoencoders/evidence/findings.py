"""How the paper's claims are judged: each public function yields the findings of one or several of them.

It is given the values of one dataset and one extractor (`evidence.claim_values`), ours or the published ones, and the
comparison latent size. `evidence.claims` supplies its other arguments. A claim has one finding for each part that can
be judged separately, such as a prior and a width.
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from autoencoders.evidence.claim_values import (
    DAE,
    FITTED,
    VAE,
    aligned,
    best,
    cited,
    curve,
    deeper,
    networks,
    priors,
    select,
    sensitivity,
    trained,
    value,
    widths,
)
from autoencoders.evidence.display_names import comparison_label, model_label
from autoencoders.evidence.table_files import NO_VALUE, significant

# The paper says "little" and "marginally". We take both to mean a relative change below this, in the mean.
LITTLE = 0.05
# A curve of fewer latent sizes has no shape, and its lowest value is no optimum.
MIN_SIZES = 3

Relation = Callable[[float, float], bool]
Findings = Iterator["Finding"]


class Finding(NamedTuple):
    """One part of a claim: its subject, whether it holds (None: not measured) and its numbers as text."""

    subject: str
    holds: bool | None
    numbers: str


def conjunction(parts: Iterable[bool | None]) -> bool | None:
    """False if any part is False; True if there are parts and all are True; else None."""
    parts = list(parts)
    if False in parts:
        return False
    return None if None in parts or not parts else True


def compare(subject: str, relation: Relation, *numbers: float) -> Finding:
    """Whether each of ``numbers`` has the relation to the next. The text shows how they actually compare."""
    steps, text = [], number_text(numbers[0])
    for first, second in pairwise(numbers):
        missing = np.isnan(first) or np.isnan(second)
        steps.append(None if missing else bool(relation(first, second)))
        sign = "vs" if missing else "<" if first < second else ">" if first > second else "="
        text += f" {sign} {number_text(second)}"
    return Finding(subject, conjunction(steps), text)


def number_text(number: float) -> str:
    if isinstance(number, int):
        return str(number)
    return NO_VALUE if np.isnan(number) else significant(number)


def within_little(first: float, second: float) -> bool:
    return abs(first / second - 1) < LITTLE


def network_label(quantity: str, filters: int, depth: str = "1") -> str:
    """The subject of a finding, as "MVG, 64 filters, depth 3". Depth 1 is left out."""
    return f"{comparison_label(quantity)}, {filters} filters" + f", depth {depth}" * (depth != "1")


def depth_label(quantity: str, filters: int, depth: str) -> str:
    """The subject of a finding about depth 1 and another depth."""
    return f"{comparison_label(quantity)}, {filters} filters, depth 1 to {depth}"


def filters_label(filters: Iterable[int]) -> str:
    return f"{', '.join(map(str, filters))} filters"


def too_few(sizes: int) -> str:
    return f"common latent sizes: {sizes}; {MIN_SIZES} are needed"


# Models against each other


def below(
    values: pd.DataFrame, latent: int, first: str, second: str, quantities: Iterable[str] = FITTED, **keys: str
) -> Findings:
    """Whether the first model scores below the second at the comparison latent size; ``keys`` restrict the rows."""
    values = select(values, latent=latent, **keys)
    for quantity in priors(values, quantities):
        for filters, depth in networks(values, first, second):
            same = {"filters": filters, "depth": depth, "quantity": quantity}
            scores = [value(values, model=model, **same) for model in (first, second)]
            yield compare(network_label(quantity, filters, depth), operator.lt, *scores)


def winners(values: pd.DataFrame, latent: int, winner: Mapping[str, Mapping[int, str]]) -> Findings:
    """DAE against VAE, each at its best latent size. ``winner``: the one that the paper names, by prior and filters."""
    for prior, by_filters in winner.items():
        for filters, model in by_filters.items():
            scores = [best(curve(values, each, filters, "1", prior))[1] for each in (DAE, VAE)]
            yield compare(network_label(prior, filters), operator.lt if model == DAE else operator.gt, *scores)


def against_cited(
    values: pd.DataFrame,
    latent: int,
    model: str,
    others: Iterable[str],
    relation: Relation,
    quantities: Iterable[str] = FITTED,
) -> Findings:
    """A model against results that the paper cites, for the very same network and latent size."""
    for other in others:
        for row in select(values, model=cited(other)).to_dict("records"):
            if row["quantity"] in quantities:
                same = {key: row[key] for key in ("filters", "depth", "latent", "quantity")}
                label = f"{network_label(row['quantity'], row['filters'], row['depth'])}, {model_label(other)}"
                yield compare(label, relation, value(values, model=model, **same), row["value"])


def best_of_all(values: pd.DataFrame, latent: int, network: Mapping[str, object]) -> Findings:
    """Whether this network has the lowest score of all that were trained."""
    for prior in priors(values):
        scores = trained(select(values, quantity=prior))
        others = scores.drop(select(scores, **network).index)["value"].min()
        label = f"{comparison_label(prior)}, that one and the best other"
        yield compare(label, operator.lt, value(scores, **network), others)


# The number of latent units


def inner_minimum(values: pd.DataFrame, latent: int, model: str) -> Findings:
    """Whether the lowest score is at neither end of the grid, for every width at depth 1."""
    for prior in priors(values):
        for filters in widths(values, model):
            label, scores = network_label(prior, filters), curve(values, model, filters, "1", prior)
            if scores.empty:
                yield Finding(label, None, NO_VALUE)
                continue
            (lowest, _), first, last = best(scores), scores.index[0], scores.index[-1]
            holds = None if len(scores) < MIN_SIZES else lowest not in (first, last)
            yield Finding(label, holds, f"lowest at {lowest} of {first} to {last}")


def more_sensitive(subject: str, first: pd.Series, second: pd.Series) -> Finding:
    """Whether the first curve is more sensitive than the second over the latent sizes that both have."""
    both = aligned(first, second)
    if len(both) < MIN_SIZES:
        return Finding(subject, None, too_few(len(both)))
    return compare(subject, operator.gt, sensitivity(both[0]), sensitivity(both[1]))


def more_sensitive_than_vae(values: pd.DataFrame, latent: int) -> Findings:
    for prior in priors(values):
        for filters in widths(values, DAE, VAE):
            curves = [curve(values, model, filters, "1", prior) for model in (DAE, VAE)]
            yield more_sensitive(network_label(prior, filters), *curves)


def more_sensitive_than_deeper(values: pd.DataFrame, latent: int) -> Findings:
    for prior in priors(values):
        for filters, depth in deeper(values):
            curves = [curve(values, DAE, filters, each, prior) for each in ("1", depth)]
            yield more_sensitive(depth_label(prior, filters, depth), *curves)


def divergence(values: pd.DataFrame, latent: int, model: str, above_512: bool) -> Findings:
    """Whether networks diverge as expected: above 512 latent units as ``above_512`` says, up to 512 never."""
    of_model = select(values, model=model)
    large = of_model["latent"] > 512
    for subject, part, expected in (
        ("above 512 units", of_model[large], above_512),
        ("up to 512 units", of_model[~large], False),
    ):
        seeds = part.groupby(["filters", "depth", "latent"])["diverged"].max()
        if seeds.empty or seeds.isna().any():
            yield Finding(subject, None, NO_VALUE)
        else:
            diverged = int((seeds > 0).sum())
            yield Finding(subject, (diverged > 0) == expected, f"{diverged} of {len(seeds)} diverged")


# Depth and variants of the DAE


def optimum_with_depth(
    values: pd.DataFrame, latent: int, filters: int, relation: Relation, part: Literal["latent", "score"]
) -> Findings:
    """The optimum of the DAE of depth 1 against that of every deeper one: its latent size or its score."""
    for prior in priors(values):
        for width, depth in deeper(values):
            if width == filters:
                optima = [best(curve(values, DAE, filters, each, prior)) for each in ("1", depth)]
                latents, scores = zip(*optima, strict=True)
                yield compare(depth_label(prior, filters, depth), relation, *(latents if part == "latent" else scores))


def changes_little(values: pd.DataFrame, latent: int, model: str) -> Findings:
    """Whether the mean of |model / DAE − 1| over the common latent sizes is below ``LITTLE``, for each network."""
    for prior in priors(values):
        for network in networks(values, DAE, model):
            both = aligned(*(curve(values, each, *network, prior) for each in (model, DAE)))
            change = float((both[0] / both[1] - 1).abs().mean())
            holds = None if len(both) < MIN_SIZES else change < LITTLE
            percent = NO_VALUE if both.empty else f"{significant(100 * change)} %"
            sizes = too_few(len(both)) if holds is None else f"common latent sizes: {len(both)}"
            yield Finding(network_label(prior, *network), holds, f"{percent} ({sizes})")


def noise_levels(values: pd.DataFrame) -> dict[str, float]:
    """The standard deviation of every model dae-noise<σ>, ascending, after the DAE's 0."""
    found = {model: re.fullmatch(r"dae-noise(\d+(?:\.\d+)?)", model) for model in values["model"].unique()}
    levels = {model: float(match[1]) for model, match in found.items() if match}
    return {DAE: 0.0} | dict(sorted(levels.items(), key=operator.itemgetter(1)))


def means(values: pd.DataFrame, models: Iterable[str], network: tuple[int, str], quantity: str) -> list[float]:
    """Each model's mean over the latent sizes that all of them have."""
    return aligned(*(curve(values, model, *network, quantity) for model in models)).mean().tolist()


def rises_with_noise(values: pd.DataFrame, latent: int) -> Findings:
    levels = noise_levels(values)
    for quantity in priors(values, ("test_recon", *FITTED)):
        for network in networks(values, DAE):
            models = [model for model in levels if network in networks(values, model)]
            if len(models) > 1:
                noise = ", ".join(f"{levels[model]:g}" for model in models)
                label = f"{network_label(quantity, *network)}, noise {noise}"
                yield compare(label, operator.lt, *means(values, models, network, quantity))


def noise_crosses_vae(values: pd.DataFrame, latent: int) -> Findings:
    models = ("dae-noise0.1", VAE, "dae-noise0.5")
    for prior in priors(values):
        for network in networks(values, *models):
            label = f"{network_label(prior, *network)}, noise 0.1, VAE, noise 0.5"
            yield compare(label, operator.lt, *means(values, models, network, prior))


# Width


def best_over_width(values: pd.DataFrame, latent: int, filters: Iterable[int], relation: Relation) -> Findings:
    """The best scores of DAEs of depth 1 with these filters, each against the next."""
    for prior in priors(values):
        scores = [best(curve(values, DAE, width, "1", prior))[1] for width in filters]
        yield compare(f"{comparison_label(prior)}, {filters_label(filters)}", relation, *scores)


def gains_more_than_vae(values: pd.DataFrame, latent: int) -> Findings:
    """The relative fall of the best score from 32 to 128 filters: the DAE's against the VAE's."""
    for prior in priors(values):
        gains = []
        for model in (DAE, VAE):
            narrow, wide = (best(curve(values, model, filters, "1", prior))[1] for filters in (32, 128))
            gains.append(1 - wide / narrow)
        yield compare(comparison_label(prior), operator.gt, *gains)


def by_width(values: pd.DataFrame, latent: int, quantity: str) -> pd.Series:
    """The values of DAEs of depth 1 at this latent size by their filters, ascending."""
    found = select(values, model=DAE, depth="1", latent=latent, quantity=quantity)
    return found.set_index("filters")["value"].sort_index()


def from_128_to_256(values: pd.DataFrame, latent: int, quantity: str, relation: Relation) -> Findings:
    scores = by_width(values, latent, quantity).reindex([128, 256])
    yield compare(f"{comparison_label(quantity)}, {filters_label(scores.index)}", relation, *scores)


def falls(by_filters: pd.Series) -> Findings:
    """Whether values fall with every step in width."""
    if len(by_filters) > 1:
        yield compare(filters_label(by_filters.index), operator.gt, *by_filters)


def gap_at_comparison(values: pd.DataFrame, latent: int) -> Findings:
    """Whether the DAE's MVG score minus its GMM score falls with width, at the comparison latent size."""
    mvg, gmm = (by_width(values, latent, prior) for prior in FITTED)
    yield from falls(mvg - gmm)


def gap_at_optimum(values: pd.DataFrame, latent: int) -> Findings:
    """As ``gap_at_comparison``, each prior at its best latent size."""
    gaps = {}
    for filters in widths(values, DAE):
        mvg, gmm = (best(curve(values, DAE, filters, "1", prior))[1] for prior in FITTED)
        gaps[filters] = mvg - gmm
    yield from falls(pd.Series(gaps))


def falls_with_width(values: pd.DataFrame, latent: int, quantity: str) -> Findings:
    yield from falls(by_width(values, latent, quantity))


# The paper's hypotheses. ``prepare`` computes what is compared from the values.


def lower_for_widest(values: pd.DataFrame, latent: int, quantity: str, prepare: Callable) -> Findings:
    """The narrowest DAE against the widest, at the comparison latent size."""
    scores = by_width(prepare(values), latent, quantity)
    yield from falls(scores.iloc[:: max(len(scores) - 1, 1)])


def lower_for_deeper(values: pd.DataFrame, latent: int, quantity: str, prepare: Callable) -> Findings:
    """The DAE of depth 1 against every deeper one of as many filters, at the comparison latent size."""
    values = select(prepare(values), quantity=quantity, latent=latent)
    for filters, depth in deeper(values):
        scores = [value(values, model=DAE, filters=filters, depth=each) for each in ("1", depth)]
        yield compare(f"{filters} filters, depth 1 to {depth}", operator.gt, *scores)


def kurtosis_deviation(values: pd.DataFrame) -> pd.DataFrame:
    """The values, with the Mardia kurtosis ratio replaced by its distance from 1, the ratio of Gaussian codes."""
    ratio = values["quantity"] == "mardia_kurtosis_ratio"
    return values.assign(value=values["value"].where(~ratio, (values["value"] - 1).abs()))


def midpoint_cost(values: pd.DataFrame) -> pd.DataFrame:
    """The rows of interpolation, minus test_recon: a sharper decoder lowers both."""
    cell = ["model", "filters", "depth", "latent"]
    midpoints, codes = (select(values, quantity=quantity) for quantity in ("interpolation", "test_recon"))
    both = midpoints.merge(codes[[*cell, "value"]], on=cell, how="left", suffixes=("", "_of_codes"))
    return both.assign(value=both["value"] - both["value_of_codes"])
