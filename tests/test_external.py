"""Images made elsewhere: refusals, exact pixels, scores against pytorch-fid, and their rows and lines."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from pytorch_fid.fid_score import calculate_fid_given_paths
from pytorch_fid.inception import InceptionV3
from running import copy_project, laid_over, planned, snakemake
from test_features import smooth_images, write_pngs
from test_figures import GRIDS, draw, labelled, legend_texts
from test_figures import scores as figure_scores
from test_tables import LATENT, NO_NOISE, PUBLISHED, cell, merged, shown

from autoencoders.config import external, settings
from autoencoders.data import first_look
from autoencoders.data.external_images import count_copies, image_set, read_external
from autoencoders.evidence.external_rows import add_external, of_cells, of_external, with_external
from autoencoders.evidence.score_pages import all_scores_sections, table2_sections
from autoencoders.evidence.score_tables import best, of_measure, table2
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import file_sha256, write_npz
from autoencoders.jobs.fingerprints import Contents
from autoencoders.jobs.parquet_tables import write_parquet
from autoencoders.scores.cell_scores import read_reference, reference_arrays
from autoencoders.scores.external_scores import external_table, score_external
from autoencoders.scores.extractors import inception

CPU = torch.device("cpu")
FRECHET = {"frechet": {"kind": "frechet"}}

# ---- the config


@pytest.fixture
def resolve(project, tmp_path, monkeypatch):
    """Resolves the paper's config with a section `external`, in a folder that holds `images/` and `a.parquet`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "a.parquet").touch()
    paper = yaml.safe_load((project / "config" / "config.yaml").read_text(encoding="utf-8"))
    return lambda text: settings.resolve(laid_over(paper, yaml.safe_load(text)))


def test_an_entry_runs_with_its_dataset(resolve):
    text = "external: {gan: {dataset: cifar10, folder: images}, faces: {dataset: celeba, parquet: {paths: a.parquet}}}"
    config = resolve(text)
    assert config["external"]["faces"]["parquet"] == {"paths": "a.parquet", "image": "image"}
    assert list(external.running_external(config)) == ["gan", "faces"]
    config = resolve(text.replace("images", "gone") + "\nrun_on: [celeba]")
    assert list(external.running_external(config)) == ["faces"]
    assert resolve("external: {gan: null}")["external"] == resolve("{}")["external"] == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gan: {dataset: cifar, folder: images}", "external.gan.dataset: there is no dataset 'cifar'. Known: cifar10"),
        ("gan: {dataset: cifar10, folder: img}", "external.gan.folder: there is no folder 'img'"),
        ("gan: {dataset: cifar10, parquet: {paths: '*.pq'}}", "external.gan.parquet.paths: no file matches '*.pq'"),
        ("gan: {dataset: cifar10}", "external.gan has neither folder nor parquet. Write one of them"),
        (
            "gan: {dataset: cifar10, folder: images, parquet: {paths: a.parquet}}",
            "external.gan has both folder and parquet. Write one of them",
        ),
        (
            "gan: {dataset: cifar10, parquet: {paths: 'hf://datasets/a/b@main/x.parquet'}}",
            "external.gan.parquet.paths: only local files can be scored",
        ),
        ("DAE: {dataset: cifar10, folder: images}", "external.DAE: tables would confuse it with the model dae"),
        ("Latent: {dataset: cifar10, folder: images}", "external.Latent: tables would confuse it with a column"),
        (
            "{gan: {dataset: cifar10, folder: images}, Gan: {dataset: cifar10, folder: images}}",
            "external.Gan: tables would confuse it with gan",
        ),
        ("a b: {dataset: cifar10, folder: images}", "letters, digits"),
        ("gan: {folder: images}", "external.gan lacks the key 'dataset'"),
        ("gan: {dataset: cifar10, folder: images, size: 32}", "external.gan.size is not a key"),
        ("gan: {dataset: cifar10, folder: ~nobody-at-all/x}", "external.gan.folder: the path begins with the home"),
    ],
)
def test_a_wrong_entry_is_refused(resolve, text, message):
    with pytest.raises(UserError) as refusal:
        resolve(f"external: {text if text.startswith('{') else '{' + text + '}'}")
    assert message in str(refusal.value) and str(refusal.value).count("\n") == 1


