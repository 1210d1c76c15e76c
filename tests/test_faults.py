"""Real faults during a run: each ends in one clear message, and no finished result is lost."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from comparing import lasting_results
from matplotlib.figure import Figure
from PIL import Image
from running import copy_project, hold_jobs, planned, snakemake_command, started, wait_until

from autoencoders.figures.page_style import save
from autoencoders.figures.tiles import write_png
from autoencoders.jobs import files
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.parquet_tables import write_parquet
from autoencoders.networks.network import Autoencoder, NetworkOptions, parse_depth
from autoencoders.networks.weights import save_weights

SCRIPTS = Path(files.__file__).parents[2]
RESULTS = "results/faults"
CELL = f"{RESULTS}/cells/digits/dae/f2-d1-z4-s0"
CONFIG = {
    "run": ["mine"],
    "pathvars": {"results": RESULTS},
    "datasets": {
        "digits": {
            "source": "sklearn",
            "sklearn": {"name": "digits"},
            "size": 32,
            "latent": [4],
            "limit": {"train": 120, "test": 40},
            "extractors": ["classifier"],
        }
    },
    "model_defaults": {"decoder_channels": None},
    "models": {"vae-diverges": {"variational": True, "beta": 1e39}},
    "experiments": {"mine": [{"dataset": "digits", "model": "dae", "filters": 2}]},
    "training": {"epochs": 1, "learning_rate": [{"epoch": 0, "rate": 1e-3}]},
    "extractors": {"classifier": {"epochs": 1}},
    "scoring": {"images": 40},
    "priors": {"gmm": {"components": 2}},
}


def write_config(folder: Path, **changes) -> None:
    (folder / "mine.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}), encoding="utf-8")


def new_project(project: Path, folder: Path, **changes) -> Path:
    folder.mkdir(exist_ok=True)
    copy_project(project, folder)
    hold_jobs(folder)
    write_config(folder, **changes)
    return folder


command = partial(snakemake_command, configs=("mine.yaml",))


def run(folder: Path, *arguments: str, fails: bool = False, before: tuple[str, ...] = ()) -> str:
    """Snakemake's output; with ``fails``, of a run that must end with an error. ``before`` precedes the command."""
    options = {"cwd": folder, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run([*before, *command(*arguments)], **options)
    assert (done.returncode != 0) == fails, done.stdout[-5000:]
    return done.stdout


def contents(folder: Path) -> dict[str, object]:
    """The results that are the same in every run, by file."""
    return {name: found for name, found in lasting_results(folder / RESULTS).items() if found is not None}


@pytest.fixture(scope="module")
def finished(project, tmp_path_factory) -> Path:
    """A small project in which everything is complete."""
    folder = new_project(project, tmp_path_factory.mktemp("finished"))
    run(folder)
    return folder


@pytest.fixture
def again(finished, tmp_path) -> Path:
    """A copy of it that a test may damage."""
    return Path(shutil.copytree(finished, tmp_path / "again", symlinks=True))


# ---- a full disk

NOISE = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
WRITERS = {
    "a.npy": lambda path: files.write_npy(path, NOISE),
    "b.npz": lambda path: files.write_npz(path, {"a": NOISE}),
    "c.json": lambda path: files.write_json(path, NOISE.tolist()),
    "d.safetensors": lambda path: save_weights(path, Autoencoder(NetworkOptions(32, 4, parse_depth("1"), 6), 0)),
    "e.parquet": lambda path: write_parquet(path, pd.DataFrame({"a": NOISE.ravel()})),
    "f.png": lambda path: write_png(path, NOISE),
    "g.png": lambda path: save(drawn(NOISE), path),
}


def drawn(pixels: np.ndarray) -> Figure:
    figure = Figure()
    figure.subplots().imshow(pixels)
    return figure


@pytest.mark.parametrize("name", WRITERS)
def test_an_error_on_a_full_disk_names_the_file_and_removes_the_incomplete_one(tmp_path, name):
    """The limit of a file's size stands in for the disk's: Python ignores SIGXFSZ, so that the write fails."""
    target = tmp_path / "folder" / name
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(UserError, match=f"{re.escape(str(target))} can't be written: the disk is full"):
            WRITERS[name](target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(target.parent.iterdir())
    WRITERS[name](target)
    assert [file.name for file in target.parent.iterdir()] == [name] and target.stat().st_size > 20_000


@pytest.mark.slow
def test_a_run_on_a_full_disk_keeps_finished_files_and_continues_once_there_is_room(again):
    before = contents(again)
    for name in ("gallery.npz", "reconstructions.png"):
        (again / CELL / name).unlink()
    kept, other = contents(again), CELL.replace("/f2-", "/f4-")
    targets = [f"{CELL}/reconstructions.png", f"{other}/weights.safetensors"]
    # In KiB: below the two files' sizes, and above the 40 of the script that Snakemake writes for a job.
    limited = ("bash", "-c", 'ulimit -f 100 && exec "$@"', "-")
    output = run(again, *targets, "--keep-going", fails=True, before=limited)
    for file in (f"{CELL}/images/train_recon.npy", targets[1]):
        assert output.count(f": {file} can't be written: the disk is full") == 1, output
    # A training without room for its checkpoint says so and continues.
    assert "no checkpoint is written" in output and "Traceback" not in output
    assert contents(again) == kept
    run(again, *targets)
    made = {name: content for name, content in contents(again).items() if "/f4-d1-z4-s0/" in name}
    assert contents(again) == before | made
    assert {Path(name).name for name in made} == {
        "cell.json",
        "weights.safetensors",
        "history.parquet",
        "checkpoint.safetensors",
    }


# ---- a read-only folder


def bound_by_permissions() -> tuple[str, ...]:
    """A prefix for commands: then even root may write only where permissions allow it."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and setpriv is missing")
    capabilities = "-dac_override,-dac_read_search"
    return "setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}"


@pytest.mark.slow
def test_a_read_only_results_folder_is_refused_before_any_job(again):
    shutil.rmtree(again / CELL)
    before, limits = contents(again), bound_by_permissions()
    (again / RESULTS).chmod(0o555)
    try:
        refused = run(again, fails=True, before=limits)
        assert planned(run(again, "--dry-run", before=limits))["train"] == 1
    finally:
        (again / RESULTS).chmod(0o755)
    assert f"{RESULTS} can't be written" in refused and "Make its folder writable" in refused
    assert "Traceback" not in refused and "Error in rule" not in refused
    assert contents(again) == before
    # Nothing must be unlocked.
    run(again, f"{CELL}/history.parquet", before=limits)


# ---- full memory

MEMORY = """
import logging, resource, sys

import numpy as np
import torch

from autoencoders.jobs.job import job
from autoencoders.latent.encode_decode import decode, encode
from autoencoders.networks.network import Autoencoder, NetworkOptions, parse_depth
from autoencoders.networks.objective import Objective
from autoencoders.networks.training import TrainingOptions, train

torch.set_num_threads(1)
cpu, count = torch.device("cpu"), 4000
random = np.random.default_rng(0)
images = random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
codes = random.normal(size=(count, 8))
network = Autoencoder(NetworkOptions(32, 16, parse_depth("1"), 8), seed=0).eval()


def limit(megabytes):
    with open("/proc/self/status") as status:
        (now,) = (int(line.split()[1]) * 1024 for line in status if line.startswith("VmSize"))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard if megabytes is None else now + megabytes * 2**20, hard))


