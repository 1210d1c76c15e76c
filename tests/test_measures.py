"""All measures in tables, figures and pictures, on made-up scores with known answers, and in a run of all of them."""

import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import test_figures as figures
import test_tables as tables
from PIL import Image
from running import copy_project, snakemake

from autoencoders.evidence.measure_texts import MEASURES, measure_text
from autoencoders.evidence.score_pages import table2_sections
from autoencoders.evidence.score_tables import best, table2
from autoencoders.figures.cell_pictures import neighbour_page
from autoencoders.figures.own_figure import own_figure
from autoencoders.figures.page_style import save
from autoencoders.figures.paper_figures import PAPER_FIGURES
from autoencoders.figures.precision_recall import precision_recall_figure
from autoencoders.figures.tiles import tile
from autoencoders.jobs import kinds
from autoencoders.jobs.resources import notice_of_features

VALUES = {"train_recon": 0.8, "test_recon": 0.7, "standard_normal": 0.1, "mvg": 0.5, "gmm": 0.6, "test_images": 0.9}


def test_every_measure_that_comes_along_says_what_it_is_and_which_way_is_better():
    assert set(MEASURES) == set(kinds.names("measures")) - {"frechet"}
    for name, text in MEASURES.items():
        assert f"{text.better} is better" in text.explanation, name
    assert measure_text("mine").better == "" and measure_text("frechet").better == "lower"


def by_measure(measure, *values, **options):
    """Table 2 by a measure, of one cell for each of ``values``, and its sections."""
    cells = [
        tables.cell(model=model, values=each, measure=measure, **options)
        for model, each in zip(("dae", "vae", "dae-bn"), values, strict=False)
    ]
    scores = tables.merged(*cells)
    table = table2(scores, tables.PUBLISHED, tables.LATENT, measure)
    return table, list(table2_sections(table, scores, tables.PUBLISHED, tables.NO_NOISE, measure))


def test_table2_marks_the_best_by_each_measure_and_never_the_test_images():
    better = VALUES | {"gmm": 0.65}
    for measure, winner, word in (("coverage", "dae", "highest"), ("copy_rate", "vae", "lowest"), ("mine", None, "")):
        table, (section,) = by_measure(measure, better, VALUES)
        marked = best(table, measure=measure)
        assert set(table.loc[marked["gmm"], "model"]) == ({winner} if winner else set())
        assert not marked["test_images"].any()
        assert (f"bold is our {word} value" in section.text) == bool(winner)
        assert section.heading == f"digits, classifier, {measure}"
        assert ("**0.650**" in section.rows["GMM"].tolist()) == (winner == "dae")


def test_kernel_distances_are_shown_times_a_thousand_and_stored_as_they_are():
    table, (section,) = by_measure("kid", VALUES | {"gmm": 0.0123}, VALUES | {"gmm": 0.02})
    assert table["gmm"].tolist() == [0.0123, 0.02]
    assert section.rows["GMM"].tolist() == ["**12.30**", "20.00"]


def test_the_papers_values_stand_beside_frechet_distances_only():
    options = {"dataset": "cifar10", "extractor": "inception", "filters": 128, "latent": 128}
    frechet, _ = by_measure("frechet", VALUES, **options)
    assert "cited" in set(frechet["source"]) and "gmm_published" in frechet
    precision, (section,) = by_measure("precision", VALUES, **options)
    assert set(precision["source"]) == {"ours"} and not [name for name in precision if name.endswith("_published")]
    assert "paper" not in " ".join(section.rows.columns) and "the share of images within" in section.text


