"""The whole chain, run by Snakemake as a user does, in a copy of the project."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from planning import plan_after_an_edit, rerun_table, what_follows
from running import copy_project, planned, snakemake

CELL = "results/demo/cells/digits/dae/f2-d1-z4-s0"
DIVERGED = "results/demo/cells/digits/vae-diverges/f2-d1-z4-s0"


@pytest.fixture(scope="module")
def finished(project, tmp_path_factory) -> Path:
    """A project in which everything has been made once, image sets kept."""
    folder = copy_project(project, tmp_path_factory.mktemp("finished"))
    snakemake(folder, "--notemp")
    return folder


@pytest.fixture(scope="module")
def again(project, tmp_path_factory) -> Path:
    """The same in another place, image sets deleted when they are no longer needed."""
    folder = copy_project(project, tmp_path_factory.mktemp("again"))
    snakemake(folder)
    return folder


def test_scores_have_a_row_for_every_cell_comparison_measure_and_extractor(finished):
    scores = pd.read_parquet(finished / "results/demo/tables/scores.parquet")
    comparisons = {
        "train_recon",
        "train_recon_vs_train",
        "test_recon",
        "interpolation",
        "standard_normal",
        "mvg",
        "gmm",
    }
    ok = scores[scores.model == "dae"]
    assert set(ok.comparison) == comparisons
    assert set(ok.measure) == {"frechet"}
    assert set(ok.status) == {"ok"}
    assert (ok.value > 0).all()
    assert set(scores.extractor) == {"classifier"}
    # Published values belong to Inception's features and the paper's datasets alone.
    assert scores.published.isna().all()


def test_each_score_compares_the_images_that_its_comparison_names(finished):
    """The distances again from the image files, by pytorch-fid's formula: which set stands against which split."""
    import torch
    from pytorch_fid.fid_score import calculate_frechet_distance

    from autoencoders.data.prepared_images import evaluation_subset, load_images
    from autoencoders.latent.encode_decode import decode, encode, midpoints
    from autoencoders.networks.weights import load_weights
    from autoencoders.scores.extractors import classifier
    from autoencoders.scores.features import extract

    results, device = finished / "results/demo", torch.device("cpu")
    network = classifier.load(results / "extractors/classifier-digits.safetensors", device)
    splits = {}
    for split in ("train", "test"):
        images = load_images(results / f"datasets/digits/{split}.npz")
        splits[split] = images[evaluation_subset(len(images), 300, seed=0)]

    def moments(images):
        features = extract(network, images, 250, device).double().numpy()
        return features.mean(axis=0), np.cov(features, rowvar=False)

    scores = pd.read_parquet(finished / CELL / "scores/classifier.parquet").set_index("comparison")["value"]
    references = {split: moments(images) for split, images in splits.items()}
    named = {"train_recon_vs_train": ("train_recon", "train")}
    for comparison in scores.index:
        name, split = named.get(comparison, (comparison, "test"))
        found = moments(np.load(finished / CELL / f"images/{name}.npy"))
        expected = calculate_frechet_distance(*references[split], *found)
        assert scores[comparison] == pytest.approx(expected, rel=1e-4), comparison
    assert scores["train_recon"] != pytest.approx(scores["train_recon_vs_train"], rel=1e-3)

    trained = load_weights(finished / CELL / "weights.safetensors", device)
    between = decode(trained, midpoints(encode(trained, splits["test"], 250, device), seed=0), 250, device)
    # Hardly trained, the network decodes other codes to nearly the same: all but a few roundings have to agree.
    assert (between != np.load(finished / CELL / "images/interpolation.npy")).mean() < 1e-4


def test_a_diverged_cell_keeps_its_rows_without_values(finished):
    scores = pd.read_parquet(finished / "results/demo/tables/scores.parquet")
    diverged = scores[scores.model == "vae-diverges"]
    assert len(diverged) == 7
    assert set(diverged.status) == {"diverged"}
    assert diverged.value.isna().all()
    assert "diverged" in (finished / "results/demo/tables/table2.md").read_text()


