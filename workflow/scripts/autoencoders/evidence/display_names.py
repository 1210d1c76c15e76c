"""Display names of models, comparisons, datasets and distances."""

import re

COMPARISONS = {
    "train_recon": "Train R",
    "train_recon_vs_train": "Train R (train)",
    "test_recon": "Test R",
    "interpolation": "Midpoints",
    "standard_normal": "N(0,I)",
    "mvg": "MVG",
    "gmm": "GMM",
    "target_gmm": "Target GMM",
    "test_images": "Test images",
}
DATASETS = {"cifar10": "CIFAR-10", "celeba": "CelebA"}


def model_label(model: str) -> str:
    """dae-bn as DAE-BN, dae-noise0.1 as DAE-noise0.1, wae-x0.3 (with weights times 0.3) as WAE-x0.3; a user's own name
    unchanged.
    """
    return re.sub(r"\b(dae|vae|wae|rae|eae|ae|gmm|bn0?|sn|ln|l2|gp)\b", lambda match: match[0].upper(), model)


def comparison_label(comparison: str) -> str:
    return COMPARISONS.get(comparison, comparison)


def dataset_label(dataset: str) -> str:
    """cifar10 as CIFAR-10, cifar10-validation as CIFAR-10 validation; a user's own name unchanged."""
    base = dataset.removesuffix("-validation")
    return DATASETS.get(dataset) or (f"{DATASETS[base]} validation" if base in DATASETS else dataset)


def distance_label(extractor: str) -> str:
    """Only the distance in Inception's features may be called FID."""
    return "FID" if extractor == "inception" else f"FD ({extractor} features)"


def model_order(model: str) -> tuple:
    """Sort key: the paper's order dae, dae-bn, vae, then the others by name."""
    known = ["dae", "dae-bn", "vae"]
    return (known.index(model), "") if model in known else (len(known), model)


def comparison_order(comparison: str) -> tuple:
    """Sort key: the columns of the paper's Table 2, then a user's own priors by name."""
    known = list(COMPARISONS)
    return (known.index(comparison), "") if comparison in known else (len(known), comparison)
