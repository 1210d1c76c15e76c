"""Scores of a cell: rows, values computed by hand, measures from files, and refusals."""

import numpy as np
import pandas as pd
import pytest
import torch

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import file_sha256, write_npz
from autoencoders.scores.cell_scores import Reference, identified, read_reference, reference_arrays, score_cell

CPU = torch.device("cpu")
CELL = {"dataset": "digits", "model": "dae", "filters": 8, "depth": "3321", "latent": 4, "seed": 0}
FRECHET = {"frechet": {"kind": "frechet"}}


def brightness(images: torch.Tensor) -> torch.Tensor:
    """An image's mean brightness in levels: a Fréchet distance of one dimension has a closed form."""
    return 255 * images.mean(dim=(1, 2, 3)).unsqueeze(1)


def flat(*levels: int) -> np.ndarray:
    """Images of one level each, uint8 (N, 3, 8, 8)."""
    return np.broadcast_to(np.array(levels, np.uint8).reshape(-1, 1, 1, 1), (len(levels), 3, 8, 8)).copy()


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
def own(tmp_path):
    """Writes a measure whose function is ``body``; returns the config's entry."""

    def write(body: str, more: str = "", **options) -> dict:
        path = tmp_path / f"own{len(list(tmp_path.glob('own*.py')))}.py"
        path.write_text(
            f"{more}\n\ndef measure(features, reference, options, *, prepared, random, shared):\n    {body}\n",
            encoding="utf-8",
        )
        return {"kind": str(path), **options}

    return write


def score(sets, reference, measures, extractor=brightness, status="ok", comparisons=None, seed=0) -> pd.DataFrame:
    """Each image set in a comparison of its own with the test split, unless ``comparisons`` are given."""
    references = reference if isinstance(reference, dict) else {"test": reference}
    comparisons = comparisons or {name: (name, "test") for name in sets}
    return score_cell(status, sets, comparisons, references, measures, extractor, 3, CPU, seed).table


def test_a_reference_belongs_to_its_extractor(reference, tmp_path):
    assert reference.features.dtype == torch.float32
    with pytest.raises(UserError, match=r"reference.npz was computed with other weights.*Delete it"):
        read_reference(tmp_path / "reference.npz", "0" * 64, CPU)
    write_npz(tmp_path / "old.npz", {"indices": np.arange(3)})
    with pytest.raises(UserError, match=r"old.npz .*--forcerun reference"):
        read_reference(tmp_path / "old.npz", "0" * 64, CPU)


def test_each_comparison_has_a_row_with_its_value_by_hand(reference, make_reference):
    """An image set can be compared with both splits, as the paper's training reconstructions are."""
    sets = {"train_recon": flat(40, 60), "gmm": flat(50, 52, 54, 56), "test_recon": flat(10, 20, 30)}
    comparisons = {name: (name, "test") for name in sets} | {"train_recon_vs_train": ("train_recon", "train")}
    references = {"test": reference, "train": make_reference(flat(48, 50, 50, 52))}
    scores = score(sets, references, FRECHET, comparisons=comparisons)
    assert list(scores["comparison"]) == list(comparisons)
    assert list(scores["images"]) == [2, 4, 3, 2] and list(scores["reference_images"]) == [3, 3, 3, 4]
    deviation = {name: np.std(images[:, 0, 0, 0], ddof=1) for name, images in sets.items()}
    expected = [30**2 + (deviation["train_recon"] - 10) ** 2, 33**2 + (deviation["gmm"] - 10) ** 2, 0]
    expected += [(deviation["train_recon"] - np.std([48, 50, 50, 52], ddof=1)) ** 2]
    assert list(scores["value"]) == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert scores["error"].isna().all()


PREPARES = """
OPTIONS = {"power": {"default": 2, "before": 1, "description": "a whole number"}}

def prepare(reference, options):
    import numpy as np

    powers = reference ** options["power"]
    return {"mean": powers.double().mean(dim=0), "a/each": powers.numpy(), "count": np.int64(len(reference))}
"""