work = {
    "encode": lambda some, size: encode(network, images[some], size, cpu),
    "decode": lambda some, size: decode(network, codes[some], size, cpu),
}
what = sys.argv[1]
if what == "train":
    with job(sys.argv[2]):
        limit(150)
        options = TrainingOptions(1, count, ((0, 1e-3),))
        train(Autoencoder(network.options, seed=0), images, options, Objective(), 0, cpu)
logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
# Small batches, which also fit under the limit: the libraries allocate their own memory before it is set.
expected = work[what](slice(3800, None), 100)
limit(int(sys.argv[2]))
found = work[what](slice(None), count)[3800:]
limit(None)
assert np.abs(found.astype(np.float64) - expected).max() < 1e-4 * np.abs(expected).max()
"""
LINUX_ONLY = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory can't be limited here")


def python(code: str, *arguments: object) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"}
    # Freed memory returns to the machine at once, so that memory limits always mean the same.
    environment |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    done = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(done, env=environment, text=True, capture_output=True)


@LINUX_ONLY
@pytest.mark.slow
@pytest.mark.parametrize(("what", "megabytes"), [("encode", 120), ("decode", 200)])
def test_evaluation_halves_its_batches_until_they_fit(what, megabytes):
    done = python(MEMORY, what, megabytes)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    # One for each new batch size, not for each batch.
    assert 1 <= len(lines) <= 3 and "instead of 4000" in lines[0]


@LINUX_ONLY
@pytest.mark.slow
def test_training_out_of_memory_ends_with_what_to_lower(tmp_path):
    """It never lowers its batch size, which changes results."""
    done = python(MEMORY, "train", tmp_path / "train.log")
    assert done.returncode == 70, done.stderr
    assert (
        "out of memory (" in done.stderr
        and "training.batch_size or an extractor's, which changes results" in done.stderr
    )
    assert "Traceback" not in done.stderr


# ---- damaged results


@pytest.mark.slow
def test_a_damaged_result_is_named_and_rebuilt_once_it_is_deleted(again):
    """Truncated, with the same time stamp, so that Snakemake accepts it."""
    before = contents(again)
    damaged = {
        f"{RESULTS}/datasets/digits/test.npz": "preview_dataset",
        f"{CELL}/scores/classifier.parquet": "collect_scores",
        f"{RESULTS}/tables/latent.parquet": "latent_figure",
    }
    for name in damaged:
        stamps = (again / name).stat()
        (again / name).write_bytes((again / name).read_bytes()[:-200])
        os.utime(again / name, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    output = run(again, "--keep-going", "--forcerun", *damaged.values(), fails=True)
    for name in damaged:
        assert re.search(rf"^\[.* {re.escape(name)} .*Delete it", output, flags=re.MULTILINE), name
        (again / name).unlink()
    assert "Traceback" not in output
    run(again, "--forcerun", *damaged.values())
    assert contents(again) == before


# ---- unusual images


@pytest.mark.slow
def test_a_few_images_of_all_sizes_and_modes_go_through_the_whole_chain(project, tmp_path):
    """Fewer images than latent units: the Gaussian's covariance is singular, and has no likelihood."""
    random, modes = np.random.default_rng(0), ("RGB", "L", "RGBA", "P", "1", "CMYK", "I;16")
    photos = {"source": "folder", "folder": {"train": "photos"}, "size": 32, "latent": [32]}
    datasets = {"photos": photos | {"extractors": ["classifier"]}}
    experiments = {"mine": [{"dataset": "photos", "model": "dae", "filters": 2}]}
    folder = new_project(project, tmp_path / "project", datasets=datasets, experiments=experiments)
    for number in range(28):
        pixels = random.integers(0, 256, (30 + number, 64 - number, 3), dtype=np.uint8)
        mode = modes[number % len(modes)]
        wide = mode == "I;16"
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257 if wide else pixels)
        path = folder / "photos" / "ab"[number // 14] / f"{number}.{'tif' if mode == 'CMYK' else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        (image if wide else image.convert(mode)).save(path)
    assert "22 codes for 32 latent units: the covariance is singular" in run(folder, "all_tables")
    scores = pd.read_parquet(folder / RESULTS / "tables/scores.parquet")
    assert set(scores.status) == {"ok"} and np.isfinite(scores.value).all()
    latent = pd.read_parquet(folder / RESULTS / "tables/latent.parquet")
    assert (latent["rank"] <= 21).all()
    assert latent.mvg_log_likelihood.isna().all() and latent.mean_abs_skewness.notna().all()
    (folder / "photos/a/0.png").write_bytes((folder / "photos/a/0.png").read_bytes()[:500])
    output = run(folder, fails=True)
    assert "photos/a/0.png cannot be read as an image" in output and "Traceback" not in output


@pytest.mark.slow
def test_if_all_cells_diverge_every_table_and_figure_is_still_built(project, tmp_path):
    cells = [{"dataset": "digits", "model": "vae-diverges", "filters": 2}]
    experiments = {"mine": cells, "scatter": cells}
    folder = new_project(project, tmp_path / "project", experiments=experiments, run=["mine", "scatter"])
    run(folder)
    tables = ("scores", "table1", "table2", "table3", "claims", "latent", "parameters", "costs")
    figures = ("mine-classifier", "scatter-digits", "latent_statistics", "learning_curves-digits", "contact_sheet")
    for name in [*(f"tables/{table}.html" for table in tables), *(f"figures/{figure}.pdf" for figure in figures)]:
        assert (folder / RESULTS / name).stat().st_size
    assert set(pd.read_parquet(folder / RESULTS / "tables/scores.parquet").status) == {"diverged"}


# ---- two runs, kills, changes


@pytest.mark.slow
def test_a_second_run_in_the_same_folder_is_refused_and_the_first_continues(again):
    before, target = contents(again), f"{CELL}/scores/classifier.parquet"
    (again / target).unlink()
    log = again / RESULTS / "logs/sample/digits/dae/f2-d1-z4-s0.log"
    log.unlink()
    (again / "hold-sample").touch()
    with started(again, command(target)) as first:
        wait_until(log.exists, first)
        refused = run(again, target, fails=True)
        assert planned(run(again, target, "-n"))["score"] == 1
        (again / "hold-sample").unlink()
        assert first.wait(300) == 0, (again / "output.txt").read_text(encoding="utf-8")
    assert "Directory cannot be locked" in refused and "--unlock" in refused and "Traceback" not in refused
    assert contents(again) == before


@pytest.mark.slow
def test_a_killed_run_resumed_with_another_config_has_the_results_of_a_new_run(project, finished, tmp_path):
    """The config differs from ``CONFIG`` in priors and training; then these jobs are run again, and no others."""
    other = {"priors": {"gmm": {"components": 3}}, "training": {**CONFIG["training"], "epochs": 2}}
    folder = new_project(project, tmp_path / "project", **other)
    (folder / "hold-sample").touch()
    with started(folder, command("all_scores")) as process:
        wait_until((folder / CELL / "priors/mvg.npz").exists, process)
        os.killpg(process.pid, signal.SIGKILL)
    (folder / "hold-sample").unlink()
    # Which of the two Snakemake asks for first depends on timing; the documentation names both.
    assert re.search("--unlock|--rerun-incomplete", run(folder, "all_scores", fails=True))
    assert "--unlock" in run(folder, "all_scores", "--rerun-incomplete", fails=True)
    run(folder, "all_scores", "--unlock")
    write_config(folder)
    prepared = folder / RESULTS / "datasets/digits/train.npz"
    before = prepared.stat().st_mtime_ns
    jobs = planned(run(folder, "all_scores", "--rerun-incomplete"))
    assert "prepare_dataset" not in jobs and jobs["train"] == 1
    assert prepared.stat().st_mtime_ns == before
    made = contents(folder)
    assert {Path(name).name for name in made} >= {"weights.safetensors", "codes.npy", "gmm.npz", "classifier.parquet"}
    assert made.items() <= contents(finished).items()


@pytest.mark.slow
def test_touch_clears_a_checkout_that_only_changed_time_stamps(again):
    before = contents(again)
    assert "Nothing to be done" in run(again, "-n")
    for file in [again / "Snakefile", *(again / "workflow").rglob("*"), *(again / "config").rglob("*")]:
        os.utime(file)
    assert planned(run(again, "-n"))["train"] == 1
    run(again, "--touch")
    assert "Nothing to be done" in run(again, "-n")
    assert contents(again) == before
