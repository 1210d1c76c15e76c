"""How the paper's claims are judged: each public function yields the findings of one or several of them.

It is given the values of one dataset and one extractor (`evidence.claim_values`), ours or the published ones, and the
comparison latent size. `evidence.claims` supplies its other arguments. A claim has one finding for each pair of numbers
that it compares, such as the scores of two models for one prior and width. What findings over several seeds amount to
is decided in `evidence.verdicts`.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

from autoencoders.evidence.claim_values import (
    CELL,
    DAE,
    FITTED,
    METHODS,
    MIN_SIZES,
    VAE,
    Optimum,
    aligned,
    by_seed,
    cited,
    complete,
    curve,
    deeper,
    elsewhere,
    geometric_mean,
    networks,
    optima,
    priors,
    select,
    sensitivities,
    trained,
    value,
    widths,
)
from autoencoders.evidence.display_names import comparison_label, model_label
from autoencoders.evidence.seed_statistics import Region
from autoencoders.evidence.table_files import NO_VALUE, significant

# The margin of claims that something changes little, is as good, or stalls: a relative change of the score.
LITTLE = 0.05
# Codes are called Gaussian if Mardia's kurtosis ratio differs from 1 by less than this, and their deviation is called
# different from 1 beyond it.
NEAR_ONE = 0.1

BELOW, ABOVE = Region(-math.inf, 0, two_sided=True), Region(0, math.inf, two_sided=True)
CLOSE = Region(math.log1p(-LITTLE), math.log1p(LITTLE))
NOT_BELOW = Region(math.log1p(-LITTLE), math.inf)

Number = pd.Series | float
Findings = Iterator["Finding"]


class Finding(NamedTuple):
    """One pair of numbers of a claim: its subject, the numbers as text, and how the first differs from the second.

    ``effects``: by seed, ln(first / second) or, without ``log``, first − second; empty if not measured. ``region``:
    where the claim says that their mean lies. ``quantity``: what was scored, "" if it is not a score of a prior. A
    finding that is only counted has no effects: ``counted`` says whether it holds, for how many ``seeds``.
    """

    subject: str
    numbers: str
    effects: pd.Series
    region: Region
    quantity: str = ""
    log: bool = True
    counted: bool | None = None
    seeds: int = 0


def compare(
    subject: str,
    region: Region,
    first: Number,
    second: Number,
    quantity: str = "",
    log: bool = True,
    shown: Callable[[float], str] = significant,
) -> Finding:
    """The finding for two numbers by seed, one of which may be the same for all seeds.

    Its text has their means over the seeds that have both, geometric ones with ``log``.
    """
    both = pd.DataFrame({"first": first, "second": second}, dtype=float).dropna()
    if log:
        both = both[(both > 0).all(axis=1)]
    scaled = np.log(both) if log else both
    if both.empty:
        text = f"{alone(first, shown)} vs {alone(second, shown)}"
    else:
        means = np.exp(scaled.mean()) if log else scaled.mean()
        sign = "<" if means["first"] < means["second"] else ">" if means["first"] > means["second"] else "="
        text = f"{shown(means['first'])} {sign} {shown(means['second'])}"
    return Finding(subject, text, scaled["first"] - scaled["second"], region, quantity, log)


def alone(number: Number, shown: Callable[[float], str]) -> str:
    """The mean of a number without a partner to compare it with."""
    mean = np.mean(number) if np.size(number) else math.nan
    return NO_VALUE if np.isnan(mean) else shown(mean)


def lacking(subject: str, numbers: str, region: Region, quantity: str = "") -> Finding:
    """A finding that is not measured, and why."""
    return Finding(subject, numbers, pd.Series(dtype=float), region, quantity)


def network_label(quantity: str, filters: int, depth: str = "1") -> str:
    """The subject of a finding, as "MVG, 64 filters, depth 3". Depth 1 is left out."""
    return f"{comparison_label(quantity)}, {filters} filters" + f", depth {depth}" * (depth != "1")


def depth_label(quantity: str, filters: int, depth: str) -> str:
    """The subject of a finding about depth 1 and another depth."""
    return f"{comparison_label(quantity)}, {filters} filters, depth 1 to {depth}"


def step_label(first: int, second: int) -> str:
    return f"{first} to {second} filters"


def sizes_label(*best: Optimum) -> str:
    """The latent sizes at which networks are compared, as ", 144 and 384 units"."""
    sizes = [each.latent for each in best]
    return "" if None in sizes else f", {' and '.join(map(str, sizes))} units"


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
            yield compare(network_label(quantity, filters, depth), BELOW, *scores, quantity)


def below_with(
    values: pd.DataFrame, latent: int, first: tuple[str, str], second: tuple[str, str], **keys: str
) -> Findings:
    """Whether a model with one prior, (model, prior), scores below another model with its own; as `below`."""
    values = select(values, latent=latent, **keys)
    if set(priors(values, (first[1], second[1]))) == {first[1], second[1]}:
        for filters, depth in networks(values, first[0], second[0]):
            same = {"filters": filters, "depth": depth}
            scores = [value(values, model=model, quantity=prior, **same) for model, prior in (first, second)]
            subject = f"{comparison_label(first[1])} and {network_label(second[1], filters, depth)}"
            yield compare(subject, BELOW, *scores, second[1])


def winners(values: pd.DataFrame, latent: int, winner: Mapping[str, Mapping[int, str]]) -> Findings:
    """DAE against VAE, each at its best latent size. ``winner``: the one that the paper names, by prior and filters."""
    for prior, by_filters in winner.items():
        for filters, model in by_filters.items():
            dae, vae = optima(*(curve(values, each, filters, "1", prior) for each in (DAE, VAE)))
            region, subject = BELOW if model == DAE else ABOVE, network_label(prior, filters) + sizes_label(dae, vae)
            yield compare(subject, region, dae.scores, vae.scores, prior)


def against_cited(
    values: pd.DataFrame,
    latent: int,
    model: str,
    others: Iterable[str],
    region: Region,
    quantities: Iterable[str] = FITTED,
) -> Findings:
    """A model against results that the paper cites, for the very same network and latent size."""
    for other in others:
        for row in select(values, model=cited(other)).to_dict("records"):
            quantity = row["quantity"]
            if quantity in quantities:
                same = {key: row[key] for key in ("filters", "depth", "latent", "quantity")}
                label = f"{network_label(quantity, row['filters'], row['depth'])}, {model_label(other)}"
                yield compare(label, region, value(values, model=model, **same), row["value"], quantity)


def best_of_all(values: pd.DataFrame, latent: int, network: Mapping[str, object]) -> Findings:
    """Whether this network scores below the best of all others of the paper's models that were trained with all its
    seeds.

    Of more than two seeds, the first two choose the best other, and only the rest are scored: the best of many would
    otherwise be flattered by its luck.
    """
    for prior in priors(values):
        scores = trained(select(values, quantity=prior)).dropna(subset="value")
        scores = scores[~scores["model"].isin(METHODS)]
        own = select(scores, **network)
        others = scores.drop(own.index).pivot(index=CELL[1:-1], columns="seed", values="value")
        own = by_seed(own)
        others = others[[seed for seed in own.index if seed in others]].dropna()
        best = pd.Series(dtype=float)
        if not others.empty:
            chosen = others[others.columns[:2]].mean(axis=1).idxmin()
            best = others.loc[chosen].iloc[2 if others.shape[1] > 2 else 0 :]
        yield compare(f"{comparison_label(prior)}, that one and the best other", BELOW, own, best, prior)


# The number of latent units


def inner_minimum(values: pd.DataFrame, latent: int, model: str) -> Findings:
    """Whether the best size inside the grid scores below both ends of the grid, for every width at depth 1."""
    for prior in priors(values):
        for filters in widths(values, model):
            label = network_label(prior, filters)
            (scores,) = complete(curve(values, model, filters, "1", prior))
            if len(scores) < MIN_SIZES or scores.empty:
                yield lacking(label, f"latent sizes: {len(scores)}; {MIN_SIZES} are needed", BELOW)
                continue
            (inner,) = optima(scores.iloc[1:-1])
            for end in (scores.index[0], scores.index[-1]):
                subject = f"{label}, {inner.latent} and {end} units"
                yield compare(subject, BELOW, inner.scores, scores.loc[end], prior)


def more_sensitive(subject: str, first: pd.DataFrame, second: pd.DataFrame) -> Finding:
    """Whether the first curve is more sensitive than the second over the latent sizes that both have."""
    curves = aligned(first, second)
    if len(curves[0]) < MIN_SIZES:
        return lacking(subject, too_few(len(curves[0])), ABOVE)
    return compare(subject, ABOVE, *sensitivities(*curves), log=False)


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


def more_sensitive_elsewhere(values: pd.DataFrame, latent: int, dataset: str) -> Findings:
    """Whether the DAE is more sensitive to the latent size on the other dataset than on this one, at every width."""
    for prior in priors(values):
        for filters in widths(values, DAE, elsewhere(DAE, dataset)):
            there, here = (curve(values, each, filters, "1", prior) for each in (elsewhere(DAE, dataset), DAE))
            yield more_sensitive(network_label(prior, filters), there, here)


def divergence(values: pd.DataFrame, latent: int, model: str, above_512: bool) -> Findings:
    """Whether networks diverge as expected: above 512 latent units as ``above_512`` says, up to 512 never."""
    of_model = select(values, model=model)
    large = of_model["latent"] > 512
    for subject, part, expected in (
        ("above 512 units", of_model[large], above_512),
        ("up to 512 units", of_model[~large], False),
    ):
        cells = part.groupby(["filters", "depth", "latent", "seed"])["diverged"].max()
        if cells.empty or cells.isna().any():
            yield lacking(subject, NO_VALUE, BELOW)
        else:
            by_network = cells.groupby(["filters", "depth", "latent"])
            diverged, seeds = int(by_network.max().sum()), int(by_network.size().min())
            numbers = f"{diverged} of {len(by_network)} diverged"
            counted = (diverged > 0) == expected
            yield Finding(subject, numbers, pd.Series(dtype=float), BELOW, counted=counted, seeds=seeds)


# Depth and variants of the DAE


def deeper_optimum(values: pd.DataFrame, latent: int, filters: int, region: Region) -> Findings:
    """The best score of the DAE of depth 1 against that of every deeper one."""
    for prior in priors(values):
        for _, depth in filter(lambda network: network[0] == filters, deeper(values)):
            best = optima(*(curve(values, DAE, filters, each, prior) for each in ("1", depth)))
            subject = depth_label(prior, filters, depth) + sizes_label(*best)
            yield compare(subject, region, *(each.scores for each in best), prior)


def deeper_best_size(values: pd.DataFrame, latent: int, filters: int) -> Findings:
    """Whether the best latent size of the DAE of depth 1 is above that of every deeper one: each seed's own."""
    for prior in priors(values):
        for _, depth in filter(lambda network: network[0] == filters, deeper(values)):
            curves = complete(*(curve(values, DAE, filters, each, prior) for each in ("1", depth)))
            sizes = [each.idxmin() for each in curves]
            yield compare(depth_label(prior, filters, depth), ABOVE, *sizes, shown="{:.0f}".format)


