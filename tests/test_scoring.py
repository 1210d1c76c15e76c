"""Scores of a cell: the rows, the values against a computation by hand, measures from files, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import file_sha256, write_npz
from autoencoders.scores.cell_scores import (
    COLUMNS,
    Reference,
    identified,
    read_reference,
    reference_arrays,
    score_cell,
)

CPU = torch.device("cpu")
CELL = {"dataset": "digits", "model": "dae", "filters": 8, "depth": "3321", "latent": 4, "seed": 0}
FRECHET = {"frechet": {"kind": "frechet"}}


def brightness(images: torch.Tensor) -> torch.Tensor:
    """An image's mean brightness in levels: a Fréchet distance of one dimension has a closed form."""
    return 255 * images.mean(dim=(1, 2, 3)).unsqueeze(1)


def colours(images: torch.Tensor) -> torch.Tensor:
    """An image's mean red, green and blue in levels."""
    return 255 * images.mean(dim=(2, 3))


def broken(images: torch.Tensor) -> torch.Tensor:
    return brightness(images) * torch.nan


def flat(*levels: int) -> np.ndarray:
    """Images of one level each, uint8 (N, 3, 8, 8)."""
    return np.broadcast_to(np.array(levels, np.uint8).reshape(-1, 1, 1, 1), (len(levels), 3, 8, 8)).copy()


def coloured(count: int, seed: int) -> np.ndarray:
    """Images of one colour each, uint8 (N, 3, 8, 8)."""
    colour = np.random.default_rng(seed).integers(0, 256, (count, 3, 1, 1), np.uint8)
    return np.broadcast_to(colour, (count, 3, 8, 8)).copy()


@pytest.fixture
def make_reference(tmp_path):
    """Writes and reads a reference as the rules do."""

    def make(images=None, measures=FRECHET, extractor=brightness) -> Reference:
        images = flat(10, 20, 30) if images is None else images
        (tmp_path / "weights").write_bytes(b"weights")
        arrays = reference_arrays(extractor, images, tmp_path / "weights", measures, 2, CPU)
        write_npz(tmp_path / "reference.npz", {**arrays, "indices": np.arange(len(images))})
        return read_reference(tmp_path / "reference.npz", file_sha256(tmp_path / "weights"), CPU)

    return make


@pytest.fixture
def reference(make_reference) -> Reference:
    return make_reference()


@pytest.fixture
def own_measure(tmp_path):
    """Writes a measure of one's own; returns the path for the config."""

    def write(text: str) -> str:
        path = tmp_path / f"own{len(list(tmp_path.glob('own*.py')))}.py"
        path.write_text(text)
        return str(path)

    return write


def own(*names: str) -> dict[str, tuple[str, str]]:
    """Each image set in a comparison of its own, with the test split."""
    return {name: (name, "test") for name in names}


def score(sets, reference, measures, extractor=brightness, status="ok", comparisons=None, seed=0) -> pd.DataFrame:
    references = reference if isinstance(reference, dict) else {"test": reference}
    return score_cell(status, sets, comparisons or own(*sets), references, measures, extractor, 3, CPU, seed)


def test_the_reference_comes_back_from_its_file(reference):
    assert reference.features.dtype == torch.float32
    np.testing.assert_allclose(reference.features, [[10], [20], [30]], rtol=1e-6)
    assert set(reference.prepared) == {"frechet"}
    prepared = reference.prepared["frechet"]
    assert set(prepared) == {"mean", "covariance", "root"}
    assert all(tensor.dtype == torch.float64 for tensor in prepared.values())
    assert prepared["mean"] == pytest.approx([20], rel=1e-6)
    assert prepared["covariance"] == pytest.approx(np.array([[100]]), rel=1e-6)
    assert prepared["root"] ** 2 == pytest.approx(np.array([[100]]), rel=1e-6)


def test_a_reference_of_other_weights_is_refused(reference, tmp_path):
    (tmp_path / "weights").write_bytes(b"other")
    with pytest.raises(UserError, match=r"reference.npz was computed with other weights.*Delete it"):
        read_reference(tmp_path / "reference.npz", file_sha256(tmp_path / "weights"), CPU)


def test_one_row_a_comparison_in_their_order(reference):
    sets = {"test_recon": flat(10, 20, 30), "gmm": flat(50, 52, 54, 56), "mvg": flat(40, 41)}
    scores = score(sets, reference, FRECHET)
    assert list(scores["comparison"]) == list(sets)
    assert list(scores["measure"]) == ["frechet"] * 3
    assert list(scores["images"]) == [3, 4, 2]
    assert list(scores["reference_images"]) == [3, 3, 3]
    assert list(scores["status"]) == ["ok"] * 3
    deviation = {name: np.std(images[:, 0, 0, 0], ddof=1) for name, images in sets.items()}
    expected = [0, (53 - 20) ** 2 + (deviation["gmm"] - 10) ** 2, (40.5 - 20) ** 2 + (deviation["mvg"] - 10) ** 2]
    assert list(scores["value"]) == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert scores["error"].isna().all()