TABLES = ("scores", "table1", "table2", "table3", "claims", "latent", "parameters", "costs")
FIGURES = ("figure1-classifier", "figure2_5-classifier", "figure3-classifier", "figure4-classifier", "noise-classifier")
OTHER_FIGURES = ("scatter-digits", "latent_statistics", "learning_curves-digits", "contact_sheet")


def test_every_target_of_the_readme_is_made(finished):
    for name in TABLES:
        for suffix in ("parquet", "csv", "md", "tex", "html"):
            assert (finished / f"results/demo/tables/{name}.{suffix}").stat().st_size
    for name in (*FIGURES, *OTHER_FIGURES):
        for suffix in ("pdf", "png"):
            assert (finished / f"results/demo/figures/{name}.{suffix}").stat().st_size
    assert (finished / "results/demo/datasets/digits/preview.png").stat().st_size
    for cell in (CELL, DIVERGED):
        for file in ("reconstructions.png", "samples.png"):
            with Image.open(finished / cell / file) as image:
                assert min(image.size) > 50


def test_each_cell_records_what_made_it(finished):
    import json

    record = json.loads((finished / CELL / "cell.json").read_text())
    assert record["cell"] == {"dataset": "digits", "model": "dae", "filters": 2, "depth": "1", "latent": 4, "seed": 0}
    assert record["status"] == "ok"
    assert record["seconds"] > 0 and record["images_per_second"] > 0 and record["peak_memory_bytes"] > 0
    assert record["device"] and record["versions"]["torch"] and record["training"]["epochs"] == 2
    provenance = json.loads((finished / "results/demo/provenance.json").read_text())
    assert provenance["config"]["training"]["epochs"] == 2


def test_a_second_run_does_nothing_and_says_so(finished, again):
    assert "Nothing to be done" in snakemake(finished).stdout
    assert "Nothing to be done" in snakemake(again).stdout


def test_image_sets_are_deleted_once_used(again):
    assert not list(again.glob("results/demo/cells/*/*/*/images/*.npy"))


# Times and memory differ from run to run, and so do the files that record them.
MEASURED = {"cell.json", "provenance.json", "classifier-digits.json"}
MEASURED |= {f"costs.{suffix}" for suffix in ("parquet", "csv", "md", "tex", "html")}


def test_the_same_seed_gives_the_same_bytes(finished, again):
    files = [file.relative_to(again) for file in (again / "results").rglob("*") if file.is_file()]
    compared = 0
    for file in files:
        if file.name in MEASURED or {"logs", "benchmarks"} & set(file.parts):
            continue
        assert (again / file).read_bytes() == (finished / file).read_bytes(), file
        compared += 1
    suffixes = {file.suffix for file in files}
    assert {".safetensors", ".npy", ".npz", ".parquet", ".csv", ".md", ".html", ".png", ".pdf"} <= suffixes
    assert compared > 30


# tests/rerun_table.py has all modules. With the image sets gone, what reads them takes `sample` along; what draws must
# not.
@pytest.mark.parametrize(
    ("module", "sets"),
    [
        ("networks/objective.py", "kept"),
        ("latent/priors/mvg.py", "kept"),
        ("evidence/claims.py", "gone"),
        ("figures/cell_pictures.py", "gone"),
        ("jobs/files.py", "gone"),
    ],
)
def test_an_edited_module_reruns_exactly_the_rules_that_use_it(finished, again, project, module, sets):
    finished = finished if sets == "kept" else again
    rules = rerun_table(project)[module]
    jobs = plan_after_an_edit(finished, module)
    assert set(jobs) == rules | (what_follows(finished, rules) if rules else set())
    if module == "latent/priors/mvg.py":
        # Of two cells and three priors.
        assert jobs["fit_prior"] == 2


