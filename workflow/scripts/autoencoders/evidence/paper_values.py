"""The values printed in the paper, and which of ours may be compared with them."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from autoencoders.evidence.short_trainings import steps_of

# What identifies a published value. It is compared with no other cell or comparison.
KEYS = ["dataset", "model", "filters", "depth", "latent", "comparison"]
DATASETS = ("cifar10", "celeba")
# (size, crop): the side in pixels after resizing, and that of the crop before it.
PREPARED = {"cifar10": (32, None), "celeba": (64, 140)}
# The number of images that the paper trained on, and that each of its scores was computed on.
TRAINING_IMAGES = {"cifar10": 50_000, "celeba": 162_770}
SCORED_IMAGES = 10_000
# Its training (section 3) and its priors, as config options.
TRAINING = {
    "epochs": 100,
    "batch_size": 128,
    "learning_rate": [
        {"epoch": 0, "rate": 1e-4},
        {"epoch": 1, "rate": 1e-3},
        {"epoch": 33, "rate": 1e-4},
        {"epoch": 66, "rate": 1e-5},
    ],
}
PRIORS = {
    "standard_normal": {"kind": "standard_normal"},
    "mvg": {"kind": "mvg"},
    "gmm": {"kind": "gmm", "components": 10, "tol": 1e-3, "reg_covar": 1e-6, "max_iter": 2000},
}
# Models that the paper did not train; it repeats published results.
CITED = ("wae", "rae", "eae", "gmm-dae")

# The paper's models as config options, without the options that the paper leaves open.
RECIPE = {"variational": False, "beta": 0, "latent_norm": "none", "noise": 0, "frozen_latent": False, "penalties": {}}
RECIPES = {
    "dae": RECIPE,
    "vae": RECIPE | {"variational": True, "beta": 0.01},
    "dae-bn": RECIPE | {"latent_norm": "batch"},
    "dae-ln": RECIPE | {"latent_norm": "layer"},
    "dae-sn": RECIPE | {"latent_norm": "spectral"},
    "dae-noise0.1": RECIPE | {"noise": 0.1},
    "dae-noise0.5": RECIPE | {"noise": 0.5},
    "dae-noise1": RECIPE | {"noise": 1},
    "dae-frozen": RECIPE | {"frozen_latent": True},
}


def read_published(path: str | Path) -> pd.DataFrame:
    """config/published_fid.csv: one row per value, with columns source, KEYS, fid, confidence and note."""
    return pd.read_csv(path, dtype={"depth": str}).rename(columns={"metric": "comparison"})


def setting(
    dataset: str,
    model: str,
    options: Mapping,
    prepared: tuple,
    training: Mapping,
    priors: Mapping[str, Mapping],
    trained_on: int,
    reference: int,
    scored: int,
) -> str:
    """ "paper" if a score was computed as in the paper: the same dataset, preparation, training, model, priors and
    numbers of images. Else "own".

    ``options`` contain those of ``RECIPE``; ``prepared`` is (size, crop); ``training`` and ``priors`` are from the
    config; ``trained_on``, ``reference`` and ``scored`` (0 if the cell diverged) are numbers of images. A Fréchet
    distance depends on all of these, and a reduced run must not look like the paper's.
    """
    same = (
        (prepared, trained_on) == (PREPARED.get(dataset), TRAINING_IMAGES.get(dataset))
        and training == TRAINING
        # Models and priors with other names are the user's own: there is nothing to compare them with.
        and RECIPES.get(model, {}).items() <= options.items()
        and all(paper.items() <= priors.get(name, paper).items() for name, paper in PRIORS.items())
    )
    return "paper" if same and reference == SCORED_IMAGES and scored in (0, SCORED_IMAGES) else "own"


def with_setting(scores: pd.DataFrame, record: Mapping, priors: Mapping[str, Mapping]) -> pd.DataFrame:
    """The scores of one cell (`scores.cell_scores`) with the columns setting and steps (int, the optimiser steps of its
    training) before extractor.

    ``record`` is the cell's cell.json; ``priors`` are the config's priors that are run.
    """
    judged = setting(
        record["cell"]["dataset"],
        record["cell"]["model"],
        record["network"] | {"penalties": {}} | record["objective"] | {"frozen_latent": record["frozen_latent"]},
        (record["dataset"]["size"], record["dataset"]["crop"]),
        record["training"],
        priors,
        record["training_images"],
        int(scores.loc[scores["comparison"] == "test_recon", "reference_images"].iloc[0]),
        int(scores["images"].max()),
    )
    scores = scores.copy()
    scores.insert(scores.columns.get_loc("extractor"), "setting", judged)
    scores.insert(scores.columns.get_loc("extractor"), "steps", steps_of(record))
    return scores


def comparable(scores: pd.DataFrame) -> pd.Series:
    """Which rows may be compared with the paper: actual FIDs in the paper's setting."""
    return (scores["extractor"] == "inception") & (scores["setting"] == "paper")


def one_a_cell(published: pd.DataFrame) -> pd.DataFrame:
    """One value per cell and comparison. Where Table 2 and Table 3 both have one, Table 2's is kept."""
    by_source = published.sort_values("source", key=lambda source: source != "Table 2", kind="stable")
    return by_source.drop_duplicates(KEYS)


def merge_published(scores: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """``scores`` with the columns published (FID), difference (ours minus published), published_source and
    published_confidence.

    They are missing if the paper has no value for exactly this cell and comparison, if the row is not ``comparable``,
    and for measures other than the Fréchet distance.
    """
    values = one_a_cell(published).rename(
        columns={"fid": "published", "source": "published_source", "confidence": "published_confidence"}
    )
    added = ["published", "published_source", "published_confidence"]
    merged = scores.merge(values[[*KEYS, *added]], on=KEYS, how="left", validate="many_to_one")
    merged.loc[~(comparable(merged) & (merged["measure"] == "frechet")), added] = None
    difference = merged["value"] - merged["published"]
    merged.insert(merged.columns.get_loc("published") + 1, "difference", difference)
    return merged
