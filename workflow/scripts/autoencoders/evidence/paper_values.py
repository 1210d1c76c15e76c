"""The values that the paper prints, and where ours may stand beside them."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

# What a published value is about; it says nothing about any other cell or comparison.
KEYS = ["dataset", "model", "filters", "depth", "latent", "comparison"]
DATASETS = ("cifar10", "celeba")
# The side in pixels that they are resized to, and that is cropped before.
PREPARED = {"cifar10": (32, None), "celeba": (64, 140)}
# The images that the paper trained on, and those that each of its scores was computed on.
TRAINING_IMAGES = {"cifar10": 50_000, "celeba": 162_770}
SCORED_IMAGES = 10_000
# How it trained (section 3), and the priors that it fitted; the config's own keys.
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
# Models that the paper did not train: it repeats what their authors report.
CITED = ("wae", "rae", "eae", "gmm-dae")


# What its models are, in the config's keys, beside what the paper leaves open.
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
    """config/published_fid.csv: a row a value, with columns source, KEYS, fid, confidence and note."""
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
    """ "paper" for a score on the paper's dataset, prepared and trained on as there, with its models and priors under
    their names and as many images; else "own".

    ``options`` are at least those of ``RECIPE``, ``prepared`` is (size, crop), ``training`` and ``priors`` are the
    config's; ``trained_on``, ``reference`` and ``scored`` (0 for a cell that diverged) count images. A Fréchet distance
    depends on all of these, and a reduced run must not look like the paper's.
    """
    same = (
        (prepared, trained_on) == (PREPARED.get(dataset), TRAINING_IMAGES.get(dataset))
        and training == TRAINING
        # Models and priors of other names are nobody's but the run's own.
        and RECIPES.get(model, {}).items() <= options.items()
        and all(paper.items() <= priors.get(name, paper).items() for name, paper in PRIORS.items())
    )
    return "paper" if same and reference == SCORED_IMAGES and scored in (0, SCORED_IMAGES) else "own"


def with_setting(scores: pd.DataFrame, record: Mapping, priors: Mapping[str, Mapping]) -> pd.DataFrame:
    """The scores of one cell (`scores.cell_scores`) with the column setting before extractor.

    ``record`` is the cell's cell.json, ``priors`` are those of the config that run.
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
    return scores


def comparable(scores: pd.DataFrame) -> pd.Series:
    """Which rows may be compared with the paper: FIDs proper, in its setting."""
    return (scores["extractor"] == "inception") & (scores["setting"] == "paper")


def one_a_cell(published: pd.DataFrame) -> pd.DataFrame:
    """One value a cell and comparison. Some stand in Table 2 and in Table 3: Table 2 goes first."""
    by_source = published.sort_values("source", key=lambda source: source != "Table 2", kind="stable")
    return by_source.drop_duplicates(KEYS)


def merge_published(scores: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """``scores`` with columns published (FID), difference (ours minus it), published_source and published_confidence,
    missing where the paper has no value for that very cell and comparison, and where the row is not ``comparable`` or
    is of another measure than the Fréchet distance.
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