def changes_little(values: pd.DataFrame, latent: int, model: str, quantities: Iterable[str] = FITTED) -> Findings:
    """Whether a model's score is close to the DAE's, in the geometric mean over common latent sizes."""
    for prior in priors(values, quantities):
        for network in networks(values, DAE, model):
            ours, dae = aligned(*(curve(values, each, *network, prior) for each in (model, DAE)))
            found = compare(network_label(prior, *network), CLOSE, geometric_mean(ours), geometric_mean(dae), prior)
            if len(ours) < MIN_SIZES or ours.empty:
                yield lacking(found.subject, f"{found.numbers} ({too_few(len(ours))})", CLOSE)
            else:
                changes = np.exp((np.log(ours) - np.log(dae)).mean(axis=1)) - 1
                largest = changes.abs().idxmax()
                most = f"{changes[largest]:+.1%} at {largest} units".replace("%", " %")
                yield found._replace(numbers=f"{found.numbers} ({len(ours)} latent sizes; largest change {most})")


def noise_levels(values: pd.DataFrame) -> dict[str, float]:
    """The standard deviation of every model dae-noise<σ>, ascending, after the DAE's 0."""
    found = {model: re.fullmatch(r"dae-noise(\d+(?:\.\d+)?)", model) for model in values["model"].unique()}
    levels = {model: float(match[1]) for model, match in found.items() if match}
    return {DAE: 0.0} | dict(sorted(levels.items(), key=lambda level: level[1]))


