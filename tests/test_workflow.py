"""The whole chain, run by Snakemake as a user does, in a copy of the project."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from comparing import lasting_results
from PIL import Image
from running import copy_project, planned, snakemake

RESULTS = Path("results/demo")
CELL = RESULTS / "cells/digits/dae/f2-d1-z4-s0"
DEMO = ("config/demo.yaml", "tiny.yaml")
TABLES = ("scores", "table1", "table2", "table3", "claims", "latent", "parameters", "costs")
FIGURES = ("figure4-classifier", "scatter-digits", "latent_statistics", "learning_curves-digits", "contact_sheet")

# ---- every day: every rule once, on one cell

# Laid over the demo's config and tiny.yaml.
ONE_CELL = """
run: [normalisation, scatter]
run_priors: [mvg, gmm]
datasets: { digits: { limit: { train: 200 } } }
experiments:
  normalisation: [{ dataset: digits, model: vae, filters: 2 }]
  scatter: [{ dataset: digits, model: vae, filters: 2 }]
extractors: { classifier: { epochs: 1 } }
scoring: { images: 100 }
external: { grey: { dataset: digits, folder: grey } }
"""
ONE_CELL_CONFIGS = (*DEMO, "one_cell.yaml")
VAE = RESULTS / "cells/digits/vae/f2-d1-z4-s0"
# The folders of what a redraw leaves, and the suffixes.
KEPT = {"redraws": "parquet", "logs/redraw": "log", "benchmarks/redraw": "tsv"}


@pytest.fixture(scope="module")
def chain(project, tmp_path_factory) -> Path:
    """A project in which every rule has run, without deletion of image sets."""
    folder = copy_project(project, tmp_path_factory.mktemp("chain"))
    (folder / "one_cell.yaml").write_text(ONE_CELL, encoding="utf-8")
    (folder / "grey").mkdir()
    for level in range(0, 250, 5):
        Image.new("L", (32, 32), level).save(folder / "grey" / f"{level}.png")
    snakemake(folder, "--notemp", configs=ONE_CELL_CONFIGS)
    return folder


def test_the_chain_makes_every_file(chain):
    tables = [f"tables/{name}.{suffix}" for name in TABLES for suffix in ("parquet", "csv", "md", "tex", "html")]
    figures = [f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("pdf", "png")]
    for name in [*tables, *figures, "provenance.json", "provenance.html"]:
        assert (chain / RESULTS / name).stat().st_size, name
    pictures = [
        VAE / "reconstructions.png",
        VAE / "interpolations.png",
        VAE / "samples.png",
        RESULTS / "datasets/digits/preview.png",
    ]
    for file in [*pictures, *(RESULTS / f"figures/{name}.png" for name in FIGURES)]:
        with Image.open(chain / file) as image:
            pixels = np.asarray(image.convert("L"))
        assert min(pixels.shape) > 50 and pixels.std() > 1, file
    assert "Nothing to be done" in snakemake(chain, "-n", configs=ONE_CELL_CONFIGS).stdout


def frechet_distances(path: Path) -> pd.DataFrame:
    """The rows of the Fréchet distance in a table of scores."""
    return pd.read_parquet(path).query("measure == 'frechet'")


def test_scores_are_frechet_distances_of_the_images_that_comparisons_name(chain):
    """Recomputed from the image files by pytorch-fid's formula."""
    import torch
    from pytorch_fid.fid_score import calculate_frechet_distance

    from autoencoders.data.prepared_images import evaluation_subset, load_images
    from autoencoders.latent.encode_decode import decode, encode, midpoints
    from autoencoders.networks.weights import load_weights
    from autoencoders.scores.extractors import classifier
    from autoencoders.scores.features import extract

    device = torch.device("cpu")
    network = classifier.load(chain / RESULTS / "extractors/classifier-digits.safetensors", device)
    splits = {}
    for split in ("train", "test"):
        images = load_images(chain / RESULTS / f"datasets/digits/{split}.npz")
        splits[split] = images[evaluation_subset(len(images), 100, seed=0)]

    def moments(images):
        features = extract(network, images, 250, device).double().numpy()
        return features.mean(axis=0), np.cov(features, rowvar=False)

    scores = frechet_distances(chain / VAE / "scores/classifier.parquet").set_index("comparison")["value"]
    # Two priors run, and a VAE's native one.
    images = {"train_recon", "test_recon", "interpolation", "mvg", "gmm"}
    files = {name: name for name in images} | {"train_recon_vs_train": "train_recon", "standard_normal": "native"}
    assert set(scores.index) == set(files)
    references = {split: moments(images) for split, images in splits.items()}
    for comparison in scores.index:
        split = "train" if comparison == "train_recon_vs_train" else "test"
        found = moments(np.load(chain / VAE / f"images/{files[comparison]}.npy"))
        assert scores[comparison] == pytest.approx(calculate_frechet_distance(*references[split], *found), rel=1e-4)
    assert scores["train_recon"] != pytest.approx(scores["train_recon_vs_train"], rel=1e-3)

    trained = load_weights(chain / VAE / "weights.safetensors", device)
    between = decode(trained, midpoints(encode(trained, splits["test"], 250, device), seed=0), 250, device)
    # Hardly trained, the network decodes other codes to nearly the same images: all but a few roundings must agree.
    assert (between != np.load(chain / VAE / "images/interpolation.npy")).mean() < 1e-4