def test_a_deleted_score_is_rebuilt_alone(finished):
    target = finished / CELL / "scores/classifier.parquet"
    before = target.read_bytes()
    target.unlink()
    output = snakemake(finished, f"{CELL}/scores/classifier.parquet", "--notemp").stdout
    assert planned(output) == {"score": 1}
    assert target.read_bytes() == before


def test_a_deleted_score_takes_only_its_image_sets_along(again):
    """Where those were deleted after use, they are made again; nothing is trained, encoded or fitted."""
    target = again / CELL / "scores/classifier.parquet"
    before = target.read_bytes()
    target.unlink()
    output = snakemake(again, f"{CELL}/scores/classifier.parquet").stdout
    assert planned(output) == {"sample": 1, "score": 1}
    assert target.read_bytes() == before
    # What is drawn and tabled from them follows; other tests find everything made.
    snakemake(again)


def test_a_single_table_cell_builds_its_own_chain_alone(project, tmp_path):
    folder = copy_project(project, tmp_path)
    output = snakemake(folder, "-n", f"{CELL}/scores/classifier.parquet").stdout
    assert planned(output) == {
        "prepare_dataset": 1,
        "train": 1,
        "encode": 1,
        "fit_prior": 3,
        "sample": 1,
        "train_extractor": 1,
        "reference": 2,
        "score": 1,
    }


def test_the_papers_run_lists_its_jobs(project, tmp_path):
    folder = copy_project(project, tmp_path)
    output = snakemake(folder, "-n", "all_figures", configs=(), gpu=1).stdout
    jobs = planned(output)
    of_cells = ("train", "encode", "latent_statistics", "sample", "score", "pictures")
    assert {name: jobs[name] for name in of_cells} == dict.fromkeys(of_cells, 346)
    assert jobs["fit_prior"] == 3 * 346
    assert jobs["download_dataset"] == jobs["prepare_dataset"] == jobs["scatter"] == 2
    # Test images of both datasets, and training images for the reconstructions of these.
    assert jobs["reference"] == 4
    # Figures 1, 2 and 5 (one plot), 3 and 4, and the noise figure.
    assert jobs["figure"] == 5
    assert "train_extractor" not in jobs


@pytest.mark.parametrize(
    ("target", "last"),
    [
        ("all_datasets", "prepare_dataset"),
        ("all_models", "train"),
        ("all_codes", "encode"),
        ("all_priors", "fit_prior"),
        ("all_latent_statistics", "latent_statistics"),
        ("all_samples", "sample"),
        ("all_scores", "score"),
        ("all_tables", "claims"),
        ("all_figures", "contact_sheet"),
        ("all", "pictures"),
    ],
)
def test_every_stage_has_a_target(finished, target, last):
    jobs = planned(snakemake(finished, "-n", "--forceall", target).stdout)
    assert {target, last} <= set(jobs)
    assert jobs[last] == {"fit_prior": 6, "prepare_dataset": 1, "claims": 1, "contact_sheet": 1}.get(last, 2)


@pytest.mark.parametrize(
    "cell",
    ["digits/dae/f0-d1-z4-s0", "digits/dae/f2-d123-z4-s0", "digits/dae/f2-d1-z04-s0", "digits/nosuch/f2-d1-z4-s0"],
)
def test_a_cell_that_can_not_be_is_refused(finished, cell):
    done = snakemake(finished, "-n", f"results/demo/cells/{cell}/weights.safetensors", check=False)
    assert done.returncode != 0
    assert "No rule to produce" in done.stdout