def rises(values: pd.DataFrame, models: Mapping[str, str], network: tuple[int, str], quantity: str) -> Findings:
    """Whether each model scores below the next, in the geometric mean over the latent sizes that all of them have.

    ``models``: how a finding names each of them.
    """
    curves = aligned(*(curve(values, model, *network, quantity) for model in models))
    means = map(geometric_mean, curves)
    for (first, of_first), (second, of_second) in pairwise(zip(models.values(), means, strict=True)):
        label = f"{network_label(quantity, *network)}, {first} and {second}"
        yield compare(label, BELOW, of_first, of_second, quantity)


def rises_with_noise(values: pd.DataFrame, latent: int) -> Findings:
    levels = noise_levels(values)
    for quantity in priors(values, ("test_recon", *FITTED)):
        for network in networks(values, DAE):
            models = {
                model: f"noise {level:g}" for model, level in levels.items() if network in networks(values, model)
            }
            yield from rises(values, models, network, quantity)


def noise_crosses_vae(values: pd.DataFrame, latent: int) -> Findings:
    models = {"dae-noise0.1": "noise 0.1", VAE: "VAE", "dae-noise0.5": "noise 0.5"}
    for prior in priors(values):
        for network in networks(values, *models):
            yield from rises(values, models, network, prior)