def test_tables_and_records_show_what_was_computed(chain):
    cell = frechet_distances(chain / VAE / "scores/classifier.parquet")
    every = pd.read_parquet(chain / RESULTS / "tables/scores.parquet")
    assert every["value"].notna().all() and (every.loc[every["measure"] == "kid", "error"] > 0).all()
    scores = frechet_distances(chain / RESULTS / "tables/scores.parquet")
    (made_elsewhere,) = scores[scores["setting"] == "external"].to_dict("records")
    assert (made_elsewhere["model"], made_elsewhere["images"]) == ("grey", 50) and pd.isna(made_elsewhere["steps"])
    for name in ("table2", "scores"):
        assert "grey (external, 50 images)" in (chain / RESULTS / f"tables/{name}.md").read_text(encoding="utf-8")
    scores = scores[scores["setting"] == "own"]
    values = dict(zip(cell["comparison"], cell["value"], strict=True))
    assert dict(zip(scores["comparison"], scores["value"], strict=True)) == pytest.approx(values)
    assert (scores["value"] > 0).all()
    assert set(scores["status"]) == {"ok"} and set(scores["extractor"]) == {"classifier"}
    # Published values are of Inception's features and the paper's datasets.
    assert scores["published"].isna().all()
    costs = pd.read_parquet(chain / RESULTS / "tables/costs.parquet")
    assert (costs["job_seconds"] > 0).all() and costs["model"].tolist() == ["vae"]
    record = json.loads((chain / VAE / "cell.json").read_text(encoding="utf-8"))
    assert record["cell"] == {"dataset": "digits", "model": "vae", "filters": 2, "depth": "1", "latent": 4, "seed": 0}
    assert record["status"] == "ok" and record["device"] and record["versions"]["torch"]
    assert record["seconds"] > 0 and record["images_per_second"] > 0 and record["training"]["epochs"] == 2
    # A narrow decoder, though the first config says 1024.
    assert record["network"]["decoder_channels"] is None
    # 200 images in batches of 32, twice: the log of the training says that these are too few.
    assert set(scores["steps"]) == {14}
    log = (chain / RESULTS / "logs/train/digits/vae/f2-d1-z4-s0.log").read_text(encoding="utf-8")
    assert log.count("only 14 optimiser steps: below 500") == 1
    for table in ("table2", "table3", "scores", "claims"):
        assert "Trained for 14 steps only" in (chain / RESULTS / f"tables/{table}.md").read_text(encoding="utf-8")
    history = pd.read_parquet(chain / VAE / "history.parquet")
    assert len(history) == 2 and history["loss"].iloc[1] < history["loss"].iloc[0] and (history["kl"] > 0).all()
    provenance = json.loads((chain / RESULTS / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["config"]["training"]["epochs"] == 2 and provenance["config"]["run_priors"] == ["mvg", "gmm"]


def test_samples_drawn_again_are_scored_as_the_first_ones(chain):
    """Once, for one cell; nothing but the result is stored."""
    import hashlib

    import torch

    from autoencoders.jobs.files import file_sha256, read_npz
    from autoencoders.networks.weights import load_weights
    from autoencoders.scores.cell_scores import read_reference
    from autoencoders.scores.extractors import classifier
    from autoencoders.scores.redraws import sample_score

    target = chain / RESULTS / "redraws/digits-classifier.parquet"
    first = target.read_bytes()
    for folder, suffix in KEPT.items():
        (chain / RESULTS / folder / f"digits-classifier.{suffix}").unlink()
    before = set((chain / RESULTS).rglob("*"))
    done = snakemake(chain, "--force", str(target.relative_to(chain)), configs=ONE_CELL_CONFIGS)
    assert planned(done.stdout) == {"redraw": 1} and target.read_bytes() == first
    new = {file for file in set((chain / RESULTS).rglob("*")) - before if file.is_file()}
    kept = {chain / RESULTS / folder / f"digits-classifier.{suffix}" for folder, suffix in KEPT.items()}
    assert {file for file in new if not file.match("logs/runs/*")} == kept

    table = pd.read_parquet(target)
    cell = {"dataset": "digits", "model": "vae", "filters": 2, "depth": "1", "latent": 4, "seed": 0}
    assert table[[*cell, "extractor"]].drop_duplicates().to_dict("records") == [cell | {"extractor": "classifier"}]
    redrawn = table.set_index(["comparison", "draw"])["value"]
    assert list(redrawn.index) == [(prior, draw) for prior in ("mvg", "gmm") for draw in range(5)]
    scored = frechet_distances(chain / VAE / "scores/classifier.parquet").set_index("comparison")["value"]
    assert len({*redrawn, *scored[["mvg", "gmm"]]}) == 12

    device, weights = torch.device("cpu"), chain / RESULTS / "extractors/classifier-digits.safetensors"
    network, extractor = load_weights(chain / VAE / "weights.safetensors", device), classifier.load(weights, device)
    reference = read_reference(chain / RESULTS / "reference/digits/classifier-test.npz", file_sha256(weights), device)
    # The streams by hand. With that of the rule sample, the value is the score.
    expected = {f"0/redraw/{draw}/{prior}": value for (prior, draw), value in redrawn.items()}
    expected |= {f"0/sample/{prior}": scored[prior] for prior in ("mvg", "gmm")}
    for stream, value in expected.items():
        prior = stream.split("/")[-1]
        seed = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "big") >> 1
        found = sample_score(
            *(network, prior, prior, read_npz(chain / VAE / f"priors/{prior}.npz"), 100, np.random.default_rng(seed)),
            *(reference, {"kind": "frechet"}, extractor, 250, device),
            **{"threads": 1, "tf32": False},
        )
        assert found == value, stream


# ---- slow: two cells, one of which diverges


@pytest.fixture(scope="module")
def finished(finished_project, tmp_path_factory) -> Path:
    return Path(shutil.copytree(finished_project, tmp_path_factory.mktemp("workflow") / "project"))


@pytest.fixture(scope="module")
def again(project, tmp_path_factory) -> Path:
    """The same in another folder, with image sets deleted after use."""
    folder = copy_project(project, tmp_path_factory.mktemp("again"))
    snakemake(folder)
    return folder


@pytest.mark.slow
def test_a_diverged_cell_keeps_its_rows_without_values(finished):
    scores = pd.read_parquet(finished / RESULTS / "tables/scores.parquet")
    diverged = scores[scores.model == "vae-diverges"]
    assert len(diverged) == 7 and set(diverged.status) == {"diverged"} and diverged.value.isna().all()
    assert "diverged" in (finished / RESULTS / "tables/table2.md").read_text(encoding="utf-8")
    assert (finished / str(CELL).replace("dae", "vae-diverges") / "samples.png").stat().st_size


@pytest.mark.slow
def test_the_same_seed_gives_the_same_files_in_another_folder(finished, again):
    assert not list(again.glob("results/demo/cells/*/*/*/images/*.npy"))
    expected, found = lasting_results(finished / RESULTS), lasting_results(again / RESULTS)
    deleted = expected.keys() - found.keys()
    assert deleted and all(re.fullmatch(r"cells/.*/images/\w+\.npy", name) for name in deleted)
    assert found == {name: content for name, content in expected.items() if name not in deleted}


@pytest.mark.slow
def test_a_second_run_and_a_deleted_score_run_no_more_than_they_need(finished, again):
    """Deleted image sets are decoded again; nothing is trained, encoded or fitted."""
    for folder, jobs in ((finished, {"score": 1}), (again, {"sample": 1, "score": 1})):
        assert "Nothing to be done" in snakemake(folder).stdout
        target = folder / CELL / "scores/classifier.parquet"
        before = target.read_bytes()
        target.unlink()
        assert planned(snakemake(folder, str(target.relative_to(folder)), "--notemp").stdout) == jobs
        assert target.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "configs", "jobs"),
    [
        (
            str(CELL / "scores/classifier.parquet"),
            DEMO,
            {"prepare_dataset": 1, "train": 1, "encode": 1, "fit_prior": 3, "sample": 1, "score": 1}
            | {"train_extractor": 1, "reference": 2},
        ),
        # One cell per model, latent size and depth of the figure's experiment.
        ("results/figures/figure3-inception.png", (), {"train": 4 * 14}),
        ("results/figures/scatter-celeba.png", (), {"train": 2}),
        # The paper's run: three priors; two datasets, each with references of both splits and of all training images.
        (
            "all",
            (),
            dict.fromkeys(["train", "encode", "latent_statistics", "sample", "score", "pictures"], 346)
            | dict.fromkeys(["draw_samples", "draw_neighbours"], 346)
            | {"fit_prior": 3 * 346, "download_dataset": 2, "prepare_dataset": 2, "scatter": 2}
            | {"reference": 6, "figure": 5, "precision_recall": 1, "train_extractor": None},
        ),
    ],
)
def test_a_target_needs_its_own_cells_alone(project, tmp_path, target, configs, jobs):
    folder = copy_project(project, tmp_path)
    found = planned(snakemake(folder, "-n", target, configs=configs, gpu=1).stdout)
    assert {name: found.get(name) for name in jobs} == jobs
    if configs:
        assert found == jobs