@pytest.mark.parametrize("name", ["figure1", "figure4", "mine"])
@pytest.mark.parametrize("measure", ["kid", "authenticity"])
def test_a_figure_by_another_measure(name, measure):
    cells = figures.GRIDS.get(name, [("dae", 8, "1")])
    table = figures.scores("cifar10", "inception", cells, extra=["test_images"]).assign(measure=measure)
    drawn = (table, "inception", figures.PUBLISHED)
    known = name in PAPER_FIGURES
    figure = PAPER_FIGURES[name](*drawn, measure) if known else own_figure(*drawn, figures.MODELS, measure)
    label = {"kid": "KID × 1,000 (inception features)", "authenticity": "authenticity (inception features)"}[measure]
    assert figure.get_supylabel() == label
    rows = table[table["comparison"] == "gmm"]
    axes = figure.axes[-1]
    assert axes.get_yscale() == "linear"
    assert not figures.labelled(axes, "published") and not figures.labelled(axes, "cited")
    factor = {"kid": 1000, "authenticity": 1}[measure]
    heights = {y for line in figures.lines(axes).values() for y in line.get_ydata()}
    assert {factor * value for value in rows["value"]} <= heights
    # Reconstructions: the lowest of a distance, the highest of authenticity. The fixture's values rise with the width.
    width = (min if measure == "kid" else max)(filters for _, filters, _ in cells)
    (floor,) = figures.labelled(axes, "floor")
    assert floor.get_ydata()[0] == factor * (width + figures.LATENTS[0])
    (line,) = figures.labelled(axes, "test images")
    assert set(line.get_ydata()) == {factor * table.loc[table["comparison"] == "test_images", "value"].iloc[0]}
    assert ("the highest" in figures.legend_texts(figure)) == (measure == "authenticity")


def precision_and_recall(**options):
    """Precision is the value of test_figures.scores / 1,000, and recall half of that."""
    precision = figures.scores(**options)
    precision = precision[precision["latent"] == 64].assign(value=precision["value"] / 1000, measure="precision")
    return pd.concat([precision, precision.assign(value=precision["value"] / 2, measure="recall")])


def test_precision_against_recall_has_a_point_for_each_model_and_prior_of_one_width():
    cells = [("dae", 8, "1"), ("vae", 8, "1"), ("dae", 4, "1"), ("dae", 16, "1"), ("dae", 8, "2")]
    figure = precision_recall_figure(precision_and_recall(cells=cells), "classifier", figures.MODELS)
    (axes,) = figure.axes
    points = figures.lines(axes)
    priors = ("Test R", "N(0,I)", "MVG", "GMM")
    assert set(points) == {(model, prior) for model in ("DAE", "VAE") for prior in priors}
    assert points["DAE", "GMM"].get_xydata().tolist() == [[pytest.approx(0.03605), pytest.approx(0.0721)]]
    assert axes.get_title(loc="left") == "digits, 8 filters, z = 64"
    assert len(set(figures.drawn_looks(axes))) == 8


def test_precision_against_recall_with_seeds_a_diverged_cell_and_nothing():
    table = precision_and_recall(seeds=(0, 1), diverged=[("vae", 64)])
    figure = precision_recall_figure(table, "classifier", figures.MODELS)
    (axes,) = figure.axes
    points = figures.lines(axes)
    assert {model for model, _ in points} == {"DAE"}
    (spread,) = {tuple(map(tuple, each.get_segments()[0])) for each in axes.collections[:1]}
    assert points["DAE", "Test R"].get_xydata()[0][1] == pytest.approx(0.077)
    assert spread[0][0] != spread[1][0] and "their range" in figures.legend_texts(figure)
    assert not precision_recall_figure(table, "inception", figures.MODELS).axes


def test_images_made_elsewhere_are_crosses():
    table = precision_and_recall()
    row = {"setting": "external", "model": "my-gan", "comparison": "external", "depth": "", "latent": pd.NA}
    external = table[table["comparison"] == "gmm"].drop_duplicates(["measure"]).assign(**row)
    types = dict.fromkeys(["filters", "latent", "seed", "steps"], "Int64")
    both = pd.concat([table.astype(types).assign(images=10), external.astype(types).assign(images=5)])
    axes = precision_recall_figure(both, "classifier", figures.MODELS).axes[0]
    (line,) = figures.labelled(axes, "my-gan")
    assert line.get_xydata()[0].tolist() == external.set_index("measure")["value"][["recall", "precision"]].tolist()
    assert line.get_marker() == "x" and len(figures.lines(axes)) == 8
    assert "my-gan (5 images)" in [text.replace("\n", " ") for text in figures.legend_texts(axes.figure)]


