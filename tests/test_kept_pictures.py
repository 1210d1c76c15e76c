"""The repository keeps no pictures of datasets: CelebA's are not for redistribution, and photos are their authors'."""

import subprocess

import numpy as np
import pytest
from PIL import Image
from running import PROJECT

SUFFIXES = {
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".svg",
    ".pdf",
    ".npy",
    ".npz",
    ".parquet",
}


def kept() -> list[str]:
    """The files of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a clone")
    return listed.stdout.split("\0")


def test_the_only_pictures_are_graphs_plots_and_samples_of_the_demos_digits():
    found = {name for name in kept() if any(name.lower().endswith(suffix) for suffix in SUFFIXES)}
    plots = [f"cifar10-{name}.png" for name in ("baselines", "tuning", "narrow-random", "narrow-classifier")]
    assert found == {f"workflow/pictures/{name}" for name in ("rules.svg", "samples.png", *plots)}


def test_no_page_embeds_a_picture():
    files = [PROJECT / name for name in kept() if name.endswith((".md", ".svg", ".html", ".ipynb", ".rst"))]
    assert len(files) > 10
    assert not [file.name for file in files if "data:image" in file.read_text(encoding="utf-8")]


def test_the_samples_are_grey_as_digits_are():
    """Photos, and samples of networks that were trained on them, have colours."""
    pixels = np.asarray(Image.open(PROJECT / "workflow/pictures/samples.png").convert("RGB")).astype(int)
    assert (pixels.max(axis=2) - pixels.min(axis=2)).mean() < 8
