"""The values printed in the paper, and which of ours may be compared with them."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from autoencoders.config.grid import model_priors
from autoencoders.evidence.short_trainings import steps_of

# What identifies a published value. It is compared with no other cell or comparison.
KEYS = ["dataset", "model", "filters", "depth", "latent", "comparison"]
DATASETS = ("cifar10", "celeba")
# The name in torchvision, the side in pixels after resizing, and that of the crop before it.
PREPARED = {
    "cifar10": {"name": "CIFAR10", "size": 32, "crop": None},
    "celeba": {"name": "CelebA", "size": 64, "crop": 140},
}
# The number of images that the paper trained on, and that each of its scores was computed on.
TRAINING_IMAGES = {"cifar10": 50_000, "celeba": 162_770}
TEST_IMAGES = {"cifar10": 10_000, "celeba": 19_962}
SCORED_IMAGES = 10_000
PRECISION = "fp32"
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
# Models that the paper did not train; it repeats published results. Those trained here under these names are trained on
# the paper's terms, so that only Table 2 has these values beside them.
CITED = ("wae", "rae-l2", "rae-sn", "eae", "gmm-dae")

# The paper's models as config options.
RECIPE = {
    **{"variational": False, "beta": 0, "latent_norm": "none", "noise": 0, "frozen_latent": False},
    **{"learning_rate_factor": 1, "penalties": {}},
}
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
# What the cited methods add to it: the normalisation of codes, and the kinds of penalties, whose weights may be tuned.
ADDITIONS = {
    "wae": ("none", ["mmd"]),
    "rae-l2": ("none", ["code_norm", "decoder_decay"]),
    "rae-sn": ("spectral_all", ["code_norm"]),
    "eae": ("batch_plain", ["entropy"]),
    "gmm-dae": ("none", ["mixture"]),
}
# The options that the paper leaves open, with the readings that its text allows. Number formats are not among them:
# they stand beside its values.
READINGS = {
    "kl_reduction": ("mean", "sum"),
    "codes": ("mean", "sample"),
    "reconstructions": ("mean", "sample"),
    "widening": ("first", "last"),
    "decoder_channels": (1024, None),
    "decoder_activation": ("linear", "relu", "bn_relu"),
    "decoder_repeats": (False, True),
    "precision": ("bf16", "tf32", "fp32"),
}

# Options that only say something about a model.
ABOUT = ("native_prior", "tuned_on")


def read_published(path: str | Path) -> pd.DataFrame:
    """config/published_fid.csv: one row per value, with columns source, KEYS, fid, confidence and note."""
    return pd.read_csv(path, dtype={"depth": str}).rename(columns={"metric": "comparison"})


def papers_model(name: str, options: Mapping) -> bool:
    """Whether a model of this name is the paper's, or the method of this name that it cites. One of another name is the
    user's own: there is nothing to compare it with. An option that is neither in ``RECIPE`` nor in ``READINGS`` is not
    the paper's.
    """
    recipe = RECIPES.get(name)
    if name in ADDITIONS:
        latent_norm, kinds = ADDITIONS[name]
        if sorted(entry["kind"] for entry in options["penalties"].values()) != kinds:
            return False
        recipe = RECIPE | {"latent_norm": latent_norm, "penalties": options["penalties"]}
    if recipe is None:
        return True
    return all(
        options[key] == recipe[key] if key in recipe else options[key] in READINGS.get(key, ())
        for key in options
        if key not in ABOUT
    )


def papers_images(name: str, dataset: Mapping, trained_on: int) -> bool:
    """Whether a dataset of the config has the paper's images, prepared as there.

    Copies from other sources than torchvision are known by their number.
    """
    paper = PREPARED.get(name)
    limit = dataset.get("limit", {}).get("test")
    return (
        paper is not None
        and (dataset["size"], dataset["crop"]) == (paper["size"], paper["crop"])
        and (dataset["source"] != "torchvision" or dataset["torchvision"]["name"] == paper["name"])
        and trained_on == TRAINING_IMAGES[name]
        and (limit is None or limit >= TEST_IMAGES[name])
    )


def papers_priors(priors: Mapping[str, Mapping]) -> bool:
    """Whether the priors of the paper's names have its options. Those of other names are the user's own."""
    return all(paper.items() <= priors.get(name, paper).items() for name, paper in PRIORS.items())


def with_setting(scores: pd.DataFrame, record: Mapping, config: Mapping) -> pd.DataFrame:
    """The scores of one cell (`scores.cell_scores`) with the columns setting, steps and precision before extractor.

    ``record`` is the cell's cell.json; ``config`` the resolved config. The setting is "paper" if the scores were
    computed as in the paper: the same images, training, model, priors and numbers of images. Else it is "own": a
    Fréchet distance depends on all of these, and a reduced run must not look like the paper's. Steps and
    precision are those of training.
    """
    name, model = record["cell"]["dataset"], record["cell"]["model"]
    # What was trained, and from the config what is decided later.
    trained = {**record["network"], **record["objective"], "frozen_latent": record["frozen_latent"]}
    options = {key: trained.get(key, option) for key, option in config["models"].get(model, {}).items()}
    distances = scores[scores["measure"] == "frechet"]
    reference = int(distances.loc[distances["comparison"] == "test_recon", "reference_images"].iloc[0])
    same = (
        papers_images(name, record["dataset"], record["training_images"])
        and record["training"] == TRAINING
        and papers_model(model, options)
        and papers_priors(model_priors(config, model))
        and reference == SCORED_IMAGES
        # 0 if the cell diverged.
        and int(distances["images"].max()) in (0, SCORED_IMAGES)
    )
    scores = scores.copy()
    place = scores.columns.get_loc("extractor")
    scores.insert(place, "setting", "paper" if same else "own")
    scores.insert(place + 1, "steps", steps_of(record))
    scores.insert(place + 2, "precision", record["precision"])
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
    values = one_a_cell(published[~published["model"].isin(CITED)]).rename(
        columns={"fid": "published", "source": "published_source", "confidence": "published_confidence"}
    )
    added = ["published", "published_source", "published_confidence"]
    merged = scores.merge(values[[*KEYS, *added]], on=KEYS, how="left", validate="many_to_one")
    merged.loc[~(comparable(merged) & (merged["measure"] == "frechet")), added] = None
    difference = merged["value"] - merged["published"]
    merged.insert(merged.columns.get_loc("published") + 1, "difference", difference)
    return merged