def test_the_nearest_samples_stand_above_their_training_images(tmp_path):
    rng = np.random.default_rng(0)
    samples = {"gmm": rng.integers(0, 256, (20, 3, 32, 32), dtype=np.uint8), "mvg": np.empty((0, 3, 32, 32), np.uint8)}
    training = rng.integers(0, 256, (50, 3, 32, 32), dtype=np.uint8)
    distances = rng.permutation(30).astype(np.float32)
    index = rng.integers(0, 50, 30).astype(np.int32)
    # Nearer, but not among the samples at hand.
    distances[25] = -1
    page = neighbour_page("a cell", samples, {"random": {"gmm/distance": distances, "gmm/index": index}}, training)
    texts = [text.get_text().replace("\n", " ") for text in page.texts]
    assert "Samples from MVG: diverged, no samples" in texts
    assert any("the 11 of 20 that are nearest to a training image in random features" in text for text in texts)
    save(page, tmp_path / "page.png")
    pixels = np.asarray(Image.open(tmp_path / "page.png").convert("RGB"))
    nearest = np.argsort(distances[:20])[:11]
    for row in (samples["gmm"][nearest], training[index[nearest]]):
        picture = tile(row, 11)
        places = [top for top in range(len(pixels) - len(picture)) if (pixels[top, 12:40] == picture[0, :28]).all()]
        assert any((pixels[top : top + len(picture), 12 : 12 + picture.shape[1]] == picture).all() for top in places)


@pytest.mark.slow
def test_a_run_of_all_measures_on_finished_cells(finished_project, tmp_path):
    folder = Path(shutil.copytree(finished_project, tmp_path / "project"))
    (folder / "added.yaml").write_text("run_measures: null\n", encoding="utf-8")
    configs, results = ("config/demo.yaml", "tiny.yaml", "added.yaml"), folder / "results/demo"
    asked = ["figures/figure1-classifier-kid.png", "figures/noise-classifier-vendi.html", "tables/table2-coverage.html"]
    snakemake(folder, "all_tables", "all_figures", *(f"results/demo/{name}" for name in asked), configs=configs)
    assert "Nothing to be done" in snakemake(folder, "-n", configs=configs).stdout
    scores = pd.read_parquet(results / "tables/scores.parquet").query("status == 'ok'")
    assert set(scores["measure"]) == set(kinds.names("measures"))
    assert np.isfinite(scores["value"]).all()
    for name in (*asked, "figures/precision_recall-classifier.pdf"):
        assert (results / name).stat().st_size > 0
    cell = results / "cells/digits/dae/f2-d1-z4-s0"
    with np.load(cell / "neighbours/classifier.npz") as arrays:
        for name in ("train_recon", "gmm"):
            assert arrays[f"{name}/index"].shape == arrays[f"{name}/distance"].shape == (300,)
            assert arrays[f"{name}/index"].max() < 800 and (arrays[f"{name}/distance"] >= 0).all()
    diverged = results / "cells/digits/vae-diverges/f2-d1-z4-s0"
    for path in (cell, diverged):
        assert Image.open(path / "neighbours.png").width > 1000
    # The measure that is NaN for a diverged cell.
    assert math.isnan(pd.read_parquet(diverged / "scores/classifier.parquet")["value"].max())


def test_what_features_of_all_training_images_take_on_a_cpu_is_told_from_ten_minutes_on():
    inception = kinds.load("extractors", "inception")
    told = notice_of_features("inception", "cifar10", 50_000, 50 * inception.cpu_seconds({}))
    assert "inception features of all 50,000 training images of cifar10 will take about 50 minutes of one CPU" in told
    assert "about 3 hours" in notice_of_features("inception", "celeba", 162_770, 162.77 * inception.cpu_seconds({}))
    # DINOv2's ViT-L: 81 GMAC (timm's own table) for an image.
    dinov2 = {"model": "vit_large_patch14_dinov2.lvd142m", "img_size": 224}
    assert kinds.load("extractors", "timm").cpu_seconds(dinov2) == pytest.approx(1000 * 2 * 81e9 / 1e11, rel=0.05)
    assert notice_of_features("inception", "mine", 800, 0.8 * inception.cpu_seconds({})) == ""


@pytest.mark.slow
def test_it_is_told_before_the_run(project, tmp_path):
    folder = copy_project(project, tmp_path)
    extractor = folder / "workflow/scripts/autoencoders/scores/extractors/classifier.py"
    extractor.write_text(
        extractor.read_text(encoding="utf-8") + "\n\ndef cpu_seconds(options):\n    return 1_000_000\n",
        encoding="utf-8",
    )
    (folder / "all.yaml").write_text("run_measures: null\n", encoding="utf-8")
    target = "results/demo/reference/digits/classifier-training.npz"
    printed = snakemake(folder, target, configs=("config/demo.yaml", "tiny.yaml", "all.yaml")).stdout
    assert printed.count("classifier features of all 800 training images of digits will take about 222 hours") == 1
    assert printed.index("will take about") < printed.index("Execute 1 jobs")
