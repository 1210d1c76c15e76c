"""The verdict on each of the paper's claims, on this run's values and on the published ones, as a table."""

from collections.abc import Iterator, Mapping

import pandas as pd

from autoencoders.evidence.claim_values import CITED_MODELS, GROUP, published_values, select
from autoencoders.evidence.claims import CLAIMS, Claim
from autoencoders.evidence.display_names import dataset_label, distance_label
from autoencoders.evidence.findings import MIN_SIZES, Finding, conjunction
from autoencoders.evidence.paper_values import DATASETS, comparable
from autoencoders.evidence.score_pages import what_was_compared
from autoencoders.evidence.short_trainings import short_training_note
from autoencoders.evidence.table_files import NO_VALUE, Section

CURVE = ["model", "filters", "depth", "quantity"]
SECTION = ["dataset", "evidence", "setting", "extractor"]
COLUMNS = [*SECTION, "seeds", "claim", "statement", "source", "verdict", "numbers"]
# The latent sizes of the paper's Table 2.
COMPARISON_LATENT = {"cifar10": 128, "celeba": 64}
VERDICTS = {True: "holds", False: "fails", None: "not measured"}
MEANING = (
    "A claim fails if any of its numbers contradicts it (these come first), holds if all of them support it, and is "
    "not measured if none contradicts it and some or all are missing."
)


def claims_table(our: pd.DataFrame, published: pd.DataFrame, comparison_latent: Mapping[str, int]) -> pd.DataFrame:
    """Every claim, judged on every dataset and extractor of ``our_values``, and on the paper's values for its datasets.

    ``published`` is a table of ``read_published``. One row for each dataset, evidence ("this run" or "published"),
    setting, extractor and claim: seeds (the maximum over this run's cells), statement, source (where the paper makes
    it), verdict (one of ``VERDICTS``) and numbers, the findings as one text. Results that the paper cites are compared
    with ours only where ours are ``comparable``.
    """
    printed, table = published_values(published), []
    for dataset, of_dataset in our.groupby("dataset"):
        of_paper = select(printed, dataset=dataset)
        for (_, setting, extractor), values in of_dataset.groupby(GROUP):
            if comparable(values).all():
                values = pd.concat([values, of_paper[of_paper["model"].isin(CITED_MODELS)]], ignore_index=True)
            group = {"dataset": dataset, "evidence": "this run", "setting": setting, "extractor": extractor}
            group["seeds"] = values["seeds"].max()
            table += [group | row for row in judge(values, dataset, comparison_latent[dataset], group["evidence"])]
        if dataset in DATASETS:
            group = {"dataset": dataset, "evidence": "published", "setting": "paper", "extractor": "inception"}
            table += [group | row for row in judge(of_paper, dataset, COMPARISON_LATENT[dataset], group["evidence"])]
    return pd.DataFrame(table, columns=COLUMNS).astype({"seeds": "Int64"})


def judge(values: pd.DataFrame, dataset: str, comparison_latent: int, evidence: str) -> Iterator[dict[str, str]]:
    """The rows of all claims about this dataset. All claims are tried on a user's own dataset."""
    for identifier, claim in CLAIMS.items():
        if claim.datasets is None or dataset in claim.datasets or dataset not in DATASETS:
            findings = evaluate(claim, values, comparison_latent, evidence)
            yield {
                "claim": identifier,
                "statement": claim.statement,
                "source": claim.source,
                "verdict": VERDICTS[conjunction(finding.holds for finding in findings)],
                "numbers": "; ".join(f"{finding.subject}: {finding.numbers}" for finding in findings) or NO_VALUE,
            }


def evaluate(claim: Claim, values: pd.DataFrame, comparison_latent: int, evidence: str) -> list[Finding]:
    """The findings of a claim, those that contradict it first."""
    if claim.reads == "optima" and evidence == "this run":
        sizes = values.groupby(CURVE)["value"].transform("count")
        values = values.assign(value=values["value"].where(sizes >= MIN_SIZES))
    findings = claim.findings(values, comparison_latent)
    if claim.reads == "curves" and evidence == "published":
        findings = (finding._replace(holds=None) for finding in findings)
    return sorted(findings, key=lambda finding: finding.holds is not False)


def claims_sections(table: pd.DataFrame, scores: pd.DataFrame) -> Iterator[Section]:
    """``table`` of ``claims_table``, computed from ``scores``: a section for each dataset and evidence."""
    for (_, evidence, _, _), part in table.groupby(SECTION, sort=False):
        cells = part[["statement", "verdict", "numbers", "source"]].reset_index(drop=True)
        cells.columns = ["Claim", "Verdict", "Numbers", "Source"]
        heading, text = introduce_ours(part, scores) if evidence == "this run" else introduce_published(part)
        counts = ", ".join(f"{verdict} {(part['verdict'] == verdict).sum()}" for verdict in VERDICTS.values())
        yield Section(heading, f"{len(part)} claims: {counts}.\n{text} {MEANING}", cells)


def introduce_ours(part: pd.DataFrame, scores: pd.DataFrame) -> tuple[str, str]:
    """Heading and text of a section about this run."""
    dataset, setting, extractor = part[GROUP].iloc[0]
    heading = f"{dataset_label(dataset)}: this run, {distance_label(extractor)}"
    seeds = part["seeds"].iloc[0]
    text = (
        "Lower is better. One seed: another may change a verdict. Set `seeds: [0, 1, 2]` to see how much scores vary."
    )
    if seeds > 1:
        text = f"Lower is better. Means over {seeds} seeds; the verdicts do not consider their spread (see Table 2)."
    compared = select(scores, dataset=dataset, setting=setting, extractor=extractor)
    text = " ".join(filter(None, [text, what_was_compared(compared), short_training_note(compared["steps"])]))
    if comparable(part).all():
        return heading, f"In the paper's setting. {text}"
    text += " The paper's claims are about other images, another training or another distance."
    return f"{heading}, not the paper's setting", text


def introduce_published(part: pd.DataFrame) -> tuple[str, str]:
    """Heading and text of a section about the paper's values."""
    text = (
        "FIDs from the paper, some with doubtful digits; lower is better. The paper prints only the comparison latent "
        "size and the best sizes, so claims about curves over latent sizes are not measured."
    )
    return f"{dataset_label(part['dataset'].iloc[0])}: the paper's own numbers", text