# Width


def best_over_width(values: pd.DataFrame, latent: int, filters: Iterable[int], region: Region) -> Findings:
    """The best scores of DAEs of depth 1 with these filters, each against the next: the wider against the narrower."""
    for prior in priors(values):
        for narrow, wide in pairwise(filters):
            best = optima(*(curve(values, DAE, width, "1", prior) for width in (wide, narrow)))
            subject = f"{comparison_label(prior)}, {wide} and {narrow} filters" + sizes_label(*best)
            yield compare(subject, region, *(each.scores for each in best), prior)


def gain(values: pd.DataFrame, model: str, prior: str) -> pd.Series:
    """The fraction by which a model's best score falls from 32 to 128 filters, by seed."""
    narrow, wide = optima(*(curve(values, model, filters, "1", prior) for filters in (32, 128)))
    return 1 - wide.scores / narrow.scores


def gains_more_than(values: pd.DataFrame, latent: int, other: str) -> Findings:
    """The DAE's gain from 32 to 128 filters against that of another model, or of the DAE on another dataset."""
    for prior in priors(values):
        gains = [gain(values, model, prior) for model in (DAE, other)]
        yield compare(comparison_label(prior), ABOVE, *gains, log=False)


def by_width(values: pd.DataFrame, latent: int, quantity: str) -> dict[int, pd.Series]:
    """The values by seed of DAEs of depth 1 at this latent size, by their filters, ascending."""
    found = select(values, model=DAE, depth="1", latent=latent, quantity=quantity)
    return {int(filters): by_seed(rows) for filters, rows in found.groupby("filters")}


def from_128_to_256(values: pd.DataFrame, latent: int, quantity: str, region: Region) -> Findings:
    scores = by_width(values, latent, quantity)
    first, second = (scores.get(filters, pd.Series(dtype=float)) for filters in (128, 256))
    yield compare(f"{comparison_label(quantity)}, {step_label(128, 256)}", region, first, second)


def falls(by_filters: Mapping[int, pd.Series], log: bool = False) -> Findings:
    """Whether values fall with every step in width."""
    for (narrow, first), (wide, second) in pairwise(by_filters.items()):
        yield compare(step_label(narrow, wide), ABOVE, first, second, log=log)


def gap_at_comparison(values: pd.DataFrame, latent: int) -> Findings:
    """Whether the DAE's MVG score minus its GMM score falls with width, at the comparison latent size."""
    mvg, gmm = (by_width(values, latent, prior) for prior in FITTED)
    yield from falls({filters: mvg[filters] - gmm[filters] for filters in mvg if filters in gmm})