def test_a_measure_from_a_file_gets_all_features_its_options_and_what_it_has_prepared(own, make_reference):
    """A missing option has its value of before the option existed."""
    prepared = "prepared['mean'] + prepared['count'] + prepared['a/each'].numel() / 10"
    mine = own(f"return {prepared} + options['power'] * features.sum() - reference.max()", PREPARES)
    measures = {"first": mine, "third": {**mine, "power": 3}, "none": own("return len(prepared)")}
    reference = make_reference(measures=measures)
    dtypes = {name: tensor.dtype for name, tensor in reference.prepared["third"].items()}
    assert dtypes == {"mean": torch.float64, "a/each": torch.float32, "count": torch.int64}
    scores = score({"gmm": flat(12, 19, 90, 1), "mvg": flat(30, 31)}, reference, measures)
    pairs = [(name, measure) for name in ("gmm", "mvg") for measure in measures]
    assert list(zip(scores["comparison"], scores["measure"], strict=True)) == pairs
    # Of 10, 20 and 30, by hand.
    prepared = {1: 20 + 3.3, 3: (10**3 + 20**3 + 30**3) / 3 + 3.3}
    expected = [prepared[power] + power * total - 30 for total in (122, 61) for power in (1, 3)]
    assert scores[scores["measure"] != "none"]["value"].tolist() == pytest.approx(expected, rel=1e-6)
    assert (scores[scores["measure"] == "none"]["value"] == 0).all()


def test_a_baseline_is_a_row_of_the_test_images(own, make_reference):
    mine = own("return 7", "def prepare(reference, options): return {'baseline': reference.max()}")
    measures = {**FRECHET, "mine": mine}
    references = {"test": make_reference(measures=measures), "train": make_reference(flat(1, 90), measures)}
    comparisons = {"mvg": ("mvg", "test"), "train_recon_vs_train": ("mvg", "train")}
    for status, value, sets in (("ok", 30, {"mvg": flat(1, 2)}), ("diverged", np.nan, {"mvg": flat()})):
        scores = score(sets, references, measures, status=status, comparisons=comparisons)
        assert len(scores) == 2 * 2 + 1
        expected = {"comparison": "test_images", "measure": "mine", "value": value, "error": np.nan}
        expected |= {"images": 3, "reference_images": 3, "status": status}
        pd.testing.assert_series_equal(scores.iloc[-1], pd.Series(expected), check_names=False, check_dtype=False)


@pytest.mark.parametrize("value", ["'text'", "['a', 'b']", "[1, [2]]", "{'a': 1}", "None"])
def test_only_arrays_of_numbers_can_be_prepared(own, make_reference, value):
    measures = {"mine": own("return 1", f"def prepare(reference, options): return {{'a': {value}}}")}
    with pytest.raises(UserError, match="mine/a, which the measure prepared"):
        make_reference(measures=measures)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        *((text, "return a number") for text in ("None", "'far'", "(1, 2, 3)", "(1, None)", "features.numpy()", "1j")),
        ("1.0, -2.0", r"the error -2\.0, which is below 0"),
    ],
)
def test_a_measure_that_returns_nonsense_is_named(own, reference, result, message):
    with pytest.raises(UserError, match=rf"(?s)the measure odd_one returned .*{message}"):
        score({"mvg": flat(1, 2)}, reference, {**FRECHET, "odd_one": own(f"return {result}")})


@pytest.mark.parametrize(
    "change", ["reference.div_(2)", "features.numpy()[0] = 7", "reference.copy_(reference.flip(0))"]
)
def test_a_measure_that_changes_what_it_is_given_is_named(own, reference, change):
    """Measures after it, and comparisons, would be of other features."""
    with pytest.raises(UserError, match="the measure mine changes the features that it is given"):
        score({"mvg": flat(1, 2)}, reference, {"mine": own(f"{change}; return 1.0"), **FRECHET})
    copies = "features, reference = features.clone(), reference.clone()"
    score({"mvg": flat(1, 2)}, reference, {"mine": own(f"{copies}; {change}; return 1.0")})


def test_a_measure_that_changes_what_it_has_prepared_is_named(own, make_reference):
    prepare = "def prepare(reference, options): return {'mean': reference.mean(0)}"
    measures = {"mine": own("prepared['mean'] -= 1; return 1.0", prepare)}
    with pytest.raises(UserError, match="what it has prepared"):
        score({"mvg": flat(1, 2)}, make_reference(measures=measures), measures)


def test_a_measure_that_changes_the_reference_before_it_is_stored_is_named(own, make_reference):
    prepare = "def prepare(reference, options): return {'a': reference.sub_(1)}"
    with pytest.raises(UserError, match="the measure mine changes the features"):
        make_reference(measures={"mine": own("return 1", prepare)})


def test_a_value_that_is_not_finite_is_logged(own, reference, caplog):
    assert score({"mvg": flat(1, 2)}, reference, {"odd_one": own("return float('nan')")})["value"].isna().all()
    assert "odd_one of mvg is nan" in caplog.text