def test_a_prior_can_not_have_the_name_of_their_column(resolve):
    for name in ("external", "external_images"):
        with pytest.raises(UserError, match=rf"priors\.{name}: tables already have a column of this name"):
            resolve(f"priors: {{{name}: {{kind: mvg}}}}")


# ---- their pixels


def folder_of(path: Path) -> dict:
    return external.as_dataset({"dataset": "mine", "folder": str(path)})


def test_pixels_are_those_of_the_files(tmp_path):
    """Of a flat folder, of class folders and of a parquet file; grey and transparent as a dataset's."""
    images = smooth_images(6, 1, 120, 60, seed=0)
    write_pngs(images, tmp_path / "flat")
    np.testing.assert_array_equal(read_external(folder_of(tmp_path / "flat"), 32), images)
    (tmp_path / "classes").mkdir()
    for name, part in (("a", images[:2]), ("b", images[2:])):
        write_pngs(part, tmp_path / "classes" / name)
    np.testing.assert_array_equal(read_external(folder_of(tmp_path / "classes"), 32), images)
    encoded = [Path(tmp_path, "flat", f"{number:05d}.png").read_bytes() for number in range(6)]
    pq.write_table(pa.table({"img": encoded}), tmp_path / "a.parquet")
    parquet = {"paths": str(tmp_path / "*.parquet"), "image": "img"}
    found = read_external(external.as_dataset({"dataset": "mine", "parquet": parquet}), 32)
    np.testing.assert_array_equal(found, images)

    (tmp_path / "modes").mkdir()
    Image.fromarray(images[0, 0]).save(tmp_path / "modes" / "grey.png")
    alpha = np.zeros((32, 32, 4), np.uint8)
    alpha[:16, :, 3] = 255
    Image.fromarray(alpha).save(tmp_path / "modes" / "transparent.png")
    grey, transparent = read_external(folder_of(tmp_path / "modes"), 32)
    np.testing.assert_array_equal(grey, np.broadcast_to(images[0, 0], (3, 32, 32)))
    assert (transparent[:, :16] == 0).all() and (transparent[:, 16:] == 255).all()


@pytest.mark.parametrize("size", [(64, 64), (32, 31), (16, 16), (31, 32)])
def test_an_image_of_another_size_is_refused_by_name(tmp_path, size):
    write_pngs(smooth_images(3, 1, 120, 60, seed=0), tmp_path / "images")
    Image.new("RGB", size).save(tmp_path / "images" / "odd.png")
    with pytest.raises(UserError) as refusal:
        read_external(folder_of(tmp_path / "images"), 32)
    for part in ("images/odd.png: ", f"{size[0]} x {size[1]} pixels", "have 32 x 32", "resized changes their scores"):
        assert part in str(refusal.value), part


def test_the_first_image_is_looked_at_before_the_first_job(tmp_path):
    datasets = {"mine": {"size": 64}}

    def faults(results="elsewhere", **entry) -> list[str]:
        contents, external = Contents(tmp_path / "fingerprints.json"), {"gan": {"dataset": "mine", **entry}}
        return list(first_look.find_external_misfits(external, datasets, {"results": results}, contents))

    write_pngs(smooth_images(3, 1, 120, 60, seed=0), tmp_path / "small")
    (found,) = faults(folder=str(tmp_path / "small"))
    assert found.startswith("external.gan: ") and "32 x 32 pixels, but the dataset's images have 64 x 64" in found
    (tmp_path / "empty").mkdir()
    assert "holds no images" in faults(folder=str(tmp_path / "empty"))[0]
    (tmp_path / "one").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "one" / "a.png")
    assert "1 image, but scores need at least two" in faults(folder=str(tmp_path / "one"))[0]
    Image.new("RGB", (64, 64)).save(tmp_path / "one" / "b.png")
    assert not faults(folder=str(tmp_path / "one"))
    (found,) = faults(folder=str(tmp_path / "one"), results=f"{tmp_path}/one/results")
    assert found.startswith("external.gan.folder: the run would write into ")
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    pq.write_table(pa.table({"img": [buffer.getvalue()] * 2}), tmp_path / "a.parquet")
    (found,) = faults(parquet={"paths": str(tmp_path / "a.parquet"), "image": "image"})
    assert "has no column 'image'. Its columns are: img" in found
    assert not faults(parquet={"paths": str(tmp_path / "a.parquet"), "image": "img"})