# What follows from a rule's outputs, wherever a change reruns it.
AFTER_TRAINING = {"encode", "fit_prior", "latent_statistics", "sample", "score"}
FOLLOWING = {
    "train": {"parameters", "costs", "provenance_page", "learning_curves", "contact_sheet"},
    "encode": {"scatter", "contact_sheet"},
    "sample": {"pictures"},
    "latent_statistics": {"collect_latent_statistics", "latent_figure", "claims", "contact_sheet"},
    "score": {"collect_scores", "table2", "table3", "claims", "costs", "figure", "contact_sheet"},
}


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        ("scoring: { batch_size: 7 }", set()),
        ("pathvars: { resources: elsewhere }", set()),
        ("extractors: { classifier: { epochs: 3 } }", {"train_extractor", "reference", "score"}),
        ("models: { dae: { beta: 5 } }", set()),
        ("models: { dae: { codes: sample } }", set()),
        (
            "models: { vae-diverges: { codes: sample } }",
            {"encode", "fit_prior", "latent_statistics", "sample", "score"},
        ),
        ("model_defaults: { frozen_latent: true }", {"train", *AFTER_TRAINING}),
        ("run_on: [digits]", set()),
        # As before the option existed: it is left out of params.
        ("models: { dae: { penalties: {} } }", set()),
        ("run_priors: [standard_normal, mvg]", {"latent_statistics", "sample", "score"}),
        ("scoring: { train_recon_references: [test] }", {"score"}),
        ("priors: { gmm: { components: 4 } }", {"fit_prior", "latent_statistics", "sample", "score"}),
        # A prior of one's own: the measures of codes stay with the paper's.
        ("priors: { gmm4: { kind: gmm, components: 4 } }", {"fit_prior", "sample", "score"}),
    ],
)
def test_a_changed_config_reruns_what_depends_on_it_alone(finished, change, jobs):
    (finished / "change.yaml").write_text(change)
    output = snakemake(finished, "-n", configs=("config/demo.yaml", "tiny.yaml", "change.yaml")).stdout
    expected = jobs.union(*(FOLLOWING.get(job, set()) for job in jobs))
    # The record of the config itself follows whatever is not neutral.
    recorded = {"provenance", "provenance_page", "all"} if "dae: {" not in change else set()
    assert set(planned(output)) == expected | recorded


def test_the_report_has_captions_and_labels(finished):
    snakemake(finished, "--report", "report.html")
    page = (finished / "report.html").read_text()
    assert "system-message" not in page, "docutils found a fault in a caption"
    for text in ("figure1", "Table 1", "claims", "costs", "Reconstructions", "Samples", "Datasets"):
        assert text in page


def test_a_figure_needs_the_cells_of_its_experiment_alone(project, tmp_path):
    folder = copy_project(project, tmp_path)
    for target, cells in (("figure3-inception", 4 * 14), ("scatter-celeba", 2)):
        output = snakemake(folder, "-n", f"results/figures/{target}.png", configs=(), gpu=1).stdout
        assert planned(output)["train"] == cells


def test_priors_can_be_fitted_to_samples_of_a_vaes_codes(project, tmp_path, finished):
    """One of the open choices, run: the codes are others than the means, of both splits; the weights are the same."""
    folder = copy_project(project, tmp_path)
    shutil.copytree(finished / "results/demo/datasets", folder / "results/demo/datasets")
    (folder / "vae.yaml").write_text(
        """
models: { means: { variational: true }, samples: { variational: true, codes: sample } }
run: [mine]
experiments: { mine: [{ dataset: digits, model: [means, samples], filters: 2 }] }
"""
    )
    snakemake(folder, "all_codes", configs=("config/demo.yaml", "tiny.yaml", "vae.yaml"))
    for name in ("codes.npy", "test_codes.npy"):
        means, samples = (
            np.load(folder / f"results/demo/cells/digits/{model}/f2-d1-z4-s0/{name}") for model in ("means", "samples")
        )
        assert means.shape == samples.shape
        assert np.abs(means - samples).mean() > 0.1


