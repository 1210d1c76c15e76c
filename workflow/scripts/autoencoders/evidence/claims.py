"""The claims of the paper's text.

A claim is one function under ``@claim``; its name is the claim's id. It is given the values of one dataset and one
extractor (`evidence.claim_values`), ours or the published ones, and yields a ``Finding`` for each part that can be told
apart, such as a prior and a width.
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

# The paper says "little" and "marginally"; this is what we take it to mean, as a mean relative change.
LITTLE = 0.05
# A curve of fewer latent sizes has no shape, and its lowest value is no optimum.
MIN_SIZES = 3


class Finding(NamedTuple):
    """One part of a claim: what it is about, whether it holds (None: not measured) and its numbers for people."""

    subject: str
    holds: bool | None
    numbers: str


class Claim(NamedTuple):
    """A claim that is registered: see ``claim``."""

    statement: str
    source: str
    datasets: tuple[str, ...] | None
    reads: str
    findings: Callable[[pd.DataFrame, int], Iterator[Finding]]


CLAIMS: dict[str, Claim] = {}


def claim(
    statement: str,
    source: str,
    datasets: tuple[str, ...] | None = None,
    reads: Literal["values", "optima", "curves"] = "values",
) -> Callable:
    """Register a function of the values and the comparison latent size as a claim under the function's name.

    ``datasets``: those of the paper's that it makes the claim about, None for both. ``reads`` says what of the values
    must be there: with "optima", the lowest over latent sizes, where ours are optima only of curves of ``MIN_SIZES``
    or more; with "curves" their shape, which the few sizes that the paper prints do not show.
    """

    def register(findings: Callable) -> Callable:
        if findings.__name__ in CLAIMS:
            raise ValueError(f"two claims have the name {findings.__name__}")
        CLAIMS[findings.__name__] = Claim(statement, source, datasets, reads, findings)
        return findings

    return register


def network_label(quantity: str, filters: int, depth: str = "1") -> str:
    """The subject of a finding, as "MVG, 64 filters, depth 3"; depth 1 goes without saying."""
    return f"{comparison_label(quantity)}, {filters} filters" + f", depth {depth}" * (depth != "1")


def step_label(quantity: str, filters: int, depth: str) -> str:
    """The subject of a finding about a step in depth."""
    return f"{comparison_label(quantity)}, {filters} filters, depth 1 to {depth}"


def conjunction(parts: Iterable[bool | None]) -> bool | None:
    """False if any part is False; True if there are parts and all are True; else None."""
    parts = list(parts)
    if False in parts:
        return False
    return None if None in parts or not parts else True


def compare(subject: str, relation: Callable[[float, float], bool], *numbers: float) -> Finding:
    """Whether each of ``numbers`` has the relation to the next; the text shows how they really compare."""
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


# DAE against VAE


@claim("At the comparison latent size, the DAE scores below the VAE.", source="section 4, Table 2")
def dae_below_vae(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    values = select(values, latent=comparison_latent, depth="1")
    for prior in priors(values):
        for filters in widths(values, DAE, VAE):
            scores = [value(values, model=model, filters=filters, quantity=prior) for model in (DAE, VAE)]
            yield compare(network_label(prior, filters), operator.lt, *scores)


def winners(values: pd.DataFrame, winner: Mapping[str, Mapping[int, str]]) -> Iterator[Finding]:
    """DAE against VAE, each at its best latent size; ``winner``: who is said to win, by prior and filters."""
    for prior, by_filters in winner.items():
        for filters, model in by_filters.items():
            scores = [best(curve(values, each, filters, "1", prior))[1] for each in (DAE, VAE)]
            yield compare(network_label(prior, filters), operator.lt if model == DAE else operator.gt, *scores)


@claim(
    "At the best latent size of each, with MVG, the DAE scores below the VAE for 64 and 128 filters and above it for "
    "32 and 256.",
    source="section 4, Table 3 (CIFAR-10)",
    datasets=("cifar10",),
    reads="optima",
)
def mvg_winners_at_optimum(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from winners(values, {"mvg": {32: VAE, 64: DAE, 128: DAE, 256: VAE}})


@claim(
    "At the best latent size of each, with GMM, the DAE scores below the VAE for 64, 128 and 256 filters and above it "
    "for 32.",
    source="section 4; for 32 filters Table 3 (CIFAR-10)",
    datasets=("cifar10",),
    reads="optima",
)
def gmm_winners_at_optimum(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from winners(values, {"gmm": {32: VAE, 64: DAE, 128: DAE, 256: DAE}})


@claim(
    "At the best latent size of each, the DAE scores above the VAE for 32 and 64 filters and below it for 128.",
    source="section 4, Table 3 (CelebA)",
    datasets=("celeba",),
    reads="optima",
)
def winners_at_optimum(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from winners(values, {prior: {32: VAE, 64: VAE, 128: DAE} for prior in FITTED})


@claim(
    f"With 128 filters, the DAE is within {LITTLE:.0%} of the results cited for RAE and EAE.",
    source="section 4, Table 2",
)
def dae_close_to_cited(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    for model in ("rae", "eae"):
        for row in select(values, model=cited(model)).to_dict("records"):
            if row["quantity"] in FITTED:
                same = {key: row[key] for key in ("filters", "depth", "latent", "quantity")}
                label = f"{comparison_label(row['quantity'])}, {model_label(model)}"
                yield compare(label, within_little, value(values, model=DAE, **same), row["value"])


def within_little(first: float, second: float) -> bool:
    return abs(first / second - 1) < LITTLE


# The number of latent units


def inner_minimum(values: pd.DataFrame, model: str) -> Iterator[Finding]:
    """Whether the lowest value lies at neither end of the grid, for every width at depth 1."""
    for prior in priors(values):
        for filters in widths(values, model):
            label, scores = network_label(prior, filters), curve(values, model, filters, "1", prior)
            if scores.empty:
                yield Finding(label, None, NO_VALUE)
                continue
            (latent, _), first, last = best(scores), scores.index[0], scores.index[-1]
            holds = None if len(scores) < MIN_SIZES else latent not in (first, last)
            yield Finding(label, holds, f"lowest at {latent} of {first} to {last}")


@claim("The DAE's score has a minimum inside the grid of latent sizes.", source="section 4, Figure 1", reads="curves")
def dae_has_minimum(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from inner_minimum(values, DAE)


@claim("The VAE's score has a minimum inside the grid of latent sizes.", source="section 4, Figure 1", reads="curves")
def vae_has_minimum(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from inner_minimum(values, VAE)


def too_few(sizes: int) -> str:
    return f"common latent sizes: {sizes}; {MIN_SIZES} are needed"


def more_sensitive(subject: str, first: pd.Series, second: pd.Series) -> Finding:
    """Whether the first curve is more sensitive than the second over the latent sizes that both have."""
    both = aligned(first, second)
    if len(both) < MIN_SIZES:
        return Finding(subject, None, too_few(len(both)))
    return compare(subject, operator.gt, sensitivity(both[0]), sensitivity(both[1]))


@claim(
    "The DAE is more sensitive to the latent size than the VAE: (max - min) / min over common latent sizes.",
    source="section 4, Figure 1",
    reads="curves",
)
def dae_more_sensitive_than_vae(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    for prior in priors(values):
        for filters in widths(values, DAE, VAE):
            curves = [curve(values, model, filters, "1", prior) for model in (DAE, VAE)]
            yield more_sensitive(network_label(prior, filters), *curves)


@claim(
    "Above 512 latent units VAEs become unstable: training diverges there and at no smaller size.", source="section 4"
)
def vae_unstable_above_512(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from divergence_by_size(select(values, model=VAE), expected_above=True)


@claim("Training of the DAE diverges at no latent size, neither up to 512 units nor above.", source="section 4")
def dae_never_diverges(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from divergence_by_size(select(values, model=DAE), expected_above=False)


def divergence_by_size(values: pd.DataFrame, expected_above: bool) -> Iterator[Finding]:
    """Above 512 units and up to them, where divergence is never expected."""
    yield divergence("above 512 units", values[values["latent"] > 512], expected_above)
    yield divergence("up to 512 units", values[values["latent"] <= 512], expected=False)


def divergence(subject: str, values: pd.DataFrame, expected: bool) -> Finding:
    """Whether any seed of any of these networks diverged, against what is expected."""
    seeds = values.groupby(["filters", "depth", "latent"])["diverged"].max()
    if seeds.empty or seeds.isna().any():
        return Finding(subject, None, NO_VALUE)
    diverged = int((seeds > 0).sum())
    return Finding(subject, (diverged > 0) == expected, f"{diverged} of {len(seeds)} diverged")


# Depth


@claim(
    "Deeper DAEs are less sensitive to the latent size than those of depth 1: (max - min) / min over common latent "
    "sizes.",
    source="section 4, Figure 2",
    datasets=("cifar10",),
    reads="curves",
)
def depth_flattens(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    for prior in priors(values):
        for filters, depth in deeper(values):
            curves = [curve(values, DAE, filters, each, prior) for each in ("1", depth)]
            yield more_sensitive(step_label(prior, filters, depth), *curves)


def best_over_depth(values: pd.DataFrame, filters: int, relation: Callable, part: Literal[0, 1]) -> Iterator[Finding]:
    """The optimum (part 0: its latent size, 1: its score) of depth 1 against that of every deeper DAE."""
    for prior in priors(values):
        for width, depth in deeper(values):
            if width == filters:
                optima = [best(curve(values, DAE, filters, each, prior))[part] for each in ("1", depth)]
                yield compare(step_label(prior, filters, depth), relation, *optima)


@claim(
    "With 64 filters, deeper DAEs have a higher best score than that of depth 1.",
    source="section 4, Figure 2",
    datasets=("cifar10",),
    reads="optima",
)
def depth_hurts_at_64(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from best_over_depth(values, 64, operator.lt, part=1)


@claim(
    "With 128 filters, deeper DAEs have a lower best score than that of depth 1.",
    source="section 4, Figure 2",
    datasets=("cifar10",),
    reads="optima",
)
def depth_helps_at_128(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from best_over_depth(values, 128, operator.gt, part=1)


@claim(
    "With 128 filters, deeper DAEs have their best score at fewer latent units than that of depth 1.",
    source="section 4, Figure 2",
    datasets=("cifar10",),
    reads="optima",
)
def depth_moves_optimum_down(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from best_over_depth(values, 128, operator.gt, part=0)


@claim(
    "The best score of all networks trained here is that of the DAE with 128 filters, depth 3321 and 96 latent units.",
    source="section 4",
    datasets=("cifar10",),
)
def best_is_3321_at_96(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    for prior in priors(values):
        scores = trained(select(values, quantity=prior))
        said = {"model": DAE, "filters": 128, "depth": "3321", "latent": 96}
        others = scores.drop(select(scores, **said).index)["value"].min()
        yield compare(
            f"{comparison_label(prior)}, that one and the best other", operator.lt, value(scores, **said), others
        )


# Variants of the DAE


def changes_little(values: pd.DataFrame, model: str) -> Iterator[Finding]:
    """Whether the mean of |model / dae − 1| over the common latent sizes is below ``LITTLE``, for each network."""
    for prior in priors(values):
        for network in networks(values, DAE, model):
            both = aligned(*(curve(values, each, *network, prior) for each in (model, DAE)))
            change = float((both[0] / both[1] - 1).abs().mean())
            holds = None if len(both) < MIN_SIZES else change < LITTLE
            percent = NO_VALUE if both.empty else f"{significant(100 * change)} %"
            sizes = too_few(len(both)) if holds is None else f"common latent sizes: {len(both)}"
            yield Finding(network_label(prior, *network), holds, f"{percent} ({sizes})")


def little(what: str) -> str:
    return f"{what} changes MVG and GMM little: by less than {LITTLE:.0%} in the mean over latent sizes."


@claim(
    little("Freezing the latent layer at its initial weights"),
    source="section 4, Figure 3",
    datasets=("cifar10",),
    reads="curves",
)
def freezing_changes_little(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from changes_little(values, "dae-frozen")


@claim(little("Batch normalisation of the code"), source="section 4, Figure 4", datasets=("cifar10",), reads="curves")
def bn_changes_little(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from changes_little(values, "dae-bn")


@claim(
    little("Spectral normalisation of the latent layer"),
    source="section 4, Figure 4",
    datasets=("cifar10",),
    reads="curves",
)
def sn_changes_little(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from changes_little(values, "dae-sn")


@claim(little("Layer normalisation of the code"), source="section 4, Figure 4", datasets=("cifar10",), reads="curves")
def ln_changes_little(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from changes_little(values, "dae-ln")


@claim(
    "At the comparison latent size, batch normalisation brings the DAE's N(0,I) score below the VAE's.",
    source="section 4, Figure 4, Table 2",
    datasets=("cifar10",),
)
def bn_below_vae(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    values = select(values, latent=comparison_latent, quantity="standard_normal")
    for filters, depth in networks(values, "dae-bn", VAE):
        scores = [value(values, model=model, filters=filters, depth=depth) for model in ("dae-bn", VAE)]
        yield compare(network_label("standard_normal", filters, depth), operator.lt, *scores)


@claim(
    "Batch normalisation does not bring the DAE's N(0,I) score below that cited for the EAE.",
    source="section 4, Table 2",
    datasets=("cifar10",),
)
def bn_not_below_eae(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    for row in select(values, model=cited("eae"), quantity="standard_normal").to_dict("records"):
        same = {key: row[key] for key in ("filters", "depth", "latent", "quantity")}
        scores = value(values, model="dae-bn", **same), row["value"]
        yield compare(network_label("standard_normal", row["filters"], row["depth"]), operator.ge, *scores)


def noise_levels(values: pd.DataFrame) -> dict[str, float]:
    """The standard deviation of every model dae-noise<σ>, ascending, after the DAE's 0."""
    found = {model: re.fullmatch(r"dae-noise(\d+(?:\.\d+)?)", model) for model in values["model"].unique()}
    levels = {model: float(match[1]) for model, match in found.items() if match}
    return {DAE: 0.0} | dict(sorted(levels.items(), key=operator.itemgetter(1)))


