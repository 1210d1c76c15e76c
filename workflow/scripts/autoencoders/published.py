"""The values that the paper prints, and where ours may stand beside them."""

from pathlib import Path

import pandas as pd

# What a published value is about; it says nothing about any other cell or metric.
KEYS = ["dataset", "model", "filters", "depth", "latent", "metric"]
DATASETS = ("cifar10", "celeba")
# Models that the paper did not train: it repeats what their authors report.
CITED = ("wae", "rae", "eae", "gmm-dae")


def read_published(path: str | Path) -> pd.DataFrame:
    """config/published_fid.csv: a row a value, with columns source, KEYS, fid, confidence and note."""
    return pd.read_csv(path, dtype={"depth": str})


def comparable(scores: pd.DataFrame) -> pd.Series:
    """Which rows may be compared with the paper: FIDs proper, on the paper's datasets."""
    return (scores["extractor"] == "inception") & scores["dataset"].isin(DATASETS)


def merge_published(scores: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """``scores`` with columns published (FID), published_source and published_confidence, missing where the paper
    has no value for that very cell and metric or where the row is not ``comparable``.

    Some cells stand in Table 2 and in Table 3: Table 2 goes first.
    """
    values = published.sort_values("source", key=lambda source: source != "Table 2", kind="stable")
    values = values.drop_duplicates(KEYS).rename(
        columns={"fid": "published", "source": "published_source", "confidence": "published_confidence"}
    )
    added = ["published", "published_source", "published_confidence"]
    merged = scores.merge(values[[*KEYS, *added]], on=KEYS, how="left", validate="many_to_one")
    merged.loc[~comparable(merged), added] = None
    return merged