def test_a_wrong_config_is_refused_before_any_job(finished):
    (finished / "typo.yaml").write_text("training: { epoch: 5 }\n")
    done = snakemake(finished, configs=("config/demo.yaml", "tiny.yaml", "typo.yaml"), check=False)
    assert done.returncode != 0
    assert "training.epoch is not a key. Did you mean 'epochs'?" in done.stdout
    assert "Traceback" not in done.stdout
    assert "Job stats" not in done.stdout


def test_a_gpu_that_is_not_there_is_a_clear_error(project, tmp_path, finished):
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU")
    folder = copy_project(project, tmp_path)
    shutil.copytree(finished / "results/demo/datasets", folder / "results/demo/datasets")
    done = snakemake(folder, f"{CELL}/weights.safetensors", gpu=1, check=False)
    assert done.returncode != 0
    assert "PyTorch" in done.stdout and "--resources gpu=0" in done.stdout
    assert "Traceback" not in done.stdout
    log = folder / "results/demo/logs/train/digits/dae/f2-d1-z4-s0.log"
    assert "sees none" in log.read_text()


def test_ones_own_folder_of_images_needs_a_few_lines_and_no_code(project, tmp_path, inception_weights):
    """The README's example, with class folders of drawn images, scored with both extractors."""
    folder = copy_project(project, tmp_path)
    random = np.random.default_rng(0)
    for label, base in (("dark", 60), ("light", 180)):
        (folder / "photos" / label).mkdir(parents=True)
        for index in range(30):
            pixels = np.clip(random.normal(base, 30, (50, 70, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / label / f"{index}.jpg")
    (folder / "mine.yaml").write_text(
        f"""
run: [mine]
extractors: {{ inception: {{ weights: {inception_weights} }} }}
datasets:
  mine:
    source: folder
    folder: {{ train: photos }}
    size: 32
    latent: [4]
    extractors: [classifier, inception]
experiments:
  mine:
    - {{ dataset: mine, model: dae, filters: 2 }}
training: {{ epochs: 1, learning_rate: [{{ epoch: 0, rate: 1.0e-3 }}] }}
scoring: {{ images: 20 }}
priors:
  gmm: {{ components: 2 }}
"""
    )
    snakemake(folder, "all_tables", configs=("mine.yaml",))
    scores = pd.read_parquet(folder / "results/tables/scores.parquet")
    assert set(scores.dataset) == {"mine"}
    # Weights other than the official ones make no FID.
    assert set(scores.extractor) == {"classifier", "inception-other"}
    assert "FID" not in (folder / "results/tables/table3.md").read_text().replace("not FID", "")
    assert np.isfinite(scores.value).all()
    # More images are noticed.
    Image.new("RGB", (64, 64)).save(folder / "photos" / "dark" / "more.png")
    assert "prepare_dataset" in planned(snakemake(folder, "-n", "all_tables", configs=("mine.yaml",)).stdout)


def test_real_images_are_prepared_from_their_parquet_files(project, tmp_path, shared_data):
    folder = copy_project(project, tmp_path)
    (folder / "real.yaml").write_text(
        f"""
datasets:
  cifar10:
    source: parquet
    parquet: {{ train: {shared_data}/cifar10/train-*.parquet, test: {shared_data}/cifar10/test-*.parquet }}
    limit: {{ train: 300, test: 100 }}
  celeba:
    source: parquet
    parquet: {{ train: {shared_data}/celeba/train-*.parquet, test: {shared_data}/celeba/test-*.parquet }}
    limit: {{ train: 200, test: 50 }}
    crop: 70
"""
    )
    snakemake(folder, "all_datasets", configs=("real.yaml",))
    for dataset, train, test, size in (("cifar10", 300, 100, 32), ("celeba", 200, 50, 64)):
        for split, count in (("train", train), ("test", test)):
            with np.load(folder / f"results/datasets/{dataset}/{split}.npz") as arrays:
                assert arrays["images"].shape == (count, 3, size, size)
                assert arrays["images"].std() > 30
                assert ("labels" in arrays) == (dataset == "cifar10")
