"""Tuning: validation images held out of training images, models with multiplied weights, and the choice among them."""

import io
from collections import Counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import test_tables as tables
import yaml
from PIL import Image
from running import copy_project, laid_over, planned, snakemake
from test_settings import fault_of

from autoencoders.config import grid, settings, tuning
from autoencoders.data.preparation import prepare
from autoencoders.data.validation_split import describe_held_out, hold_out
from autoencoders.evidence.display_names import dataset_label, model_label
from autoencoders.evidence.paper_values import TRAINING_IMAGES, papers_images
from autoencoders.evidence.redraw_noise import redraw_noise
from autoencoders.evidence.score_tables import collect_scores, on_test_images, table2, table3
from autoencoders.evidence.table_files import write_table
from autoencoders.evidence.tuning import native_scores, tuning_sections, tuning_table
from autoencoders.figures.tuning_figure import tuning_figure
from autoencoders.jobs.errors import UserError

FACTORS = [0.1, 0.3, 1, 3, 10]


@pytest.fixture
def paper(project) -> dict:
    return yaml.safe_load((project / "config" / "config.yaml").read_text(encoding="utf-8"))


def resolved(paper: dict, change: str = "{}") -> dict:
    return settings.resolve(laid_over(paper, yaml.safe_load(change)))


# ---- datasets


def test_a_validation_dataset_has_the_images_of_another_and_keys_of_its_own(paper):
    change = """
    datasets:
      cifar10: { source: parquet, test_fraction: 0.3, limit: { train: 20000 }, latent: 64, comparison_latent: 64 }
      early: { validation_of: late, latent: 7, extractors: [random], test_fraction: 0.1 }
      late: { source: sklearn, sklearn: { name: digits }, test_fraction: 0.4, latent: [3, 5], size: 64 }
    """
    datasets = resolved(paper, change)["datasets"]
    base, held_out = datasets["cifar10"], datasets["cifar10-validation"]
    assert held_out == base | {"validation_of": "cifar10", "test_fraction": 0.2}
    assert held_out["parquet"]["image"] == "img"
    early = {"validation_of": "late", "latent": 7, "comparison_latent": 7, "extractors": ["random"]}
    assert datasets["early"] == datasets["late"] | early | {"test_fraction": 0.1}
    assert (datasets["late"]["test_fraction"], datasets["early"]["size"]) == (0.4, 64)
    assert grid.tested_datasets(resolved(paper, change)) == ["cifar10", "celeba", "late"]