def test_one_image_set_is_held_against_each_split_that_is_asked_for(reference, make_reference):
    """Training images' reconstructions against test images, as in the paper, and against training images."""
    train = make_reference(flat(48, 50, 50, 52))
    comparisons = {"train_recon": ("train_recon", "test"), "train_recon_vs_train": ("train_recon", "train")}
    scores = score(
        {"train_recon": flat(40, 60)}, {"test": reference, "train": train}, FRECHET, comparisons=comparisons
    ).set_index("comparison")
    deviation = np.std([40, 60], ddof=1)
    expected = {
        "train_recon": 30**2 + (deviation - 10) ** 2,
        "train_recon_vs_train": (deviation - np.std([48, 50, 50, 52], ddof=1)) ** 2,
    }
    assert scores["value"].to_dict() == pytest.approx(expected, rel=1e-5)
    assert scores["reference_images"].to_dict() == {"train_recon": 3, "train_recon_vs_train": 4}


NEAREST = """
OPTIONS = {"neighbours": {"type": "integer", "default": 1, "before": 1, "description": "a whole number"}}


def measure(features, reference, options, **_):
    import torch

    distances = torch.cdist(features, reference).sort(dim=1).values
    return distances[:, : options["neighbours"]].mean()
"""


def test_a_measure_of_ones_own_has_both_whole_sets_of_features(own_measure, make_reference):
    """One that no mean and covariance tell. An option that the config's entry lacks has the value of before it."""
    kind = own_measure(NEAREST)
    measures = {"nearest": {"kind": kind}, **FRECHET, "two_nearest": {"kind": kind, "neighbours": 2}}
    pictures, sets = coloured(20, 0), {"gmm": coloured(7, 1), "mvg": coloured(5, 2)}
    scores = score(sets, make_reference(pictures, measures, colours), measures, colours)
    assert list(zip(scores["comparison"], scores["measure"], strict=True)) == [
        *(("gmm", "nearest"), ("gmm", "frechet"), ("gmm", "two_nearest")),
        *(("mvg", "nearest"), ("mvg", "frechet"), ("mvg", "two_nearest")),
    ]
    assert list(scores["images"]) == [7] * 3 + [5] * 3
    values = scores.set_index(["comparison", "measure"])["value"]
    for name, images in sets.items():
        difference = images[:, None, :, 0, 0].astype(float) - pictures[None, :, :, 0, 0]
        distances = np.sort(np.sqrt((difference**2).sum(axis=2)), axis=1)
        assert values[name, "nearest"] == pytest.approx(distances[:, 0].mean(), rel=1e-4)
        assert values[name, "two_nearest"] == pytest.approx(distances[:, :2].mean(), rel=1e-4)


PREPARES = """
OPTIONS = {"power": {"type": "integer", "default": 1, "description": "a whole number"}}


def prepare(reference, options):
    import numpy as np

    powers = reference ** options["power"]
    return {"mean": powers.double().mean(dim=0), "each": powers.numpy(), "count": np.int64(len(reference))}


def measure(features, reference, options, *, prepared, **_):
    import torch

    assert set(prepared) == {"mean", "each", "count"}
    assert all(isinstance(value, torch.Tensor) and value.device.type == "cpu" for value in prepared.values())
    assert torch.equal(prepared["each"], reference ** options["power"])
    assert prepared["mean"].dtype == torch.float64 and prepared["count"].dtype == torch.int64
    assert prepared["count"] == 3
    return float(prepared["mean"])
"""


def test_what_a_measure_prepares_comes_back_as_tensors_of_its_own_entry(own_measure, make_reference):
    kind = own_measure(PREPARES)
    nothing = own_measure("def measure(features, reference, options, *, prepared, **_): return len(prepared)")
    measures = {
        "first": {"kind": kind, "power": 1},
        "third": {"kind": kind, "power": 3},
        "nothing": {"kind": nothing},
    }
    scores = score({"mvg": flat(1, 2)}, make_reference(measures=measures), measures).set_index("measure")
    expected = {"first": 20, "third": (10**3 + 20**3 + 30**3) / 3, "nothing": 0}
    assert scores["value"].to_dict() == pytest.approx(expected, rel=1e-6)


def test_a_measure_may_know_its_error(own_measure, make_reference):
    both = """
def measure(features, reference, options, **_):
    return features.mean(), features.std() / len(features) ** 0.5
"""
    measures = {"level": {"kind": own_measure(both)}, **FRECHET}
    scores = score({"mvg": flat(1, 2, 6)}, make_reference(), measures).set_index("measure")
    assert scores.loc["level", "value"] == pytest.approx(3, rel=1e-6)
    assert scores.loc["level", "error"] == pytest.approx(np.std([1, 2, 6], ddof=1) / 3**0.5, rel=1e-6)
    assert np.isnan(scores.loc["frechet", "error"])


