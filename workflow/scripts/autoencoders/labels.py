"""Names: of a cell's keys, and for people those of models, metrics, datasets and extractors."""

import re

# What names a cell, and the metrics that are no prior's.
CELL_KEYS = ("dataset", "model", "filters", "depth", "latent", "seed")
NOT_PRIORS = ("train_recon", "train_recon_vs_train", "test_recon", "interpolation")
METRICS = {
    "train_recon": "Train R",
    "train_recon_vs_train": "Train R (train)",
    "test_recon": "Test R",
    "interpolation": "Midpoints",
    "standard_normal": "N(0,I)",
    "mvg": "MVG",
    "gmm": "GMM",
}
DATASETS = {"cifar10": "CIFAR-10", "celeba": "CelebA"}


def model_label(model: str) -> str:
    """dae-bn as DAE-BN, dae-noise0.1 as DAE-noise0.1; a name of the user's own as it is."""
    return re.sub(r"\b(dae|vae|wae|rae|eae|gmm|bn|sn|ln)\b", lambda match: match[0].upper(), model)


def metric_label(metric: str) -> str:
    return METRICS.get(metric, metric)


def dataset_label(dataset: str) -> str:
    return DATASETS.get(dataset, dataset)


def distance_label(extractor: str) -> str:
    """Only the distance in Inception's features may be called FID."""
    return "FID" if extractor == "inception" else f"FD ({extractor} features)"


def model_order(model: str) -> tuple:
    """Sort key: the paper's order dae, dae-bn, vae, then the others by name."""
    known = ["dae", "dae-bn", "vae"]
    return (known.index(model), "") if model in known else (len(known), model)


def metric_order(metric: str) -> tuple:
    """Sort key: the columns of the paper's Table 2, then the user's own priors by name."""
    known = list(METRICS)
    return (known.index(metric), "") if metric in known else (len(known), metric)