REFUSED = [
    ("datasets: {v: {validation_of: cifar}}", "v.validation_of: there is no dataset 'cifar'. Write one of cifar10, ce"),
    ("datasets: {v: {validation_of: v}}", "v.validation_of: its images can't be held out of itself. Write one of cif"),
    (
        "datasets: {v: {validation_of: cifar10-validation}}",
        "held out of cifar10-validation, which is a validation split too. Write one of cifar10, celeba.",
    ),
    *(
        (
            f"datasets: {{v: {{validation_of: cifar10, {key}: {value}}}}}",
            f"v.{key}: a validation dataset has the images of cifar10, prepared as there. Remove this key, or write it",
        )
        for key, value in {"size": 32, "crop": "null", "limit": "{train: 9}", "source": "torchvision"}.items()
    ),
    ("datasets: {v: {size: 32}}", "datasets.v lacks the key 'source'. Write a dataset, as in"),
    ("datasets: {v: {validation_of: 3}}", "v.validation_of: 3 can't be used here. Write the name of another dataset"),
    # Of what a validation dataset has from another one, that one's faults are reported once.
    ("datasets: {cifar10: {extractors: [inceptoin]}}", "datasets.cifar10.extractors[0]: there is no extractor"),
    ("{run: [tuning], datasets: {cifar10: {crop: 33}}}", "datasets.cifar10.crop: 33 is larger than the images"),
    # Grids.
    *(
        (f"experiments: {{tuning: [{{dataset: cifar10-validation, filters: 8, {grid}}}]}}", words)
        for grid, words in {
            "model: [vae, dae], weight_factors: [1, 2]": "tuning[0].model: dae has no weight to tune. Leave it out.",
            "model: vae, weight_factors: [0.1, 10]": "[0.1, 10] lacks 1, the weights as they are described. Add it.",
            "model: vae, weight_factors: [1, 2, 2.0000001]": "has two factors with the same six digits. Remove one.",
            "model: vae, weight_factors: [1, 0]": "0 can't be used here. Write two or more factors from 0.001 to 1000",
            "model: vae, weight_factors: [1, 1.0]": "[1, 1.0] can't be used here. Write two or more factors",
            "model: vae, weight_factors: [1]": "[1] can't be used here. Write two or more factors",
            "model: veu, weight_factors: [1, 2]": "there is no model 'veu'. Did you mean 'vae'?",
        }.items()
    ),
    (
        "experiments: {tuning: [{dataset: cifar10, model: vae, filters: 8, weight_factors: [1, 2]}]}",
        "tuning[0].dataset: weights would be chosen by the test images of cifar10. Describe and write a dataset that",
    ),
    ("models: {wae-x0.3: {}}", "models.wae-x0.3: experiments.tuning[0] has another model of this name. Rename yours."),
    # The weights that another grid makes are no models of the config.
    (
        "experiments: {mine: [{dataset: cifar10, model: wae-x0.3, filters: 8}]}",
        "mine[0].model: there is no model 'wae-x0.3'.",
    ),
    (
        "{run: [tuning], run_priors: [mvg], models: {rae: {native_prior: null}}}",
        "run_priors: the weights of rae are chosen by samples from the prior gmm. Add gmm",
    ),
    (
        "{run: [scatter], experiments: "
        "{scatter: [{dataset: cifar10-validation, model: vae, filters: 8, latent: 4, weight_factors: [1, 2]}]}}",
        "experiments.scatter: weight_factors can't be used here.",
    ),
    ("experiments: {tuning-mine: [{dataset: cifar10, model: dae, filters: 8}]}", "the name of another experiment's"),
]


@pytest.mark.parametrize(("change", "words"), REFUSED, ids=[change for change, _ in REFUSED])
def test_a_wrong_config_is_refused_with_what_to_write(paper, change, words):
    assert words in fault_of(laid_over(paper, yaml.safe_load(change)))


# ---- settings


def test_models_have_their_weights_times_each_factor(paper):
    config = resolved(paper, "{run: [tuning], models: {both: {variational: true, beta: 2}}}")
    models = config["models"]
    assert models["wae-x3"]["penalties"]["mmd"]["weight"] == {"cifar10": 0.06, "celeba": 1.5}
    assert models["rae-l2-x0.1"]["penalties"] == {
        "norm": {"kind": "code_norm", "weight": {"cifar10": 0.0003, "celeba": 3.0e-5}},
        "decay": models["rae-l2"]["penalties"]["decay"] | {"weight": {"cifar10": 3.0e-7, "celeba": 3.0e-8}},
    }
    assert models["vae-x0.3"] == models["vae"] | {"beta": 0.003}
    assert models["rae-sn-x10"]["latent_norm"] == "spectral_all"
    assert "both-x3" not in models and "dae-x3" not in models
    # A variational model with penalties: both.
    own = {"mine": {"kind": "kinds/mine.py", "weight": 4}}
    assert tuning.scaled({**models["both"], "penalties": own}, 0.25) == {
        **models["both"],
        **{"beta": 0.5, "penalties": {"mine": {"kind": "kinds/mine.py", "weight": 1.0}}},
    }
    # As they were without any of this.
    described = [*paper["models"], "both"]
    assert grid.described_models(config) == described == list(models)[: len(described)]
    del paper["experiments"]["tuning"]
    before = resolved(paper)
    assert {name: models[name] for name in before["models"]} == before["models"]
    assert list(before["models"]) == described[:-1]