def means(values: pd.DataFrame, models: Iterable[str], network: tuple[int, str], quantity: str) -> list[float]:
    """Each model's mean over the latent sizes that all of them have."""
    return aligned(*(curve(values, model, *network, quantity) for model in models)).mean().tolist()


@claim(
    "The more noise at the decoder's input, the worse reconstructions and samples: the mean over common latent sizes "
    "rises with every level.",
    source="section 4",
    datasets=("cifar10",),
)
def noise_hurts(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    levels = noise_levels(values)
    for quantity in priors(values, ("test_recon", *FITTED)):
        for network in networks(values, DAE):
            models = [model for model in levels if network in networks(values, model)]
            if len(models) > 1:
                label = (
                    f"{network_label(quantity, *network)}, noise {', '.join(f'{levels[model]:g}' for model in models)}"
                )
                yield compare(label, operator.lt, *means(values, models, network, quantity))


@claim(
    "Noise carries the DAE past the VAE between standard deviations of 0.1 and 0.5, in the mean over common latent "
    "sizes.",
    source="section 4",
    datasets=("cifar10",),
)
def noise_crosses_vae(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    models = ("dae-noise0.1", VAE, "dae-noise0.5")
    for prior in priors(values):
        for network in networks(values, *models):
            label = f"{network_label(prior, *network)}, noise 0.1, VAE, noise 0.5"
            yield compare(label, operator.lt, *means(values, models, network, prior))


# Width


def best_over_width(values: pd.DataFrame, filters: Iterable[int], relation: Callable) -> Iterator[Finding]:
    """The DAE's best scores of depth 1 with these filters, each against the next."""
    for prior in priors(values):
        scores = [best(curve(values, DAE, width, "1", prior))[1] for width in filters]
        yield compare(f"{comparison_label(prior)}, {filters_text(filters)}", relation, *scores)


def filters_text(filters: Iterable[int]) -> str:
    return f"{', '.join(map(str, filters))} filters"


@claim(
    "The DAE's best score falls from 32 to 64 and from 64 to 128 filters.",
    source="section 5, Table 3",
    reads="optima",
)
def dae_gains_to_128(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from best_over_width(values, (32, 64, 128), operator.gt)


@claim(
    "From 32 to 128 filters, the DAE's best score falls by a larger part than the VAE's.",
    source="section 5, Table 3",
    reads="optima",
)
def dae_gains_more_than_vae(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    for prior in priors(values):
        gains = []
        for model in (DAE, VAE):
            narrow, wide = (best(curve(values, model, filters, "1", prior))[1] for filters in (32, 128))
            gains.append(1 - wide / narrow)
        yield compare(comparison_label(prior), operator.gt, *gains)


@claim(
    "The DAE's best score with 256 filters is not below that with 128.",
    source="section 5, Table 3",
    datasets=("cifar10",),
    reads="optima",
)
def dae_stalls_at_256(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from best_over_width(values, (128, 256), operator.le)


def by_width(values: pd.DataFrame, quantity: str, comparison_latent: int) -> pd.Series:
    """The DAE's values of depth 1 at the comparison latent size over the filters, in ascending order of these."""
    found = select(values, model=DAE, depth="1", latent=comparison_latent, quantity=quantity)
    return found.set_index("filters")["value"].sort_index()


def from_128_to_256(
    values: pd.DataFrame, quantity: str, comparison_latent: int, relation: Callable
) -> Iterator[Finding]:
    scores = by_width(values, quantity, comparison_latent).reindex([128, 256])
    yield compare(f"{comparison_label(quantity)}, {filters_text(scores.index)}", relation, *scores)


@claim(
    "At the comparison latent size, the DAE with 256 filters reconstructs training images better than that with 128.",
    source="section 5, Table 2",
    datasets=("cifar10",),
)
def train_recon_better_at_256(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from from_128_to_256(values, "train_recon", comparison_latent, operator.gt)


@claim(
    "At the comparison latent size, the DAE with 256 filters reconstructs test images worse than that with 128.",
    source="section 5, Table 2",
    datasets=("cifar10",),
)
def test_recon_worse_at_256(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from from_128_to_256(values, "test_recon", comparison_latent, operator.lt)


def falls_at_every_step(by_filters: pd.Series) -> Iterator[Finding]:
    if len(by_filters) > 1:
        yield compare(filters_text(by_filters.index), operator.gt, *by_filters)


@claim(
    "The gap of the DAE's scores between MVG and GMM narrows with every step in width; the paper does not name the "
    "latent size, here that of the comparison.",
    source="section 5",
)
def gap_narrows_at_comparison(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    mvg, gmm = (by_width(values, prior, comparison_latent) for prior in FITTED)
    yield from falls_at_every_step(mvg - gmm)


@claim(
    "The gap of the DAE's scores between MVG and GMM narrows with every step in width; the paper does not name the "
    "latent size, here the best of each prior.",
    source="section 5",
    reads="optima",
)
def gap_narrows_at_optimum(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    gaps = {}
    for filters in widths(values, DAE):
        mvg, gmm = (best(curve(values, DAE, filters, "1", prior))[1] for prior in FITTED)
        gaps[filters] = mvg - gmm
    yield from falls_at_every_step(pd.Series(gaps))


@claim(
    "At the comparison latent size, the GMM's gain over the MVG in log-likelihood of held-out codes of the DAE (a "
    "measure of ours and not of the paper) falls with every step in width.",
    source="section 5",
)
def likelihood_gap_narrows_with_width(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from falls_at_every_step(by_width(values, "log_likelihood_gap", comparison_latent))


# The paper's hypotheses


def falls_with_width(by_filters: pd.Series) -> Iterator[Finding]:
    """From the narrowest to the widest."""
    if len(by_filters) > 1:
        ends = by_filters.iloc[[0, -1]]
        yield compare(filters_text(ends.index), operator.gt, *ends)


def falls_with_depth(values: pd.DataFrame, quantity: str, comparison_latent: int) -> Iterator[Finding]:
    """From depth 1 to every deeper DAE of as many filters."""
    values = select(values, quantity=quantity, latent=comparison_latent)
    for filters, depth in deeper(values):
        scores = [value(values, model=DAE, filters=filters, depth=each) for each in ("1", depth)]
        yield compare(f"{filters} filters, depth 1 to {depth}", operator.gt, *scores)


def kurtosis_deviation(values: pd.DataFrame) -> pd.DataFrame:
    """The values with the distance of the Mardia kurtosis ratio from 1, that of Gaussian codes, in its place."""
    ratio = values["quantity"] == "mardia_kurtosis_ratio"
    return values.assign(value=values["value"].where(~ratio, (values["value"] - 1).abs()))


@claim(
    "Hypothesis 2, by a measure of ours and not of the paper: wider encoders have more Gaussian codes; the "
    "DAE's Mardia kurtosis ratio is nearer to 1 for the widest than for the narrowest at the comparison latent size "
    "(its distance from 1).",
    source="sections 2.2 and 5",
)
def codes_more_gaussian_with_width(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from falls_with_width(by_width(kurtosis_deviation(values), "mardia_kurtosis_ratio", comparison_latent))


@claim(
    "Hypothesis 2, by a measure of ours and not of the paper: deeper encoders have more Gaussian codes; the "
    "DAE's Mardia kurtosis ratio is nearer to 1 than at depth 1 at the comparison latent size (its distance "
    "from 1).",
    source="sections 2.2 and 5",
    datasets=("cifar10",),
)
def codes_more_gaussian_with_depth(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from falls_with_depth(kurtosis_deviation(values), "mardia_kurtosis_ratio", comparison_latent)


def midpoint_cost(values: pd.DataFrame) -> pd.DataFrame:
    """The rows of interpolation with their value minus that of test_recon: a sharper decoder lowers both."""
    cell = ["model", "filters", "depth", "latent"]
    midpoints, codes = (select(values, quantity=quantity) for quantity in ("interpolation", "test_recon"))
    both = midpoints.merge(codes[[*cell, "value"]], on=cell, how="left", suffixes=("", "_of_codes"))
    return both.assign(value=both["value"] - both["value_of_codes"])


@claim(
    "Hypothesis 1, by a measure of ours and not of the paper: wider DAEs interpolate better; what decoding a "
    "midpoint costs beyond decoding a code (Midpoints minus Test R) is lower for the widest than for the narrowest at "
    "the comparison latent size.",
    source="sections 2.2 and 5",
)
def interpolation_better_with_width(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from falls_with_width(by_width(midpoint_cost(values), "interpolation", comparison_latent))


@claim(
    "Hypothesis 1, by a measure of ours and not of the paper: deeper DAEs interpolate better; what decoding a "
    "midpoint costs beyond decoding a code (Midpoints minus Test R) is lower than at depth 1 at the comparison latent "
    "size.",
    source="sections 2.2 and 5",
    datasets=("cifar10",),
)
def interpolation_better_with_depth(values: pd.DataFrame, comparison_latent: int) -> Iterator[Finding]:
    yield from falls_with_depth(midpoint_cost(values), "interpolation", comparison_latent)