STAGES = {"datasets": ("prepare_dataset", 1), "models": ("train", 2), "codes": ("encode", 2)}
STAGES |= {"priors": ("fit_prior", 6), "latent_statistics": ("latent_statistics", 2), "samples": ("sample", 2)}
STAGES |= {"scores": ("score", 2), "tables": ("claims", 1), "figures": ("contact_sheet", 1)}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_a_target(finished, stage):
    last, count = STAGES[stage]
    jobs = planned(snakemake(finished, "-n", "--forceall", f"all_{stage}").stdout)
    assert (jobs[f"all_{stage}"], jobs[last]) == (1, count)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["dae/f2-d123-z4-s0", "dae/f2-d1-z04-s0", "nosuch/f2-d1-z4-s0"])
def test_an_impossible_cell_is_refused(finished, cell):
    done = snakemake(finished, "-n", f"results/demo/cells/digits/{cell}/weights.safetensors", check=False)
    assert done.returncode != 0 and "No rule to produce" in done.stdout


@pytest.mark.slow
def test_priors_can_be_fitted_to_samples_of_a_vaes_codes_and_images_reconstructed_from_samples(
    project, tmp_path, finished
):
    folder = copy_project(project, tmp_path)
    shutil.copytree(finished / RESULTS / "datasets", folder / RESULTS / "datasets")
    (folder / "vae.yaml").write_text(
        """
models:
  means: { variational: true }
  samples: { variational: true, codes: sample }
  decoded: { variational: true, reconstructions: sample }
run: [mine]
experiments: { mine: [{ dataset: digits, model: [means, samples, decoded], filters: 2 }] }
""",
        encoding="utf-8",
    )
    snakemake(folder, "all_samples", "--notemp", configs=(*DEMO, "vae.yaml"))
    cells = [folder / RESULTS / f"cells/digits/{model}/f2-d1-z4-s0" for model in ("means", "samples", "decoded")]
    assert len({cell.joinpath("weights.safetensors").read_bytes() for cell in cells}) == 1
    for name in ("codes.npy", "test_codes.npy"):
        means, samples, same = (np.load(cell / name) for cell in cells)
        assert means.shape == samples.shape and np.abs(means - samples).mean() > 0.1
        assert means.tobytes() == same.tobytes()
    # Only reconstructions change, not midpoints between means.
    for name in ("train_recon", "test_recon", "interpolation", "standard_normal", "mvg", "gmm"):
        means, _, decoded = (np.load(cell / "images" / f"{name}.npy") for cell in cells)
        assert means.shape == decoded.shape and (means != decoded).any() == name.endswith("recon"), name