def test_the_cells_of_tuning_are_all_factors_of_all_methods(paper):
    config = resolved(paper, "run: [tuning]")
    cells = grid.cells(config)
    methods = ["vae", "wae", "ae-l2", "rae", "rae-l2", "rae-sn", "rae-gp", "eae", "gmm-dae"]
    expected = {(f"{name}-x{factor:g}" if factor != 1 else name) for name in methods for factor in FACTORS}
    assert {cell["model"] for cell in cells} == expected and len(cells) == 9 * 5 * 2
    assert {cell["dataset"] for cell in cells} == {"cifar10-validation"}
    assert cells == grid.tuning_cells(config) and not grid.tuning_cells(resolved(paper))
    # A run of other experiments as well has their cells too, and none of them is chosen by.
    both = resolved(paper, "run: [noise, tuning]")
    assert len(grid.cells(both)) == 90 + 70 and grid.tuning_cells(both) == cells


def test_weights_by_dataset_are_those_for_the_images(paper):
    config = resolved(paper, "{run: [tuning], datasets: {celeba-validation: {validation_of: celeba}}}")
    for dataset in ("cifar10", "celeba"):
        held_out = grid.objective_options(config, "rae-l2-x3", f"{dataset}-validation")
        assert held_out == grid.objective_options(config, "rae-l2-x3", dataset)
    assert held_out["penalties"]["norm"]["weight"] == 9.0e-4 and held_out["penalties"]["decay"]["dense"] is True
    fault = fault_of(
        laid_over(
            paper, yaml.safe_load("{run: [tuning], models: {eae: {penalties: {entropy: {weight: {celeba: 1}}}}}}")
        )
    )
    assert "none for cifar10, on which the model runs" in fault


def test_the_line_to_write_gives_a_model_the_chosen_weights_and_changes_no_other_dataset(paper):
    config = resolved(paper, "run: [tuning]")
    described = {(row["setting"], row["dataset"]): row for row in tuning.described_settings(config)}
    assert len(described) == 45
    for (name, dataset), row in described.items():
        assert (dataset, row["setting"]) == ("cifar10-validation", grid.factor_model(row["model"], row["factor"]))
        again = resolved(paper, row["line"])
        for other in ("cifar10-validation", "cifar10"):
            wanted = grid.objective_options(config, name, other)
            assert grid.objective_options(again, row["model"], other) == wanted, row["line"]
        kept = grid.objective_options(config, row["model"], "celeba")["penalties"]
        assert grid.objective_options(again, row["model"], "celeba")["penalties"] == kept
        expected = ["celeba"] if row["model"] != "vae" else []
        assert grid.untuned_datasets(again, row["model"]) == expected
    row = described["rae-l2-x10", "cifar10-validation"]
    assert row["line"] == (
        "models: {rae-l2: {penalties: {norm: {weight: {cifar10: 0.03}}, decay: {weight: {cifar10: 3.0e-05}}}, "
        "tuned_on: [cifar10]}}"
    )
    assert row["weights"] == "norm 0.03, decay 3e-05" and row["prior"] == "gmm"
    assert described["vae-x3", "cifar10-validation"]["line"] == "models: {vae: {beta: 0.03}}"


def test_labels():
    names = {"wae-x0.3": "WAE-x0.3", "rae-l2-x10": "RAE-L2-x10", "gmm-dae": "GMM-DAE", "box": "box", "x-x": "x-x"}
    assert {name: model_label(name) for name in names} == names
    names = {"cifar10-validation": "CIFAR-10 validation", "celeba": "CelebA", "mine-validation": "mine-validation"}
    assert {name: dataset_label(name) for name in names} == names


def test_validation_images_are_never_the_papers(paper):
    config = resolved(paper)
    dataset = config["datasets"]["cifar10-validation"]
    assert papers_images("cifar10", config["datasets"]["cifar10"], TRAINING_IMAGES["cifar10"])
    assert not papers_images("cifar10-validation", dataset, TRAINING_IMAGES["cifar10"])


# ---- images


