"""The answer of a run in a few sentences, with which the report begins: reStructuredText."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

import pandas as pd

from autoencoders.config.grid import NOT_PRIORS
from autoencoders.evidence.claim_values import DAE, GROUP, VAE, select
from autoencoders.evidence.display_names import comparison_label, comparison_order, dataset_label, distance_label
from autoencoders.evidence.paper_values import comparable
from autoencoders.evidence.score_tables import of_measure
from autoencoders.evidence.short_trainings import short_training_note
from autoencoders.evidence.table_files import decimals, rounded
from autoencoders.evidence.verdicts import (
    FAILS,
    HOLDS,
    INDICATIVE,
    MIN_SEEDS,
    NOT_MEASURED,
    ONE_RUN,
    THIS_RUN,
    TIE,
    UNDECIDED,
)

WORDS = {
    HOLDS: ("holds", "hold"),
    FAILS: ("fails", "fail"),
    TIE: ("is a tie", "are ties"),
    UNDECIDED: ("is undecided", "are undecided"),
    NOT_MEASURED: ("is not measured", "are not measured"),
}
CAUTIONS = {
    ONE_RUN: "Each was compared in one run, and another seed may reverse it.",
    INDICATIVE: "These are means over a few seeds, and indicative only.",
}


def answer(claims: pd.DataFrame, scores: pd.DataFrame, comparison_latent: Mapping[str, int]) -> str:
    """Of each dataset and extractor, how many primary claims hold, and the scores of DAE and VAE.

    ``claims`` is a table of `verdicts.claims_table`, computed from ``scores``.
    """
    ours = select(claims, evidence=THIS_RUN, family="primary")
    parts = [
        "\n\n".join([counted(part), *compared(select(scores, **dict(zip(GROUP, key, strict=True))), comparison_latent)])
        for key, part in ours.groupby(GROUP)
    ]
    return "\n\n".join(parts or ["**Nothing is measured yet.**"]) + "\n"


def counted(claims: pd.DataFrame) -> str:
    """A sentence for the claims of one dataset and extractor: how many hold, fail, and so on."""
    dataset, _, extractor = claims[GROUP].iloc[0]
    cautions = [text for verdict, text in CAUTIONS.items() if verdict in set(claims["verdict"])]
    found = Counter(claims["verdict"].where(~claims["verdict"].isin(CAUTIONS), claims["outcome"]))
    numbers = [f"{found[name]} {WORDS[name][found[name] > 1]}" for name in WORDS if found[name]]
    where = f"{dataset_label(dataset)}, {distance_label(extractor)}"
    if not comparable(claims).all():
        where += ", not the paper's setting"
    sentence = f"**{literal(where)}: of {len(claims)} primary claims of the paper, {', '.join(numbers)}.**"
    cautions += [f"A verdict needs {MIN_SEEDS} seeds."] if cautions else []
    return " ".join([sentence, *cautions])


def compared(scores: pd.DataFrame, comparison_latent: Mapping[str, int]) -> Iterator[str]:
    """A paragraph and a list: the scores of DAE and VAE for each width at which both have one, and for each prior.

    They are of depth 1 and the comparison latent size, as in Table 2: means over the seeds that did not diverge.
    """
    at = of_measure(scores)
    at = at[(at["depth"] == "1") & (at["latent"] == at["dataset"].map(comparison_latent)) & (at["status"] == "ok")]
    at = at[at["model"].isin((DAE, VAE)) & ~at["comparison"].isin(NOT_PRIORS)]
    means = at.groupby(["filters", "comparison", "model"])["value"].mean().unstack("model")
    means = means.reindex(columns=[DAE, VAE]).dropna()
    if means.empty:
        yield "At the comparison latent size, no width has a score of both DAE and VAE."
        return
    name, latent = distance_label(at["extractor"].iloc[0]), at["latent"].iloc[0]
    yield literal(f"{name} of samples at {latent} latent units, DAE against VAE (lower is better):")
    lines, places = [], max(2, decimals(means.to_numpy().ravel(), digits=3))
    for filters, rows in means.groupby("filters"):
        pairs = sorted(rows.droplevel("filters").iterrows(), key=lambda pair: comparison_order(pair[0]))
        numbers = [
            f"{comparison_label(prior)} {rounded(row[DAE], places)} against {rounded(row[VAE], places)}"
            for prior, row in pairs
        ]
        lines.append(literal(f"- {filters} filters: {', '.join(numbers)}"))
    yield "\n".join(lines)
    yield from filter(None, [short_training_note(at["steps"])])


def literal(text: str) -> str:
    """The text without a meaning of its letters for reStructuredText: a name may end with an underscore."""
    return re.sub(r"([\\`*_|])", r"\\\1", text)