def test_as_many_are_scored_as_of_a_cell(caplog):
    caplog.set_level("INFO")
    images = smooth_images(20, 1, 120, 60, seed=0)
    found = image_set(images, 8, seed=3)
    assert "8 of 20 images are scored, drawn with scoring.seed 3" in caplog.text
    places = [next(number for number, image in enumerate(images) if (image == one).all()) for one in found]
    assert len(places) == 8 and places == sorted(places) != list(range(8))
    assert (found == image_set(images, 8, seed=3)).all() and (found != image_set(images, 8, seed=4)).any()
    caplog.clear()
    assert image_set(images, 20, seed=3) is not None and not caplog.messages
    np.testing.assert_array_equal(image_set(images, 21, seed=3), images)
    assert "only 20 images, but a cell's sets have 21" in caplog.text


def test_test_images_are_refused_and_copies_of_training_images_counted(caplog):
    train, test, own = (smooth_images(300, 1, 120, 60, seed=seed) for seed in (0, 1, 2))
    assert count_copies(own, train, test) == {"train": 0, "test": 0} and not caplog.messages
    with pytest.raises(UserError, match=r"300 of the 300 images are exact copies of test images.*means nothing"):
        count_copies(test[::-1], train, test)
    # One in a hundred is no more than may happen; a single other level is no copy.
    few = np.concatenate([own, test[:3]])
    assert count_copies(few, train, test)["test"] == 3 and "3 of 303 images are exact copies of test" in caplog.text
    with pytest.raises(UserError, match="4 of the 304 images"):
        count_copies(np.concatenate([own, test[:4]]), train, test)
    nearly = test.copy()
    nearly[:, 0, 0, 0] ^= 1
    assert count_copies(nearly, train, test)["test"] == 0
    caplog.clear()
    assert count_copies(np.concatenate([train, own, train[:7]]), train, test) == {"train": 307, "test": 0}
    assert "307 of 607 images are exact copies of training images" in caplog.text


# ---- scores


@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning", "ignore::scipy.linalg.LinAlgWarning")
def test_the_score_of_png_files_is_pytorch_fids(inception_weights, tmp_path):
    """As in tests/test_features.py, of the first 64 of Inception's features, where the same tolerance is explained."""
    folders = [write_pngs(smooth_images(30, 2, 90, 40, seed=1), tmp_path / "test")]
    folders += [write_pngs(smooth_images(34, 0.8, 190, 20, seed=2), tmp_path / "gan")]
    network = inception.load(inception_weights, CPU, block=InceptionV3.BLOCK_INDEX_BY_DIM[64])
    test, images = (read_external(folder_of(Path(folder)), 32) for folder in folders)
    arrays = reference_arrays(network, test, inception_weights, FRECHET, 50, CPU)
    write_npz(tmp_path / "inception-test.npz", {**arrays, "indices": np.arange(len(test))})
    reference = read_reference(tmp_path / "inception-test.npz", file_sha256(inception_weights), CPU)
    scores = score_external(images, {"test": reference}, FRECHET, network, 50, CPU, seed=0)
    assert pytorch_fids(folders, 64, inception_weights, tmp_path) == pytest.approx(scores["value"].item(), rel=1e-6)

    identity = {"dataset": "mine", "model": "gan", "extractor": "inception"}
    (row,) = external_table(scores, identity, None, None).to_dict("records")
    assert row["comparison"] == "external" and (row["images"], row["reference_images"]) == (34, 30)
    assert row.items() >= identity.items() and np.isnan(row["extractor_accuracy"])
    assert not {"filters", "depth", "latent", "seed"} & row.keys()