def gap_at_optimum(values: pd.DataFrame, latent: int) -> Findings:
    """As ``gap_at_comparison``, each prior at its best latent size."""
    gaps = {}
    for filters in widths(values, DAE):
        mvg, gmm = optima(*(curve(values, DAE, filters, "1", prior) for prior in FITTED))
        gaps[filters] = mvg.scores - gmm.scores
    yield from falls(gaps)


def falls_with_width(values: pd.DataFrame, latent: int, quantity: str) -> Findings:
    yield from falls(by_width(values, latent, quantity))


# The laws of codes


def gaussian(values: pd.DataFrame, latent: int) -> Findings:
    """Whether the codes of every DAE and VAE are Gaussian: a finding for each network, by Mardia's kurtosis ratio."""
    deviations = select(kurtosis_deviation(values), quantity="mardia_kurtosis_ratio")
    for model in (DAE, VAE):
        of_model = select(deviations, model=model)
        if of_model["value"].isna().all():
            yield lacking(model_label(model), NO_VALUE, BELOW)
        for (filters, depth, size), rows in of_model.dropna(subset="value").groupby(["filters", "depth", "latent"]):
            subject = f"{model_label(model)}, {filters} filters, depth {depth}, {size} units, distance from 1"
            yield compare(subject, BELOW, by_seed(rows), NEAR_ONE, log=False)


def unlike_standard_normal(values: pd.DataFrame, latent: int) -> Findings:
    """Whether the DAE's codes are further from N(0, I) than the VAE's, and wider, for every width at depth 1."""
    values = select(values, latent=latent, depth="1")
    for filters in widths(values, DAE, VAE):
        for quantity, name in (
            ("mean_abs_mean", "distance of means from 0"),
            ("mean_deviation", "deviation"),
            ("deviation_spread", "spread of deviations over units"),
        ):
            both = [value(values, model=model, filters=filters, quantity=quantity) for model in (DAE, VAE)]
            yield compare(f"{filters} filters, {name}", ABOVE, *both)
        deviation = value(values, model=DAE, filters=filters, quantity="mean_deviation")
        yield compare(f"{filters} filters, |deviation − 1|", ABOVE, (deviation - 1).abs(), NEAR_ONE, log=False)


# The paper's hypotheses. ``prepare`` computes what is compared from the values.


def lower_for_widest(values: pd.DataFrame, latent: int, quantity: str, prepare: Callable) -> Findings:
    """The narrowest DAE against the widest, at the comparison latent size."""
    scores = list(by_width(prepare(values), latent, quantity).items())
    yield from falls(dict(scores[:: max(len(scores) - 1, 1)]))


def lower_for_deeper(values: pd.DataFrame, latent: int, quantity: str, prepare: Callable) -> Findings:
    """The DAE of depth 1 against every deeper one of as many filters, at the comparison latent size."""
    values = select(prepare(values), quantity=quantity, latent=latent)
    for filters, depth in deeper(values):
        scores = [value(values, model=DAE, filters=filters, depth=each) for each in ("1", depth)]
        yield compare(f"{filters} filters, depth 1 to {depth}", ABOVE, *scores, log=False)


def kurtosis_deviation(values: pd.DataFrame) -> pd.DataFrame:
    """The values, with the Mardia kurtosis ratio replaced by its distance from 1, the ratio of Gaussian codes."""
    ratio = values["quantity"] == "mardia_kurtosis_ratio"
    return values.assign(value=values["value"].where(~ratio, (values["value"] - 1).abs()))


def midpoint_cost(values: pd.DataFrame) -> pd.DataFrame:
    """The rows of interpolation, minus test_recon: a sharper decoder lowers both."""
    cell = ["model", "filters", "depth", "latent", "seed"]
    midpoints, codes = (select(values, quantity=quantity) for quantity in ("interpolation", "test_recon"))
    both = midpoints.merge(codes[[*cell, "value"]], on=cell, how="left", suffixes=("", "_of_codes"))
    return both.assign(value=both["value"] - both["value_of_codes"])