def test_random_numbers_depend_on_seed_measure_and_comparison_alone(own, reference):
    drawn = own("return random.random()")
    measures, sets = {"drawn": drawn, "drawn_too": drawn}, {"gmm": flat(1, 2), "mvg": flat(1, 2)}
    comparisons = {"gmm": ("gmm", "test"), "mvg": ("mvg", "test"), "mvg_again": ("mvg", "test")}
    first, again, other = (score(sets, reference, measures, comparisons=comparisons, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert len({*first["value"], *other["value"]}) == 3 * 2 * 2
    alone = score({"mvg": sets["mvg"]}, reference, {"drawn_too": drawn})
    expected = first[(first["comparison"] == "mvg") & (first["measure"] == "drawn_too")]
    assert alone["value"].tolist() == expected["value"].tolist()


def test_features_that_are_not_finite_are_refused(reference, make_reference):
    with pytest.raises(UserError, match="features of 2 of 2 images of mvg are not finite"):
        score({"mvg": flat(1, 2)}, reference, FRECHET, lambda images: brightness(images) * torch.nan)
    with pytest.raises(UserError, match="features of 3 of 3 images of the reference are not finite"):
        make_reference(extractor=lambda images: brightness(images) * torch.nan)


def test_a_diverged_cell_keeps_its_rows_and_types_without_values_and_needs_no_extractor(own, reference):
    measures, tables = {**FRECHET, "whole": own("assert len(features); return 1, 2")}, {}
    for status, images, network in (("ok", flat(1, 2), brightness), ("diverged", flat(), None)):
        scores = score({"mvg": images}, reference, measures, network, status)
        table = identified(scores, {**CELL, "depth": 3321, "filters": "8"}, "classifier", 0.9, 0.1)
        assert table.loc[0, [*CELL, "extractor"]].to_dict() == {**CELL, "extractor": "classifier"}
        assert table.loc[0, ["extractor_accuracy", "extractor_chance"]].tolist() == [0.9, 0.1]
        assert list(table["measure"]) == ["frechet", "whole"] and set(table["status"]) == {status}
        assert list(table["images"]) == [len(images)] * 2 and list(table["reference_images"]) == [3] * 2
        # A measure may know its error.
        assert table["error"].isna().tolist() == [True, status == "diverged"]
        assert table["value"].isna().all() == (status == "diverged")
        tables[status] = table
    types = dict.fromkeys(("value", "error", "extractor_accuracy", "extractor_chance"), "f")
    types |= dict.fromkeys(("filters", "latent", "seed", "images", "reference_images"), "i")
    assert {name: tables["ok"][name].dtype.kind for name in types} == types
    assert tables["ok"].dtypes.to_dict() == tables["diverged"].dtypes.to_dict()


def test_the_nearest_training_image_of_every_image_is_found_among_all_of_them(make_reference):
    """As in NumPy, and only where features of all training images are given."""
    random = np.random.default_rng(0)
    sets = {name: random.integers(0, 256, (count, 3, 4, 4), dtype=np.uint8) for name, count in (("a", 7), ("b", 5))}

    def pixels(images):
        return images.flatten(1)

    features = {name: sets[name].reshape(len(sets[name]), -1).astype(np.float32) / 255 for name in sets}
    training = random.random((30, 48), dtype=np.float32)
    test = Reference(torch.from_numpy(random.random((9, 48), dtype=np.float32)), {})
    comparisons, measures = {name: (name, "test") for name in sets}, {"vendi": {"kind": "vendi"}}
    references = {"test": test, "training": Reference(torch.from_numpy(training), {})}
    found = score_cell("ok", sets, comparisons, references, measures, pixels, 3, CPU, 0).nearest
    assert set(found) == set(sets)
    for name, (squared, index) in found.items():
        expected = ((features[name][:, None] - training[None]) ** 2).sum(axis=2)
        assert index.tolist() == expected.argmin(axis=1).tolist()
        assert squared.numpy() == pytest.approx(expected.min(axis=1), rel=1e-5)
    assert score_cell("ok", sets, comparisons, {"test": test}, measures, pixels, 3, CPU, 0).nearest == {}


def test_a_measure_of_classes_gets_the_logits_of_both_sides(own):
    """The difference of their means, which of features would be another one."""
    mine = own("return (features.mean() - reference.mean()).item()", more="OF_CLASSES = True")
    images = np.full((4, 3, 2, 2), 51, np.uint8)
    reference = Reference(torch.full((3, 1), 0.1), {})

    def classes(features):
        return 10 * features + 1

    comparisons = {"a": ("a", "test")}
    table = score_cell(
        "ok", {"a": images}, comparisons, {"test": reference}, {"mine": mine}, brightness, 3, CPU, 0, classes
    ).table
    expected = 10 * (brightness(torch.full((1, 3, 2, 2), 0.2)).item() - 0.1)
    assert table["value"].item() == pytest.approx(expected, rel=1e-5)