@pytest.mark.parametrize(
    "result", ["None", "'far'", "{}", "(1, 2, 3)", "(1, None)", "features", "features.numpy()", "1j"]
)
def test_a_measure_that_returns_nonsense_is_named(own_measure, reference, result):
    kind = own_measure(f"def measure(features, reference, options, **_): return {result}")
    with pytest.raises(UserError, match=r"(?s)the measure odd_one returned .*has to return a number"):
        score({"mvg": flat(1, 2)}, reference, {**FRECHET, "odd_one": {"kind": kind}})


def test_what_a_measure_draws_is_the_same_again_and_another_elsewhere(own_measure, reference):
    kind = own_measure("def measure(features, reference, options, *, random, **_): return random.random()")
    measures = {"drawn": {"kind": kind}, "drawn_too": {"kind": kind}}
    sets = {"gmm": flat(1, 2), "mvg": flat(1, 2)}
    # One image set in two comparisons is as two image sets.
    comparisons = {**own(*sets), "mvg_again": ("mvg", "test")}
    first, again, other = (score(sets, reference, measures, comparisons=comparisons, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert len({*first["value"], *other["value"]}) == 3 * 2 * 2
    # Nor does it depend on what else is scored.
    alone = score({"mvg": sets["mvg"]}, reference, {"drawn_too": measures["drawn_too"]})
    expected = first[(first["comparison"] == "mvg") & (first["measure"] == "drawn_too")]
    assert alone["value"].tolist() == expected["value"].tolist()


def test_a_diverged_cell_keeps_its_rows_without_a_value_and_needs_no_extractor(own_measure, reference):
    never = own_measure("def measure(features, reference, options, **_): raise AssertionError('it was asked')")
    measures = {**FRECHET, "never": {"kind": never}}
    empty = np.zeros((0, 3, 8, 8), np.uint8)
    scores = score({"train_recon": empty, "mvg": empty}, reference, measures, None, "diverged")
    assert list(zip(scores["comparison"], scores["measure"], strict=True)) == [
        *(("train_recon", "frechet"), ("train_recon", "never")),
        *(("mvg", "frechet"), ("mvg", "never")),
    ]
    assert scores[["value", "error"]].isna().all(axis=None)
    assert list(scores["images"]) == [0] * 4
    assert list(scores["reference_images"]) == [3] * 4
    assert set(scores["status"]) == {"diverged"}


def test_features_that_are_not_finite_are_refused_by_the_name_of_their_images(reference, make_reference):
    with pytest.raises(UserError, match="features of 2 of 2 images of mvg are not finite"):
        score({"mvg": flat(1, 2)}, reference, FRECHET, broken)
    with pytest.raises(UserError, match="features of 3 of 3 images of the reference are not finite"):
        make_reference(extractor=broken)


@pytest.mark.parametrize("status", ["ok", "diverged"])
def test_columns_and_types_do_not_depend_on_the_cell(own_measure, reference, status):
    whole = own_measure("def measure(features, reference, options, **_): return 1, 2")
    images = flat(1, 2) if status == "ok" else flat()
    scores = score({"mvg": images}, reference, {**FRECHET, "whole": {"kind": whole}}, status=status)
    table = identified(scores, {**CELL, "depth": 3321, "filters": "8"}, "classifier", 0.9, 0.1)
    assert list(table.columns) == COLUMNS
    assert table.loc[0, ["dataset", "model", "filters", "depth", "latent", "seed", "extractor"]].to_dict() == {
        **CELL,
        "extractor": "classifier",
    }
    assert table.loc[0, ["extractor_accuracy", "extractor_chance"]].tolist() == [0.9, 0.1]
    for column in ("value", "error", "extractor_accuracy", "extractor_chance"):
        assert table[column].dtype == np.float64
    for column in ("filters", "latent", "seed", "images", "reference_images"):
        assert table[column].dtype == np.int64
    for column in ("dataset", "model", "depth", "extractor", "comparison", "measure", "status"):
        assert pd.api.types.is_string_dtype(table[column])


def test_what_is_prepared_keeps_names_with_a_slash_and_is_refused_where_it_is_no_array_of_numbers():
    from autoencoders.scores.cell_scores import on_host

    assert on_host(torch.ones(2, requires_grad=True), "mine/a").tolist() == [1, 1]
    assert on_host(0.1, "mine/a").dtype == np.float64
    for value in ("text", ["a", "b"], [1, [2]], {"a": 1}, None):
        with pytest.raises(UserError, match="mine/a, which the measure has prepared"):
            on_host(value, "mine/a")


def test_an_error_below_zero_is_refused_and_a_value_that_is_not_finite_told_of(own_measure, reference, caplog):
    kind = own_measure("def measure(features, reference, options, **_): return 1.0, -2.0")
    with pytest.raises(UserError, match=r"the measure odd_one returned the error -2\.0, which is below 0"):
        score({"mvg": flat(1, 2)}, reference, {"odd_one": {"kind": kind}})
    kind = own_measure("def measure(features, reference, options, **_): return float('nan')")
    assert score({"mvg": flat(1, 2)}, reference, {"odd_one": {"kind": kind}})["value"].isna().all()
    assert "odd_one of mvg is nan" in caplog.text
