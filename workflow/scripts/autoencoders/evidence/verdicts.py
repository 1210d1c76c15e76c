"""The verdict on each of the paper's claims, on this run's values and on the published ones, as a table.

A claim with several findings, such as one for each width, says that all of them are as it says. It is tested as such:
that all hold by the least certain of them (an intersection-union test), that one fails by the most certain, multiplied
by their number (Bonferroni). p values are then adjusted over the family of the claim.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from autoencoders.evidence.claim_values import (
    CITED_MODELS,
    DAE,
    GROUP,
    METHODS,
    MIN_SIZES,
    elsewhere,
    published_values,
    select,
)
from autoencoders.evidence.claims import CLAIMS, FAMILIES, OF_METHODS, Claim
from autoencoders.evidence.display_names import dataset_label, distance_label
from autoencoders.evidence.findings import Finding
from autoencoders.evidence.methods import untuned_text
from autoencoders.evidence.paper_values import DATASETS, comparable
from autoencoders.evidence.score_pages import precision_text, redraw_text, what_was_compared
from autoencoders.evidence.seed_statistics import (
    LEVEL,
    MIN_SEEDS,
    false_discovery,
    holm,
    interval,
    region_p_values,
)
from autoencoders.evidence.short_trainings import short_training_note
from autoencoders.evidence.table_files import NO_VALUE, Section, significant

CURVE = ["model", "filters", "depth", "quantity"]
SECTION = ["dataset", "evidence", "setting", "extractor", "family"]
COLUMNS = [
    *SECTION,
    *("claim", "statement", "source", "seeds", "verdict", "outcome", "p", "p_adjusted", "numbers"),
]
# The latent sizes of the paper's Table 2.
COMPARISON_LATENT = {"cifar10": 128, "celeba": 64}
THIS_RUN, PUBLISHED = "this run", "published"
HOLDS, FAILS, TIE, NOT_MEASURED = "holds", "fails", "tie", "not measured"
ONE_RUN, INDICATIVE, UNDECIDED, PRINTED = "one run", "indicative", "undecided", "as printed"
# A claim about all networks has hundreds of findings.
MOST_NUMBERS = 24
ADJUSTMENTS = {"primary": ("Holm's method", holm)}
OTHER_ADJUSTMENT = ("false discovery rate (Benjamini and Hochberg)", false_discovery)


class Judgement(NamedTuple):
    """What the findings of a claim amount to before its p value is adjusted.

    ``outcome``: of the means over seeds: HOLDS, FAILS, TIE or NOT_MEASURED. ``seeds``: the smallest number among the
    findings. ``p`` and ``direction``: of the test that the claim holds or fails; NaN and "" if nothing is tested.
    """

    outcome: str
    seeds: int
    p: float
    direction: str
    numbers: str


def claims_table(
    our: pd.DataFrame, published: pd.DataFrame, comparison_latent: Mapping[str, int], noise: pd.DataFrame
) -> pd.DataFrame:
    """Every claim, judged on every dataset and extractor of ``our_values``, and on the paper's values for its datasets.

    ``published`` is a table of ``read_published``, ``noise`` one of ``redraw_noise``. One row for each dataset,
    evidence (THIS_RUN or PUBLISHED), setting, extractor and claim: family, statement, source (where the paper makes
    it), seeds (missing for the paper's), verdict (HOLDS, FAILS, UNDECIDED; ONE_RUN or INDICATIVE with too few seeds for
    a test; PRINTED for the paper's values; NOT_MEASURED), outcome (what the means show), p, p_adjusted, and numbers,
    the findings as one text. Results that the paper cites are compared with ours only where ours are ``comparable``.
    """
    printed, table = published_values(published), []
    for (dataset, setting, extractor), values in our.groupby(GROUP):
        if comparable(values).all():
            of_paper = select(printed, dataset=dataset)
            values = pd.concat([values, of_paper[of_paper["model"].isin(CITED_MODELS)]], ignore_index=True)
        values = with_elsewhere(values, select(our, setting=setting, extractor=extractor))
        draws = select(noise, dataset=dataset, extractor=extractor).set_index("comparison")["sd_of_log"]
        group = {"dataset": dataset, "evidence": THIS_RUN, "setting": setting, "extractor": extractor}
        table += [group | row for row in judge_all(values, dataset, comparison_latent[dataset], THIS_RUN, draws)]
    for dataset in (name for name in DATASETS if name in set(our["dataset"])):
        values = with_elsewhere(select(printed, dataset=dataset), printed)
        group = {"dataset": dataset, "evidence": PUBLISHED, "setting": "paper", "extractor": "inception"}
        table += [group | row for row in judge_all(values, dataset, COMPARISON_LATENT[dataset], PUBLISHED, {})]
    return pd.DataFrame(table, columns=COLUMNS).astype({"seeds": "Int64", "p": "float64", "p_adjusted": "float64"})


def with_elsewhere(values: pd.DataFrame, everywhere: pd.DataFrame) -> pd.DataFrame:
    """``values`` with the DAEs of the paper's other datasets, under names of their own."""
    here = set(values["dataset"].dropna())
    others = everywhere[everywhere["dataset"].isin(set(DATASETS) - here) & (everywhere["model"] == DAE)]
    others = others.assign(model=[elsewhere(DAE, name) for name in others["dataset"]])
    return pd.concat([values, others], ignore_index=True) if len(others) else values


def judge_all(
    values: pd.DataFrame, dataset: str, comparison_latent: int, evidence: str, noise: Mapping[str, float]
) -> Iterator[dict[str, object]]:
    """The rows of all claims about this dataset, by family. All claims are tried on a user's own dataset."""
    chosen = {
        name: claim
        for name, claim in CLAIMS.items()
        if claim.datasets is None or dataset in claim.datasets or (dataset not in DATASETS and not claim.across)
    }
    for family in FAMILIES:
        claims = {name: claim for name, claim in chosen.items() if claim.family == family}
        judged = [judge(evaluate(claim, values, comparison_latent, evidence), noise) for claim in claims.values()]
        if family == OF_METHODS and not values["model"].isin(METHODS).any():
            continue
        for (name, claim), judgement, adjusted in zip(claims.items(), judged, adjust(judged, family), strict=True):
            yield {
                "family": family,
                "claim": name,
                "statement": claim.statement,
                "source": claim.source,
                "seeds": judgement.seeds if evidence == THIS_RUN and judgement.seeds else None,
                "verdict": verdict(judgement, adjusted, evidence),
                "outcome": judgement.outcome,
                "p": judgement.p,
                "p_adjusted": adjusted,
                "numbers": judgement.numbers,
            }


def evaluate(claim: Claim, values: pd.DataFrame, comparison_latent: int, evidence: str) -> list[Finding]:
    """The findings of a claim."""
    if claim.reads == "optima" and evidence == THIS_RUN:
        sizes = values.dropna(subset="value").groupby(CURVE)["latent"].nunique()
        enough = sizes.reindex(pd.MultiIndex.from_frame(values[CURVE]), fill_value=0).to_numpy() >= MIN_SIZES
        values = values.assign(value=values["value"].where(enough))
    findings = list(claim.findings(values, comparison_latent))
    if claim.reads == "curves" and evidence == PUBLISHED:
        findings = [finding._replace(effects=finding.effects.iloc[:0]) for finding in findings]
    return findings


def judge(findings: Sequence[Finding], noise: Mapping[str, float]) -> Judgement:
    """``noise``: the standard deviation of ln(score) over redrawn samples, by prior. Smaller differences are ties."""
    outcomes = [outcome(finding, noise.get(finding.quantity, 0)) for finding in findings]
    measured = [finding for finding, found in zip(findings, outcomes, strict=True) if found != NOT_MEASURED]
    seeds = min((finding.seeds or len(finding.effects) for finding in measured), default=0)
    p, direction = np.nan, ""
    if seeds >= MIN_SEEDS and not any(finding.seeds for finding in findings):
        p, direction = claim_p(findings, outcomes)
    # What contradicts the claim comes first.
    order = sorted(zip(findings, outcomes, strict=True), key=lambda pair: pair[1] != FAILS)
    texts = [f"{finding.subject}: {finding.numbers}{effect_text(finding)}" for finding, _ in order[:MOST_NUMBERS]]
    texts += [f"{len(order) - MOST_NUMBERS} more"] * (len(order) > MOST_NUMBERS)
    return Judgement(conjunction(outcomes), seeds, p, direction, "; ".join(texts) or NO_VALUE)


def outcome(finding: Finding, noise: float) -> str:
    """What the mean over seeds shows. A margin is wider than the noise, so a difference within it is no tie."""
    if finding.counted is not None:
        return HOLDS if finding.counted else FAILS
    if finding.effects.empty:
        return NOT_MEASURED
    mean = finding.effects.mean()
    if finding.region.two_sided and finding.log and abs(mean) < noise:
        return TIE
    return HOLDS if mean in finding.region else FAILS


def conjunction(outcomes: Iterable[str]) -> str:
    """FAILS if any part does; HOLDS if there are parts and all do; otherwise what keeps it from holding."""
    outcomes = set(outcomes)
    if outcomes == {HOLDS}:
        return HOLDS
    return next((found for found in (FAILS, NOT_MEASURED, TIE) if found in outcomes), NOT_MEASURED)


def claim_p(findings: Sequence[Finding], outcomes: Sequence[str]) -> tuple[float, str]:
    """The smaller p value of (all findings hold, one of them fails), and which of them it is."""
    inside, outside = [], []
    for finding, found in zip(findings, outcomes, strict=True):
        # A tie or a missing part is evidence for nothing.
        p_values = (1.0, 1.0) if found in (TIE, NOT_MEASURED) else region_p_values(finding.effects, finding.region)
        inside.append(p_values[0])
        outside.append(p_values[1])
    measured = sum(found != NOT_MEASURED for found in outcomes)
    holds, fails = max(inside), min(1.0, measured * min(outside))
    return (holds, HOLDS) if holds <= fails else (fails, FAILS)


def adjust(judged: Sequence[Judgement], family: str) -> list[float]:
    """The adjusted p values of a family's claims; NaN for those that are not tested."""
    _, method = ADJUSTMENTS.get(family, OTHER_ADJUSTMENT)
    tested = [index for index, judgement in enumerate(judged) if not np.isnan(judgement.p)]
    adjusted = [np.nan] * len(judged)
    for index, p in zip(tested, method([judged[index].p for index in tested]), strict=True):
        adjusted[index] = p
    return adjusted


def verdict(judgement: Judgement, adjusted: float, evidence: str) -> str:
    if judgement.outcome == NOT_MEASURED:
        return NOT_MEASURED
    if evidence == PUBLISHED:
        return PRINTED
    if judgement.seeds < MIN_SEEDS:
        return ONE_RUN if judgement.seeds == 1 else INDICATIVE
    if np.isnan(judgement.p):
        return judgement.outcome  # counted
    return judgement.direction if adjusted < LEVEL else UNDECIDED


def effect_text(finding: Finding) -> str:
    """The effect over several seeds: its size, its plain 95 % interval, and its size in standard deviations."""
    effects = finding.effects
    if len(effects) < 2:
        return ""
    mean, deviation, bounds = effects.mean(), effects.std(), interval(effects)
    if finding.log:
        size, low, high = (f"{100 * np.expm1(number):+.1f}" for number in (mean, *bounds))
        text = f"{size} % [{low}, {high}]"
    else:
        size, low, high = (("-" if number < 0 else "") + significant(abs(number), 3) for number in (mean, *bounds))
        text = f"difference {size} [{low}, {high}]"
    sds = f", {abs(mean) / deviation:.1f} sd" if deviation > 0 else ""
    return f" ({text}{sds}, n = {len(effects)})"


def claims_sections(
    table: pd.DataFrame, scores: pd.DataFrame, noise: pd.DataFrame, methods: Mapping[str, Mapping]
) -> Iterator[Section]:
    """``table`` of ``claims_table``, computed from ``scores``: a section for each dataset, evidence and family.

    ``methods`` say which models have untuned weights (`evidence.methods`).
    """
    for (dataset, evidence, _, _, family), part in table.groupby(SECTION, sort=False):
        cells = pd.DataFrame(
            {
                "Claim": part["statement"],
                "Verdict": [verdict_text(row) for row in part.to_dict("records")],
                "Numbers": part["numbers"],
                "Source": part["source"],
            }
        ).reset_index(drop=True)
        heading, text = introduce_ours(part, scores, noise) if evidence == THIS_RUN else introduce_published(part)
        if family == OF_METHODS:
            text = " ".join(filter(None, [text, untuned_text(METHODS, dataset, methods)]))
        yield Section(f"{heading}: {FAMILIES[family]}", text, cells)


def verdict_text(row: Mapping) -> str:
    """ "holds (p = 0.012)", "one run: fails"."""
    if row["verdict"] in (ONE_RUN, INDICATIVE, PRINTED):
        return f"{row['verdict']}: {row['outcome']}"
    p = row["p_adjusted"]
    if (row["verdict"], row["outcome"]) == (UNDECIDED, TIE):
        return f"{UNDECIDED}: {TIE}"
    if pd.isna(p):
        return row["verdict"]
    return f"{row['verdict']} (p {'< 0.001' if p < 0.001 else f'= {p:.3f}'})"


def introduce_ours(part: pd.DataFrame, scores: pd.DataFrame, noise: pd.DataFrame) -> tuple[str, str]:
    """Heading and text of a section about this run."""
    dataset, _, setting, extractor, family = part[SECTION].iloc[0]
    heading = f"{dataset_label(dataset)}: this run, {distance_label(extractor)}"
    compared = select(scores, dataset=dataset, setting=setting, extractor=extractor)
    if comparable(part).all():
        place = f"In the paper's setting. {precision_text(compared)}"
    else:
        heading += ", not the paper's setting"
        place = "The paper's claims are about other images, another training or another distance."
    texts = [
        *("Lower is better.", place, how_judged(part, family), redraw_text(noise, dataset, extractor)),
        *(what_was_compared(compared), short_training_note(compared["steps"])),
    ]
    return heading, " ".join(filter(None, texts))


def how_judged(part: pd.DataFrame, family: str) -> str:
    """What the verdicts of a family mean, given how many seeds its claims have."""
    verdicts, method = set(part["verdict"]), ADJUSTMENTS.get(family, OTHER_ADJUSTMENT)[0]
    meanings = {
        ONE_RUN: "One run: the comparison as this one seed shows it; another may reverse it. A verdict needs "
        f"{MIN_SEEDS} seeds (config/README.md).",
        INDICATIVE: f"Indicative: the means over too few seeds for a verdict, which needs {MIN_SEEDS}.",
    }
    texts = [meaning for name, meaning in meanings.items() if name in verdicts]
    if verdicts & {HOLDS, FAILS, UNDECIDED}:
        texts.append(
            f"Holds or fails: t tests over seeds, p values adjusted by {method} over the claims of this table, below "
            f"{LEVEL}; undecided otherwise. What diverged is counted, not tested."
        )
    if verdicts & {INDICATIVE, HOLDS, FAILS, UNDECIDED}:
        texts.append(
            "Numbers are means over seeds; in parentheses the effect, its plain 95 % interval, which decides nothing, "
            "and its size in standard deviations over seeds (sd). A best latent size is chosen on the two smallest "
            f"seeds if {MIN_SEEDS} others are left to be scored, and otherwise on the scored seeds, which flatters the "
            "network that varies more."
        )
    texts.append(
        "A claim fails if any of its numbers contradicts it (these come first), and is not measured if none does and "
        "some or all are missing."
    )
    return " ".join(texts)


def introduce_published(part: pd.DataFrame) -> tuple[str, str]:
    """Heading and text of a section about the paper's values."""
    text = (
        "FIDs from the paper, trained in float32, some with doubtful digits; lower is better. It prints one value for "
        "each cell and no spread, so these are comparisons, not verdicts. It prints only the comparison latent size "
        "and the best sizes, so claims about curves over latent sizes are not measured."
    )
    return f"{dataset_label(part['dataset'].iloc[0])}: the paper's own numbers", text