def png(number: int) -> bytes:
    """A picture that no other number has."""
    pixels = np.full((32, 32, 3), (number % 250, number // 250 * 40, 99), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def parquet_dataset(folder, counts: dict[str, int], **more) -> dict:
    """A dataset of the config with so many pictures a split, all different, of four classes."""
    options, number = {"image": "image", "label": "label", "test": None}, 0
    for split, count in counts.items():
        rows = {
            "image": [png(number + index) for index in range(count)],
            "label": [index % 4 for index in range(count)],
        }
        pq.write_table(pa.table(rows), folder / f"{split}.parquet")
        options[split], number = str(folder / f"{split}.parquet"), number + count
    common = {"crop": None, "size": 32, "test_fraction": 0.25, "limit": {"train": None, "test": None}}
    return {"source": "parquet", "parquet": options, **common, **more}


def pixels(images: np.ndarray) -> Counter:
    return Counter(image.tobytes() for image in images)


@pytest.mark.parametrize("counts", [{"train": 200, "test": 40}, {"train": 240}], ids=["test split", "no test split"])
def test_images_are_held_out_of_the_training_images_alone(tmp_path, counts):
    """Judged by their bytes, which are all different."""
    base = prepare(parquet_dataset(tmp_path, counts), tmp_path)
    train, test = base["train"]["images"], base["test"]["images"]
    held_out = hold_out(train, base["train"]["labels"], 0.2)
    kept, chosen = (pixels(held_out[split]["images"]) for split in ("train", "test"))
    assert max((kept + chosen + pixels(test)).values()) == 1
    assert kept + chosen == pixels(train) and len(chosen) == round(0.2 * len(train))
    # Labels belong to their images, and each class is held out alike.
    labels = {image.tobytes(): label for image, label in zip(train, base["train"]["labels"], strict=True)}
    for split in held_out.values():
        assert [labels[image.tobytes()] for image in split["images"]] == split["labels"].tolist()
    assert set(Counter(held_out["test"]["labels"].tolist()).values()) == {len(chosen) // 4}
    again = hold_out(train, base["train"]["labels"], 0.2)
    assert again["test"]["images"].tobytes() == held_out["test"]["images"].tobytes()


def test_limits_count_training_images_before_and_validation_images_after_the_split(tmp_path):
    limit = {"train": 100, "test": 8}
    base = prepare(parquet_dataset(tmp_path, {"train": 200, "test": 40}, limit=limit), tmp_path)
    every = hold_out(base["train"]["images"], None, 0.2)
    some = hold_out(base["train"]["images"], None, 0.2, limit["test"])
    assert (len(every["train"]["images"]), len(every["test"]["images"])) == (80, 20)
    assert some["test"]["images"].tobytes() == every["test"]["images"][:8].tobytes() and "labels" not in some["test"]
    assert some["train"]["images"].tobytes() == every["train"]["images"].tobytes()


def test_a_split_of_one_image_is_refused():
    images = np.zeros((3, 3, 32, 32), np.uint8)
    with pytest.raises(UserError, match=r"The test split .* single image.* change `test_fraction`"):
        hold_out(images, None, 0.2)
    with pytest.raises(UserError, match=r"The train split .* single image"):
        hold_out(images, None, 0.7)


def test_the_record_names_the_dataset_and_its_source(tmp_path):
    base = {"source": {"kind": "sklearn", "name": "digits"}, "crop": 7, "size": 32, "images": {"train": 90}}
    images = np.arange(10 * 3 * 32 * 32).astype(np.uint8).reshape(10, 3, 32, 32)
    record = describe_held_out(base, "digits", hold_out(images, np.arange(10) % 2, 0.2))
    assert record["validation_of"] == "digits" and record["source"] == base["source"]
    assert (record["crop"], record["size"], record["classes"]) == (7, 32, 2)
    assert record["images"] == {"train": 8, "test": 2} and len(set(record["sha256"].values())) == 2


# ---- the table

# Fréchet distances of GMM samples by model, factor and seed; None: diverged.
DISTANCES = {
    "vae": {0.1: (50, 54), 1: (40, 44), 10: (30, 30.5)},  # 52, 42, 30.25: the last, at the edge
    "wae": {0.1: (9, None), 1: (20, 24), 10: (21, 22)},  # the first diverged once; 22, 21.5: within the spread, 2.83
    "rae": {0.1: (7, 8), 1: (5, 6), 10: (None, None)},
    "eae": {0.1: (3, 1), 1: (None, 2), 10: (4, 6)},
}
WEIGHTS = {0.1: "norm 0.1", 1: "norm 1", 10: "norm 10"}


def described(models=DISTANCES, prior="gmm"):
    return [
        {"dataset": "digits-validation", "setting": grid.factor_model(model, factor), "model": model}
        | {
            "factor": float(factor),
            "prior": prior,
            "weights": WEIGHTS[factor],
            "line": f"models: {{{model}: {factor}}}",
        }
        for model in models
        for factor in (0.1, 1, 10)
    ]


def scores(distances=DISTANCES, prior="gmm", **more):
    """Scores of cells; those of other priors are far lower, and would choose others."""
    cells = [
        tables.cell(
            dataset="digits-validation",
            model=grid.factor_model(model, factor),
            seed=seed,
            values={prior: value, "mvg" if prior != "mvg" else "gmm": value and 1 / value},
            **({"status": "diverged"} if value is None else {}),
            **more,
        )
        for model, by_factor in distances.items()
        for factor, values in by_factor.items()
        for seed, value in enumerate(values)
    ]
    return collect_scores(cells)


def test_the_lowest_mean_of_those_that_all_seeds_finished_is_chosen():
    table = tuning_table(scores(), described())
    assert len(table) == 12 and table["model"].unique().tolist() == ["vae", "eae", "rae", "wae"]
    chosen = table[table["chosen"]].set_index("model")["factor"]
    assert chosen.to_dict() == {"vae": 10, "wae": 10, "rae": 1, "eae": 0.1}
    rows = table.set_index(["model", "factor"])
    assert rows.loc[("wae", 10), "frechet_distance"] == 21.5
    assert rows.loc[("wae", 10), "frechet_distance_sd"] == pytest.approx(0.5**0.5)
    once = rows.loc[("wae", 0.1)]
    assert (once["status"], once["seeds"], once["frechet_distance"]) == ("diverged", 1, 9)
    assert rows.loc[("rae", 10), "status"] == "diverged" and np.isnan(rows.loc[("rae", 10), "frechet_distance"])
    assert set(table["prior"]) == {"gmm"} and rows.loc[("vae", 10), "line"] == "models: {vae: 10}"
    # By another prior, of which these values are the reciprocals.
    by_mvg = tuning_table(scores(), described(prior="mvg"))
    assert by_mvg[by_mvg["chosen"]].set_index("model")["factor"].to_dict() == {
        "vae": 0.1,
        "wae": 1,
        "rae": 0.1,
        "eae": 10,
    }


def test_a_setting_with_fewer_seeds_and_a_method_that_always_diverges_choose_nothing():
    assert not tuning_table(scores({"rae": {0.1: (None,), 1: (None,), 10: (None,)}}), described(["rae"]))[
        "chosen"
    ].any()
    uneven = tuning_table(scores({"rae": {0.1: (1,), 1: (5, 6), 10: (7, 7)}}), described(["rae"]))
    assert uneven.set_index("factor")["chosen"].to_dict() == {0.1: False, 1: True, 10: False}
    # Of equal ones, the nearest to the recipe.
    equal = tuning_table(scores({"rae": {0.1: (5,), 1: (5,), 10: (5,)}}), described(["rae"]))
    assert equal.set_index("factor")["chosen"].to_dict() == {0.1: False, 1: True, 10: False}


def test_networks_and_extractors_are_chosen_for_by_themselves():
    flipped = {"rae": {0.1: (1,), 1: (2,), 10: (3,)}}
    wide = scores({"rae": {0.1: (3,), 1: (2,), 10: (1,)}}, filters=16)
    other = scores({"rae": {0.1: (3,), 1: (1,), 10: (2,)}}, extractor="random")
    table = tuning_table(pd.concat([scores(flipped), wide, other]), described(["rae"]))
    chosen = table[table["chosen"]].set_index(["extractor", "filters"])["factor"].to_dict()
    assert chosen == {("classifier", 8): 0.1, ("classifier", 16): 10, ("random", 8): 1}


def test_the_page_shows_what_was_tried_and_what_is_doubtful(tmp_path):
    all_scores = scores()
    table = tuning_table(all_scores, described())
    (section,) = tuning_sections(table, all_scores, described())
    assert section.heading == "digits-validation, classifier"
    assert "FD (classifier features) of samples from each method's own prior, against images held out" in section.text
    assert "10 images with 12,000" in section.text and "91.5%" in section.text and "FID" not in section.text
    rows = section.rows.set_index("Method")
    assert rows.loc["VAE", ["×0.1", "×1", "×10"]].tolist() == ["52.00 ± 2.83", "42.00 ± 2.83", "**30.25 ± 0.35**"]
    assert rows["×0.1"].to_dict() == {
        **{"VAE": "52.00 ± 2.83", "WAE": "diverged", "RAE": "7.50 ± 0.71", "EAE": "**2.00 ± 1.41**"}
    }
    assert rows["Chosen"].to_dict() == {"VAE": "×10", "WAE": "×10", "RAE": "×1", "EAE": "×0.1"}
    assert rows["To write"].to_dict() == {
        **{"VAE": "models: {vae: 10}", "WAE": "models: {wae: 10}", "RAE": "–", "EAE": "models: {eae: 0.1}"}
    }
    assert set(rows["Weights of the recipe"]) == {"norm 1"} and set(rows["Prior"]) == {"GMM"}
    edge, within = "at the grid's edge: extend the grid", "no further from ×1 than seeds are from each other"
    assert rows["Note"].to_dict() == {
        **{"VAE": edge, "WAE": f"{edge}; {within}", "RAE": "–"},
        **{"EAE": f"{edge}; the recipe's own weights diverged"},
    }
    write_table(table, "Tuning", tables.paths(tmp_path), [section])
    assert len(pd.read_parquet(tmp_path / "t.parquet")) == 12
    assert "<b>30.25 ± 0.35</b>" in (tmp_path / "t.html").read_text(encoding="utf-8")


def test_one_seed_has_no_spread():
    one = scores({"rae": {0.1: (1,), 1: (2,), 10: (3,)}})
    (section,) = tuning_sections(tuning_table(one, described(["rae"])), one, described(["rae"]))
    assert section.rows["Note"].tolist() == ["at the grid's edge: extend the grid; one seed: its spread is unknown"]
    assert "One run each." in section.text and section.rows["×0.1"].tolist() == ["**1.00**"]


def test_the_figure_has_a_line_a_method_and_rings_where_the_table_is_bold():
    all_scores = scores()
    table = tuning_table(all_scores, described())
    figure = tuning_figure(table, native_scores(all_scores, described()), ("vae", "wae", "rae", "eae"))
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["RAE"].get_xdata().tolist() == [0.1, 1, 10]
    assert lines["VAE"].get_ydata().tolist() == [52, 42, 30.25]
    np.testing.assert_array_equal(lines["WAE"].get_ydata(), [np.nan, 22, 21.5])
    rings = lines["chosen"]
    assert set(zip(rings.get_xdata(), rings.get_ydata(), strict=True)) == {(10, 30.25), (10, 21.5), (1, 5.5), (0.1, 2)}
    marks = [line.get_xdata()[0] for line in axes.lines if line.get_label() == "diverged"]
    assert sorted(marks) == [0.1, 1, 10]
    assert axes.get_xscale() == axes.get_yscale() == "log" and [text.get_text() for text in axes.get_xticklabels()] == [
        "0.1",
        "1",
        "10",
    ]


def test_other_tables_leave_validation_images_out():
    validation, tested = tables.merged(tables.cell(dataset="v", values=1)), tables.merged(tables.cell(values=2))
    config = {"datasets": {"v": {"validation_of": "digits"}, "digits": {}}}
    both = pd.concat([validation, tested], ignore_index=True)
    assert on_test_images(both, config)["dataset"].unique().tolist() == ["digits"]
    # A run of nothing else leaves them empty.
    nothing = on_test_images(validation, config)
    noise = redraw_noise([])
    assert nothing.empty and noise.empty
    assert table2(nothing, tables.PUBLISHED, {"v": 16}).empty and table3(nothing, tables.PUBLISHED).empty


# ---- a run


@pytest.mark.slow
def test_a_run_of_tuning(project, tmp_path):
    folder = copy_project(project, tmp_path)
    (folder / "tuning.yaml").write_text(
        """
run: [tuning]
run_priors: [gmm]
priors: { gmm: { components: 2 } }
datasets: { digits-validation: { validation_of: digits } }
models: { norm: { penalties: { norm: { kind: code_norm, weight: { digits: 0.01 } } } } }
experiments:
  tuning: [{ dataset: digits-validation, model: [vae, norm], filters: 2, weight_factors: [1, 3] }]
""",
        encoding="utf-8",
    )
    configs, results = ("config/demo.yaml", "tiny.yaml", "tuning.yaml"), folder / "results/demo"
    jobs = planned(snakemake(folder, "--notemp", configs=configs).stdout)
    counts = {"prepare_dataset": 1, "prepare_validation": 1, "train": 4, "tuning": 1, "tuning_figure": 1}
    assert {rule: jobs.get(rule) for rule in counts} == counts and "redraw" not in jobs and "figure" not in jobs
    assert "Nothing to be done" in snakemake(folder, "-n", configs=configs).stdout

    with np.load(results / "datasets/digits/train.npz") as arrays:
        base = pixels(arrays["images"])
    splits = {}
    for split in ("train", "test"):
        with np.load(results / f"datasets/digits-validation/{split}.npz") as arrays:
            splits[split] = arrays["images"]
    # 800 digits: four fifths and one.
    assert (len(splits["train"]), len(splits["test"])) == (640, 160)
    assert pixels(splits["train"]) + pixels(splits["test"]) == base
    # The networks and the classifier have seen the first part alone.
    cell = results / "cells/digits-validation/norm-x3/f2-d1-z4-s0"
    record = yaml.safe_load((cell / "cell.json").read_text(encoding="utf-8"))
    assert record["training_images"] == 640 and record["objective"]["penalties"]["norm"]["weight"] == 0.03
    assert len(np.load(cell / "test_codes.npy", allow_pickle=False)) == 160
    log = (results / "logs/train_extractor/classifier-digits-validation.log").read_text(encoding="utf-8")
    assert not (results / "extractors/classifier-digits.safetensors").exists() and log

    table = pd.read_parquet(results / "tables/tuning.parquet")
    assert table[["model", "factor"]].to_records(index=False).tolist() == [
        ("vae", 1),
        ("vae", 3),
        ("norm", 1),
        ("norm", 3),
    ]
    for row in table.to_dict("records"):
        name = grid.factor_model(row["model"], row["factor"])
        found = pd.read_parquet(results / f"cells/digits-validation/{name}/f2-d1-z4-s0/scores/classifier.parquet")
        found = found[(found["comparison"] == row["prior"]) & (found["measure"] == "frechet")]
        assert found["value"].tolist() == [row["frechet_distance"]]
    # A VAE's native prior, which run_priors leaves out.
    assert dict(zip(table["model"], table["prior"], strict=True)) == {"vae": "standard_normal", "norm": "gmm"}
    assert table.groupby("model")["chosen"].sum().to_dict() == {"vae": 1, "norm": 1}
    assert Image.open(results / "figures/tuning-digits-validation-classifier.png").width > 800
    assert "×3" in (results / "tables/tuning.md").read_text(encoding="utf-8")
    for name in ("table2", "table3"):
        assert "No cell belongs in this table" in (results / f"tables/{name}.md").read_text(encoding="utf-8")
