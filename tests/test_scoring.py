"""Scores of a cell: the rows, the values against a computation by hand, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import file_sha256, write_npz
from autoencoders.scores.cell_scores import COLUMNS, identified, read_reference, reference_arrays, score_cell
from autoencoders.scores.measures.frechet import Statistics

CPU = torch.device("cpu")
CELL = {"dataset": "digits", "model": "dae", "filters": 8, "depth": "3321", "latent": 4, "seed": 0}


class OneFeature(torch.nn.Module):
    """An image's mean brightness in levels: a Fréchet distance of one dimension has a closed form."""

    def forward(self, images):
        return 255 * images.mean(dim=(1, 2, 3)).unsqueeze(1)


class Broken(torch.nn.Module):
    def forward(self, images):
        return images.mean(dim=(1, 2, 3)).unsqueeze(1) * torch.nan


def flat(*levels: int) -> np.ndarray:
    """Images of one level each, uint8 (N, 3, 8, 8)."""
    return np.broadcast_to(np.array(levels, np.uint8).reshape(-1, 1, 1, 1), (len(levels), 3, 8, 8)).copy()


@pytest.fixture
def reference(tmp_path):
    (tmp_path / "weights").write_bytes(b"weights")
    arrays = reference_arrays(OneFeature(), flat(10, 20, 30), tmp_path / "weights", 2, CPU)
    write_npz(tmp_path / "reference.npz", arrays)
    return read_reference(tmp_path / "reference.npz", file_sha256(tmp_path / "weights"), CPU)


def test_the_reference_comes_back_from_its_file(reference):
    statistics, root = reference
    assert statistics.mean == pytest.approx([20], rel=1e-6)
    assert statistics.covariance == pytest.approx(np.array([[100]]), rel=1e-6)
    assert root**2 == pytest.approx(np.array([[100]]), rel=1e-6)
    assert statistics.count == 3


def test_a_reference_of_other_weights_is_refused(reference, tmp_path):
    (tmp_path / "weights").write_bytes(b"other")
    with pytest.raises(UserError, match=r"reference.npz was computed with other weights.*Delete it"):
        read_reference(tmp_path / "reference.npz", file_sha256(tmp_path / "weights"), CPU)


def own(*names: str) -> dict[str, tuple[str, str]]:
    """Each image set as a metric of its own, against the test split."""
    return {name: (name, "test") for name in names}


def test_one_row_a_comparison_in_their_order(reference):
    sets = {"test_recon": flat(10, 20, 30), "gmm": flat(50, 52, 54, 56), "mvg": flat(40, 41)}
    scores = score_cell("ok", sets, own(*sets), {"test": reference}, OneFeature(), 3, CPU)
    assert list(scores["metric"]) == list(sets)
    assert list(scores["images"]) == [3, 4, 2]
    assert list(scores["status"]) == ["ok"] * 3
    deviation = {name: np.std(images[:, 0, 0, 0], ddof=1) for name, images in sets.items()}
    expected = [0, (53 - 20) ** 2 + (deviation["gmm"] - 10) ** 2, (40.5 - 20) ** 2 + (deviation["mvg"] - 10) ** 2]
    assert list(scores["frechet_distance"]) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_one_image_set_is_held_against_each_split_that_is_asked_for(reference):
    """Training images' reconstructions against test images, as in the paper, and against training images."""
    mean, covariance, root = (torch.tensor(x, dtype=torch.float64) for x in ([50.0], [[4.0]], [[2.0]]))
    train = Statistics(mean, covariance, 9), root
    comparisons = {"train_recon": ("train_recon", "test"), "train_recon_vs_train": ("train_recon", "train")}
    sets, references = {"train_recon": flat(40, 60)}, {"test": reference, "train": train}
    scores = score_cell("ok", sets, comparisons, references, OneFeature(), 3, CPU).set_index("metric")
    deviation = np.std([40, 60], ddof=1)
    expected = {"train_recon": 30**2 + (deviation - 10) ** 2, "train_recon_vs_train": (deviation - 2) ** 2}
    assert scores["frechet_distance"].to_dict() == pytest.approx(expected, rel=1e-5)


def test_a_diverged_cell_keeps_its_rows_without_a_distance_and_needs_no_network(reference):
    empty = np.zeros((0, 3, 8, 8), np.uint8)
    scores = score_cell(
        "diverged", {"train_recon": empty, "mvg": empty}, own("train_recon", "mvg"), {"test": reference}, None, 3, CPU
    )
    assert list(scores["metric"]) == ["train_recon", "mvg"]
    assert scores["frechet_distance"].isna().all()
    assert list(scores["images"]) == [0, 0]
    assert set(scores["status"]) == {"diverged"}


def test_features_that_are_not_finite_are_refused_by_the_name_of_their_metric(reference):
    with pytest.raises(UserError, match="features of 2 of 2 images of mvg are not finite"):
        score_cell("ok", {"mvg": flat(1, 2)}, own("mvg"), {"test": reference}, Broken(), 3, CPU)


@pytest.mark.parametrize("status", ["ok", "diverged"])
def test_columns_and_types_do_not_depend_on_the_cell(reference, status):
    scores = score_cell(status, {"mvg": flat(1, 2)}, own("mvg"), {"test": reference}, OneFeature(), 3, CPU)
    table = identified(scores, {**CELL, "depth": 3321, "filters": "8"}, "own", "classifier", 0.9, 0.1)
    assert list(table.columns) == COLUMNS
    assert table.loc[0, ["dataset", "model", "filters", "depth", "latent", "seed", "extractor"]].to_dict() == {
        **CELL,
        "extractor": "classifier",
    }
    assert table["frechet_distance"].dtype == np.float64
    for column in ("filters", "latent", "seed", "images", "reference_images"):
        assert table[column].dtype == np.int64
    for column in ("dataset", "model", "depth", "extractor", "metric", "status"):
        assert pd.api.types.is_string_dtype(table[column])
