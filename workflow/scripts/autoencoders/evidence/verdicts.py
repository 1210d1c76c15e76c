"""The verdict on each of the paper's claims, on this run's values and on the published ones, as a table."""

from collections.abc import Iterator, Mapping

import pandas as pd

from autoencoders.evidence.claim_values import CITED_MODELS, GROUP, published_values, select
from autoencoders.evidence.claims import CLAIMS, Claim
from autoencoders.evidence.display_names import dataset_label, distance_label
from autoencoders.evidence.findings import MIN_SIZES, Finding, conjunction
from autoencoders.evidence.paper_values import DATASETS, comparable
from autoencoders.evidence.score_pages import what_was_compared
from autoencoders.evidence.table_files import NO_VALUE, Section

CURVE = ["model", "filters", "depth", "quantity"]
SECTION = ["dataset", "evidence", "setting", "extractor"]
COLUMNS = [*SECTION, "seeds", "claim", "statement", "source", "verdict", "numbers"]
# The latent sizes of the paper's Table 2.
COMPARISON_LATENT = {"cifar10": 128, "celeba": 64}
VERDICTS = {True: "holds", False: "fails", None: "not measured"}
MEANING = (
    "A claim fails where any of its numbers breaks it (those come first), holds where all bear it out, and is not "
    "measured where some or all are missing."
)


def claims_table(our: pd.DataFrame, published: pd.DataFrame, comparison_latent: Mapping[str, int]) -> pd.DataFrame:
    """Every claim on every dataset and extractor of ``our_values``, and on the paper's values for its datasets.

    ``published`` is a table of ``read_published``. One row a dataset, evidence ("this run" or "published"), setting,
    extractor and claim: seeds (the most that a cell of this run has), statement, source (where the paper makes it),
    verdict (of ``VERDICTS``) and numbers, the findings in one text. The results that the paper cites stand beside ours
    only where ours are ``comparable``.
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
    """``table`` of ``claims_table``, which was made of ``scores``: a section a dataset and evidence."""
    for (_, evidence, _, _), part in table.groupby(SECTION, sort=False):
        cells = part[["statement", "verdict", "numbers", "source"]].reset_index(drop=True)
        cells.columns = ["Claim", "Verdict", "Numbers", "Source"]
        heading, text = introduce_ours(part, scores) if evidence == "this run" else introduce_published(part)
        counts = ", ".join(f"{verdict} {(part['verdict'] == verdict).sum()}" for verdict in VERDICTS.values())
        yield Section(heading, f"{len(part)} claims: {counts}.\n{text} {MEANING}", cells)


def introduce_ours(part: pd.DataFrame, scores: pd.DataFrame) -> tuple[str, str]:
    """Heading and text of a section of this run."""
    dataset, setting, extractor = part[GROUP].iloc[0]
    heading = f"{dataset_label(dataset)}: this run, {distance_label(extractor)}"
    seeds = part["seeds"].iloc[0]
    text = (
        "Lower is better. Of one seed: another one may turn a verdict; `seeds: [0, 1, 2]` shows how far scores spread."
    )
    if seeds > 1:
        text = f"Lower is better. Means over {seeds} seeds, whose spread (Table 2) no verdict takes into account."
    compared = select(scores, dataset=dataset, setting=setting, extractor=extractor)
    text = " ".join(filter(None, [text, what_was_compared(compared)]))
    if comparable(part).all():
        return heading, f"In the paper's setting. {text}"
    text += " The paper makes its claims about other images, another training or another distance."
    return f"{heading}, not the paper's setting", text


def introduce_published(part: pd.DataFrame) -> tuple[str, str]:
    """Heading and text of a section of the paper's values."""
    text = (
        "FIDs that the paper prints, some with doubtful digits; lower is better. It prints the comparison latent size "
        "and the best ones alone, so that a claim about the course over latent sizes is not measured."
    )
    return f"{dataset_label(part['dataset'].iloc[0])}: the paper's own numbers", text