@pytest.mark.slow
def test_a_users_own_images_need_a_few_lines_of_config(project, tmp_path, inception_weights):
    """Class folders of drawn images, scored by both extractors."""
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
model_defaults: {{ decoder_channels: null }}
extractors: {{ inception: {{ weights: {inception_weights} }} }}
datasets: {{ mine: {{ source: folder, folder: {{ train: photos }}, latent: 4, extractors: [classifier, inception] }} }}
experiments: {{ mine: [{{ dataset: mine, model: dae, filters: 2 }}] }}
training: {{ epochs: 1, learning_rate: [{{ epoch: 0, rate: 1.0e-3 }}] }}
scoring: {{ images: 20 }}
priors: {{ gmm: {{ components: 2 }} }}
""",
        encoding="utf-8",
    )
    snakemake(folder, "all_tables", configs=("mine.yaml",))
    scores = pd.read_parquet(folder / "results/tables/scores.parquet")
    # Distances by unofficial weights are no FID.
    assert set(scores.dataset) == {"mine"} and set(scores.extractor) == {"classifier", "inception-other"}
    assert "FID" not in (folder / "results/tables/table3.md").read_text(encoding="utf-8").replace("not FID", "")
    assert np.isfinite(scores.value).all()
    # A new image is noticed.
    Image.new("RGB", (64, 64)).save(folder / "photos" / "dark" / "more.png")
    assert "prepare_dataset" in planned(snakemake(folder, "-n", "all_tables", configs=("mine.yaml",)).stdout)