def pytorch_fids(folders: list[str], dimensions: int, weights: Path, tmp_path: Path) -> float:
    """pytorch-fid's own function, with weights from a file."""
    before = torch.hub.get_dir()
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(weights, tmp_path / "checkpoints" / inception.URL.rsplit("/", 1)[1])
    torch.hub.set_dir(tmp_path)
    try:
        return calculate_fid_given_paths(folders, 50, "cpu", dimensions, 0)
    finally:
        torch.hub.set_dir(before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning", "ignore::scipy.linalg.LinAlgWarning")
def test_the_score_that_a_run_stores_is_pytorch_fids_of_the_same_files(project, tmp_path, inception_weights):
    """All 2,048 features: more than images, so that pytorch-fid's root of a singular product limits the tolerance."""
    folder = copy_project(project, tmp_path)
    for name, images in {
        "train": smooth_images(10, 2, 90, 40, seed=0),
        "test": smooth_images(60, 2, 90, 40, seed=1),
        "gan": smooth_images(200, 0.8, 190, 20, seed=2),
    }.items():
        write_pngs(images, folder / name)
    config = f"""
run: [mine]
datasets: {{ mine: {{ source: folder, folder: {{ train: train, test: test }}, latent: 4 }} }}
experiments: {{ mine: [{{ dataset: mine, model: dae, filters: 2 }}] }}
extractors: {{ inception: {{ weights: {inception_weights} }} }}
external: {{ gan: {{ dataset: mine, folder: gan }} }}
run_measures: [frechet]
"""
    (folder / "mine.yaml").write_text(config, encoding="utf-8")
    target = "results/external/gan/scores/inception.parquet"
    done = snakemake(folder, target, configs=("mine.yaml",))
    # No autoencoder is trained for it.
    assert planned(done.stdout) == {"prepare_dataset": 1, "prepare_external": 1, "reference": 1, "score_external": 1}
    (row,) = pd.read_parquet(folder / target).to_dict("records")
    assert (row["images"], row["reference_images"], row["extractor"]) == (200, 60, "inception-other")
    theirs = pytorch_fids([str(folder / "test"), str(folder / "gan")], 2048, inception_weights, tmp_path)
    assert row["value"] == pytest.approx(theirs, rel=1e-6)


# ---- tables and figures


@pytest.fixture
def stored(tmp_path):
    """Writes a file of rule score_external, and returns its path."""

    def write(name: str, value: float, dataset="digits", extractor="classifier", images=10, **other) -> Path:
        row = {"dataset": dataset, "model": name, "extractor": extractor, "extractor_accuracy": np.nan}
        row |= {"extractor_chance": np.nan, "comparison": "external", "measure": "frechet", "value": value}
        row |= {"error": np.nan, "images": images, "reference_images": 12_000, "status": "ok", **other}
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        write_parquet(path, pd.DataFrame([row]))
        return path

    return write


def test_their_rows_follow_the_cells_which_keep_their_types(stored):
    cells = merged(cell(values=3), cell("cifar10", "vae", extractor="inception", filters=128, latent=128, values=40))
    pd.testing.assert_frame_equal(with_external(cells, []), cells)
    assert of_cells(cells) is cells
    scores = with_external(cells, [stored("gan", 2), stored("ddpm", 1, "cifar10", "inception")])
    pd.testing.assert_frame_equal(of_cells(scores), cells)
    assert list(scores) == list(cells)
    rows = scores.iloc[len(cells) :]
    pd.testing.assert_frame_equal(of_external(scores), rows)
    assert rows[["model", "setting", "comparison", "value"]].to_numpy().tolist() == [
        ["gan", "external", "external", 2.0],
        ["ddpm", "external", "external", 1.0],
    ]
    assert rows[["filters", "latent", "seed", "steps"]].isna().all(axis=None) and set(rows["depth"]) == {""}
    # Nothing of the paper stands beside them.
    assert rows["published"].isna().all()


def test_table2_has_them_below_ours_and_never_bold(stored):
    cells = merged(
        *(cell(model=model, values=value) for model, value in (("dae", 3), ("vae", 4))),
        cell("cifar10", extractor="inception", filters=128, latent=128, values=40),
        cell("celeba", extractor="inception", filters=128, latent=64, values=40),
    )
    files = [stored("gan", 1.5), stored("few", 2.5, images=9), stored("ddpm", 0.5, "cifar10", "inception")]
    scores = with_external(cells, files)
    plain = table2(of_cells(scores), PUBLISHED, LATENT)
    table = add_external(plain, of_measure(of_external(scores)))
    pd.testing.assert_frame_equal(add_external(plain, of_external(cells)), plain)
    assert table["source"].tolist()[-3:] == ["external"] * 3 and table["external"].notna().sum() == 3
    assert table["external_images"].tolist()[-3:] == [10, 9, 10]
    # The columns and marks of ours are what they are without.
    pd.testing.assert_frame_equal(table[: len(plain)][list(plain)], plain, check_dtype=False)
    mask = best(table)
    pd.testing.assert_frame_equal(mask[: len(plain)][list(plain)], best(plain))
    assert not mask[len(plain) :].any(axis=None) and not mask["external"].any()

    sections = list(table2_sections(table, of_cells(scores), PUBLISHED, NO_NOISE))
    header, dae, _, gan, few = shown(sections, "digits, classifier")
    place = header.index("External")
    assert header.index("GMM") < place < header.index("Seeds")
    assert (dae[place], gan[place], few[place]) == ("–", "1.50", "2.50") and gan[header.index("GMM")] == "–"
    assert gan[header.index("Model")] == "gan (external, 10 images)" and gan[header.index("Seeds")] == "–"
    (text,) = [section.text for section in sections if section.heading == "digits, classifier"]
    assert "External: images made elsewhere" in text and "few: fewer images than the 10 of a sample" in text
    assert "gan: fewer" not in text and "Every score compares 10 images" in text
    rows = shown(sections, "CIFAR-10, inception")
    assert (
        rows[-1][rows[0].index("Model")] == "ddpm (external, 10 images)"
        and rows[-1][rows[0].index("External")] == "0.50"
    )
    assert any("(cited)" in row[rows[0].index("Model")] for row in rows[1:-1])
    # A dataset without any has neither the column nor the sentence.
    assert "External" not in shown(sections, "CelebA, inception")[0]
    assert "External" not in next(section.text for section in sections if section.heading == "CelebA, inception")


def test_table2_can_hold_them_alone(stored):
    scores = with_external(merged(cell(latent=4, values=3)), [stored("gan", 1.5)])
    table = add_external(table2(of_cells(scores), PUBLISHED, LATENT), of_external(scores))
    sections = list(table2_sections(table, of_cells(scores), PUBLISHED, NO_NOISE))
    header, gan = shown(sections, "digits, classifier")
    assert gan[header.index("External")] == "1.50" and "Bold" not in sections[0].text


def test_the_page_of_all_scores_has_them_in_the_section_of_each_measure(stored):
    scored = [cell(values=3), cell(model="vae", values=None), cell(values=0.002, measure="kid", error=0.0005)]
    files = [stored("gan", 1.5), stored("gan", 0.004, measure="kid", error=0.001)]
    scores = with_external(merged(*scored), files)
    sections = list(all_scores_sections(scores))
    header, dae, vae, gan = shown(sections, "digits, classifier")
    place = header.index("External")
    assert (dae[place], vae[place], gan[place]) == ("–", "–", "1.50") and gan[header.index("Depth")] == "–"
    header, _, gan = shown(sections, "digits, classifier, kid")
    assert gan[header.index("External")] == "4.00 ± 1.00"


def test_figures_have_a_line_for_each_in_panels_of_samples(stored):
    cells = figure_scores("cifar10", "inception", GRIDS["noise"]).assign(images=10)
    files = [stored("my-gan", 180, "cifar10", "inception"), stored("few", 330, "cifar10", "inception", images=9)]
    files += [stored("other", 1, "digits", "inception"), stored("other", 2, "cifar10", "classifier")]
    table = with_external(cells, files[:2])
    recon, *samples = draw("noise", table).axes
    assert not labelled(recon, "my-gan") and len(samples) == 2
    for axes in samples:
        (gan,), (few,), (floor,) = (labelled(axes, name) for name in ("my-gan", "few", "floor"))
        assert list(gan.get_ydata()) == [180, 180] and list(few.get_ydata()) == [330, 330]
        low, high = axes.get_ylim()
        assert low < 180 < 330 < high
        # Thin and black, where the floor is grey and dotted; from edge to edge, and without markers.
        assert gan.get_color() != floor.get_color() and gan.get_linewidth() < 0.7 * floor.get_linewidth()
        assert gan._dash_pattern != few._dash_pattern and gan.get_marker() == "None"
        assert gan.get_transform() == axes.get_yaxis_transform(which="grid")
    texts = [text.replace("\n", " ") for text in legend_texts(draw("noise", table))]
    assert texts.index("my-gan") + 1 == texts.index("few (9 images)")
    for name in ("figure1", "figure2_5", "figure3", "figure4"):
        figure = draw(name, with_external(figure_scores("cifar10", "inception", GRIDS[name]).assign(images=10), files))
        assert all(labelled(axes, "my-gan") and not labelled(axes, "other") for axes in figure.axes)
        without = draw(name)
        assert not any(labelled(axes, "my-gan") for axes in without.axes)
        assert not any("External" in text for text in legend_texts(without))


# ---- runs

CONFIGS = ("config/demo.yaml", "tiny.yaml", "mine.yaml")
RESULTS = Path("results/demo")


@pytest.fixture(scope="module")
def run(finished_project, tmp_path_factory) -> Path:
    """A finished run to which images made elsewhere are added."""
    folder = Path(shutil.copytree(finished_project, tmp_path_factory.mktemp("external") / "project"))
    write_pngs(smooth_images(320, 2, 120, 60, seed=0), folder / "gan")
    (folder / "mine.yaml").write_text("external: { gan: { dataset: digits, folder: gan } }\n", encoding="utf-8")
    return folder


# What is drawn and written from scores, of those rules that show images made elsewhere.
TABLES = {"collect_scores", "table2", "table3", "claims", "figure", "contact_sheet"}
RECORD = {"provenance", "provenance_page", "all"}


@pytest.mark.slow
def test_a_run_scores_them_and_nothing_else_and_shows_them(run):
    jobs = planned(snakemake(run, configs=CONFIGS).stdout)
    assert set(jobs) == {"prepare_external", "score_external", *TABLES, *RECORD}
    record = json.loads((run / RESULTS / "external/gan/external.json").read_text(encoding="utf-8"))
    assert (record["found"], record["images"], record["copies"]) == (320, 300, {"train": 0, "test": 0})
    stored = np.load(run / RESULTS / "external/gan/images.npy")
    every = {image.tobytes() for image in smooth_images(320, 2, 120, 60, seed=0)}
    assert len(stored) == 300 and all(image.tobytes() in every for image in stored)
    scores = pd.read_parquet(run / RESULTS / "tables/scores.parquet")
    (row,) = of_external(scores).to_dict("records")
    assert row["model"] == "gan" and row["images"] == row["reference_images"] == 300 and row["value"] > 0
    table = (run / RESULTS / "tables/table2.md").read_text(encoding="utf-8")
    assert "gan (external, 300 images)" in table and "External: images made elsewhere" in table
    assert "external" not in (run / RESULTS / "tables/table3.md").read_text(encoding="utf-8")
    assert "gan" not in (run / RESULTS / "tables/claims.md").read_text(encoding="utf-8")
    for name in ("figure1", "noise"):
        assert "images made\nelsewhere" in (run / RESULTS / f"figures/{name}-classifier.html").read_text("utf-8")
    # `make status` lists the jobs, and counts cells as before.
    (record, *_) = sorted((run / RESULTS / "logs/runs").glob("*.json"), key=lambda file: -file.stat().st_mtime)
    jobs = {job["name"]: job for job in json.loads(record.read_text(encoding="utf-8"))["jobs"]}
    assert {"prepare_external/gan", "score_external/gan/classifier"} <= jobs.keys()
    assert jobs["score_external/gan/classifier"]["cell"] == ""
    assert "Nothing to be done" in snakemake(run, "-n", configs=CONFIGS).stdout


@pytest.mark.slow
def test_changed_files_are_scored_again_and_wrong_ones_refused(run):
    """After the test above."""
    Image.new("RGB", (32, 32), "red").save(run / "gan" / "00000.png")
    assert set(planned(snakemake(run, "-n", configs=CONFIGS).stdout)) - {"all"} == {
        *("prepare_external", "score_external", *TABLES)
    }
    (run / "mine.yaml").write_text("external: { gan: { dataset: digits, folder: gone } }\n", encoding="utf-8")
    done = snakemake(run, "-n", configs=CONFIGS, check=False)
    assert done.returncode and "external.gan.folder: there is no folder 'gone'" in done.stdout
    # The test images themselves.
    test = np.load(run / RESULTS / "datasets/digits/test.npz")["images"]
    write_pngs(test, run / "cheat")
    (run / "mine.yaml").write_text("external: { cheat: { dataset: digits, folder: cheat } }\n", encoding="utf-8")
    done = snakemake(run, configs=CONFIGS, check=False)
    assert done.returncode and "300 of the 300 images are exact copies of test images" in done.stdout
    assert not (run / RESULTS / "external/cheat/scores").exists()
