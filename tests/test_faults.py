"""What may happen to a run: each fault is really provoked, ends in one clear message, and loses nothing."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from running import copy_project, planned, snakemake

from autoencoders.jobs import files

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
    "models": {"vae-diverges": {"variational": True, "beta": 1e39}},
    "experiments": {"mine": [{"dataset": "digits", "model": "dae", "filters": 2}]},
    "training": {"epochs": 1, "learning_rate": [{"epoch": 0, "rate": 1e-3}]},
    "extractors": {"classifier": {"epochs": 1}},
    "scoring": {"images": 40},
    "priors": {"gmm": {"components": 2}},
}


def new_project(project: Path, folder: Path, **changes) -> Path:
    folder.mkdir(exist_ok=True)
    copy_project(project, folder)
    (folder / "mine.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}))
    return folder


def run(folder: Path, *arguments: str, fails: bool = False) -> str:
    """Snakemake's output; with ``fails``, of a run that has to end with an error."""
    done = snakemake(folder, *arguments, configs=("mine.yaml",), check=not fails)
    assert (done.returncode != 0) == fails, done.stdout[-5000:]
    return done.stdout


def contents(folder: Path) -> dict[Path, bytes]:
    """The results that have the same bytes whenever they are made: not what is measured."""
    measured = {"cell.json", "provenance.json", "classifier-digits.json"}
    found = {}
    for file in (folder / RESULTS).rglob("*"):
        name = file.relative_to(folder / RESULTS)
        if file.is_file() and file.name not in measured and name.parts[0] not in ("logs", "benchmarks"):
            found[name] = b"" if file.stem == "costs" else file.read_bytes()
    return found


@pytest.fixture(scope="module")
def finished(project, tmp_path_factory) -> Path:
    """A small project in which everything is made."""
    folder = new_project(project, tmp_path_factory.mktemp("finished"))
    run(folder)
    return folder


@pytest.fixture
def again(finished, tmp_path) -> Path:
    """A copy of it to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "again", symlinks=True))


# ---- a full disk

LIMITED = """
import resource, sys
from pathlib import Path

import numpy as np
from autoencoders.jobs import files
from autoencoders.jobs.errors import UserError

rows = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)


def safetensors(path):
    from autoencoders.scores.extractors.classifier import classifier_network
    from safetensors.torch import save_file

    with files.atomic(path) as temporary:
        save_file(classifier_network(classes=2).state_dict(), temporary)


def weights(path):
    from autoencoders.networks.network import Autoencoder, NetworkOptions, parse_depth
    from autoencoders.networks.weights import save_weights

    save_weights(path, Autoencoder(NetworkOptions(32, 4, parse_depth("1"), 6), seed=0))


def parquet(path):
    import pandas as pd

    from autoencoders.jobs.parquet_tables import write_parquet

    write_parquet(path, pd.DataFrame({"a": rows.ravel()}))


def png(path):
    from autoencoders.figures.tiles import write_png

    write_png(path, rows)


def figure(path):
    from matplotlib.figure import Figure

    from autoencoders.figures.page_style import save

    drawn = Figure()
    drawn.subplots().imshow(rows)
    save(drawn, path)


writers = {
    "npy": lambda path: files.write_npy(path, rows),
    "npz": lambda path: files.write_npz(path, {"a": rows}),
    "json": lambda path: files.write_json(path, rows.tolist()),
    "safetensors": safetensors,
    "weights": weights,
    "parquet": parquet,
    "png": png,
    "figure": figure,
}
target = Path(sys.argv[2])
# Python ignores the signal of a file that is too large, so that the write fails instead.
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
try:
    writers[sys.argv[1]](target)
except UserError as error:
    print(error)
else:
    sys.exit("it was written")
assert not list(target.parent.iterdir()), "something is left"
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
writers[sys.argv[1]](target)
assert [file.name for file in target.parent.iterdir()] == [target.name]
assert target.stat().st_size > 20_000
"""


def python(code: str, *arguments: object) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"}
    # Memory that is freed goes back to the machine at once, and limits of it mean the same every time.
    environment |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, text=True, capture_output=True
    )


@pytest.mark.parametrize("kind", ["npy", "npz", "json", "safetensors", "weights", "parquet", "png", "figure"])
def test_whatever_is_written_a_full_disk_is_told_and_half_a_file_removed(tmp_path, kind):
    target = tmp_path / f"result.{'png' if kind == 'figure' else kind}"
    done = python(LIMITED, kind, target)
    assert done.returncode == 0, done.stderr
    message = done.stdout
    assert message.startswith(f"{target} can't be written: the disk is full, or a quota or limit is reached")
    assert message.endswith("Make room, and run the same command again.\n") and message.count("\n") == 1


def test_a_log_on_a_full_disk_does_not_bury_the_message():
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    code = """
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.job import job

with job("/dev/full"):
    raise UserError("write something else")
"""
    done = python(code)
    assert done.returncode == 70
    assert done.stderr.count("\n") == 1 and done.stderr.endswith(": write something else\n")


def test_a_run_on_a_full_disk_keeps_what_is_finished_and_goes_on_once_there_is_room(again):
    before = contents(again)
    for name in ("gallery.npz", "reconstructions.png"):
        (again / CELL / name).unlink()
    kept, other = contents(again), CELL.replace("-s0", "-s1")
    targets = [f"{CELL}/reconstructions.png", f"{other}/weights.safetensors"]
    options = ["--keep-going", "--cores", "2", "--resources", "gpu=0", "--configfile", "mine.yaml"]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 40 && exec "$@"', "-", sys.executable, "-m", "snakemake", *targets, *options],
        cwd=again,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 1
    told = [line for line in done.stdout.splitlines() if "can't be written" in line]
    # A training that has no room for its checkpoint says so and goes on.
    # By job, whichever failed first: lines begin with the time.
    messages = sorted(
        (line for line in told if "no checkpoint is kept" not in line), key=lambda line: line.partition("] ")[2]
    )
    assert (len(messages), len(told)) == (2, 3), done.stdout
    for message, file in zip(messages, (f"{CELL}/images/train_recon.npy", targets[1]), strict=True):
        assert f": {file} can't be written: the disk is full" in message
    assert "Traceback" not in done.stdout
    assert contents(again) == kept
    run(again, *targets)
    made = {name for name in contents(again) if f"{RESULTS}/{name}".startswith(f"{other}/")}
    assert {name: content for name, content in contents(again).items() if name not in made} == before
    assert {name.name for name in made} == {"weights.safetensors", "history.parquet", "checkpoint.safetensors"}


# ---- results that can't be written to


def bound_by_permissions(*command: str) -> list[str]:
    """The command, run so that root too may write only where permissions say so."""
    if os.geteuid() != 0:
        return list(command)
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and there is no setpriv that takes this from it")
    capabilities = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}", *command]


def test_a_read_only_results_folder_is_refused_before_any_job(again):
    shutil.rmtree(again / CELL)
    before, folder = contents(again), again / RESULTS
    options = ["--cores", "1", "--resources", "gpu=0", "--configfile", "mine.yaml"]
    command = bound_by_permissions(sys.executable, "-m", "snakemake")

    def attempt(*more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*command, *more, *options], cwd=again, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    folder.chmod(0o555)
    try:
        refused, dry = attempt(), attempt("--dry-run")
    finally:
        folder.chmod(0o755)
    assert refused.returncode == 1
    assert f"{RESULTS} can't be written" in refused.stdout and "Make its folder writable" in refused.stdout
    assert "Traceback" not in refused.stdout and "Error in rule" not in refused.stdout
    assert dry.returncode == 0 and planned(dry.stdout)["train"] == 1
    assert contents(again) == before
    # Nothing has to be unlocked.
    assert attempt(f"{CELL}/history.parquet").returncode == 0


# ---- memory

MEMORY = """
import logging, resource, sys

import numpy as np
import torch

from autoencoders.jobs.job import job
from autoencoders.latent.encode_decode import decode, encode
from autoencoders.networks.network import Autoencoder, NetworkOptions, parse_depth
from autoencoders.networks.objective import Objective
from autoencoders.networks.training import TrainingOptions, train
from autoencoders.scores.extractors.classifier import classifier_network
from autoencoders.scores.features import extract

torch.set_num_threads(1)
cpu, count = torch.device("cpu"), 4000
random = np.random.default_rng(0)
images = random.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
codes = random.normal(size=(count, 8))
network = Autoencoder(NetworkOptions(32, 16, parse_depth("1"), 8), seed=0).eval()
classifier = classifier_network(10).eval().to(memory_format=torch.channels_last)[:-1]


def limit(megabytes):
    with open("/proc/self/status") as status:
        (now,) = (int(line.split()[1]) * 1024 for line in status if line.startswith("VmSize"))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard if megabytes is None else now + megabytes * 2**20, hard))


def training():
    options = TrainingOptions(1, count, ((0, 1e-3),))
    train(Autoencoder(network.options, seed=0), images, options, Objective(), 0, cpu)


work = {
    "encode": lambda some, size: encode(network, images[some], size, cpu),
    "decode": lambda some, size: decode(network, codes[some], size, cpu),
    "extract": lambda some, size: extract(classifier, images[some], size, cpu).numpy(),
}
what = sys.argv[1]
if what == "train":
    with job(sys.argv[2]):
        limit(150)
        training()
logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
# In small batches, which fit once the limit holds: what the libraries keep is there.
expected = work[what](slice(3800, None), 100)
limit(int(sys.argv[2]))
found = work[what](slice(None), count)[3800:]
limit(None)
assert np.abs(found.astype(np.float64) - expected).max() < 1e-4 * np.abs(expected).max()
"""


def linux_only() -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("no limit of memory that a test can set")


@pytest.mark.parametrize(("what", "megabytes"), [("encode", 120), ("decode", 200), ("extract", 150)])
def test_evaluation_halves_its_batches_until_they_fit(what, megabytes):
    linux_only()
    done = python(MEMORY, what, megabytes)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    # Once for each size that was settled on, not for each batch.
    assert 1 <= len(lines) <= 3
    assert lines[0].startswith("the memory is full: on with batches of ") and lines[0].endswith("instead of 4000")


def test_training_ends_with_what_to_lower_and_keeps_its_batch_size(tmp_path):
    linux_only()
    done = python(MEMORY, "train", tmp_path / "train.log")
    assert done.returncode == 70, done.stderr
    assert "out of memory (" in done.stderr and "which changes results, training.batch_size" in done.stderr
    assert "Traceback" not in done.stderr and "on with batches" not in done.stderr


# ---- damaged results


def test_a_damaged_result_is_named_and_made_again_once_it_is_deleted(again):
    """Truncated, as a disk or a copy may leave them; Snakemake takes them for good, since their times are the same."""
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
        lines = [line for line in output.splitlines() if line.startswith("[") and f" {name} " in line]
        assert lines and all(re.search("Delete it, and it is made again", line) for line in lines), name
    assert "Traceback" not in output
    for name in damaged:
        (again / name).unlink()
    run(again, "--forcerun", *damaged.values())
    assert contents(again) == before


# ---- unusual images


def test_a_few_images_of_all_sizes_and_modes_go_through_the_whole_chain(project, tmp_path):
    """Fewer than latent units: the Gaussian's covariance is singular, and its likelihood unknown."""
    folder, random = new_project(project, tmp_path / "project"), np.random.default_rng(0)
    modes = ("RGB", "L", "RGBA", "P", "1", "CMYK", "I;16")
    for number in range(28):
        pixels = random.integers(0, 256, (30 + number, 64 - number, 3), dtype=np.uint8)
        mode = modes[number % len(modes)]
        image = (
            Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
            if mode == "I;16"
            else Image.fromarray(pixels).convert(mode)
        )
        path = folder / "photos" / "ab"[number // 14] / f"{number}.{'tif' if mode == 'CMYK' else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    photos = {
        "source": "folder",
        "folder": {"train": "photos"},
        "size": 32,
        "latent": [32],
        "extractors": ["classifier"],
    }
    experiments = {"mine": [{"dataset": "photos", "model": "dae", "filters": 2}]}
    (folder / "mine.yaml").write_text(
        yaml.safe_dump({**CONFIG, "datasets": {"photos": photos}, "experiments": experiments})
    )
    output = run(folder, "all_tables")
    assert "22 codes for 32 latent units: the covariance is singular" in output
    scores = pd.read_parquet(folder / RESULTS / "tables/scores.parquet")
    assert set(scores.status) == {"ok"} and np.isfinite(scores.value).all()
    latent = pd.read_parquet(folder / RESULTS / "tables/latent.parquet")
    assert (latent["rank"] <= 21).all()
    assert latent.mvg_log_likelihood.isna().all() and latent.mean_abs_skewness.notna().all()
    # A picture that is none, or half of one, is named by the first job.
    (folder / "photos/a/0.png").write_bytes((folder / "photos/a/0.png").read_bytes()[:500])
    output = run(folder, fails=True)
    assert "photos/a/0.png cannot be read as an image" in output and "Traceback" not in output


def test_all_cells_may_diverge_and_every_table_and_figure_is_there(project, tmp_path):
    experiments = {"mine": [{"dataset": "digits", "model": "vae-diverges", "filters": 2}]}
    experiments["scatter"] = experiments["mine"]
    folder = new_project(project, tmp_path / "project", experiments=experiments, run=["mine", "scatter"])
    run(folder)
    tables = ("scores", "table1", "table2", "table3", "claims", "latent", "parameters", "costs")
    figures = ("mine-classifier", "scatter-digits", "latent_statistics", "learning_curves-digits", "contact_sheet")
    made = {f"tables/{name}.{suffix}" for name in tables for suffix in ("parquet", "csv", "md", "tex", "html")}
    made |= {f"figures/{name}.{suffix}" for name in figures for suffix in ("pdf", "png")}
    assert all((folder / RESULTS / name).stat().st_size for name in made)
    assert set(pd.read_parquet(folder / RESULTS / "tables/scores.parquet").status) == {"diverged"}


# ---- two runs, kills, changes


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """A run in the background, in a process group of its own; its output is in output.txt."""
    with open(folder / "output.txt", "w") as output:
        options = ["--cores", "2", "--resources", "gpu=0", "--configfile", "mine.yaml"]
        command = [sys.executable, "-m", "snakemake", *arguments, *options]
        return subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)


def wait_for(file: Path, process: subprocess.Popen) -> None:
    while not file.exists():
        assert process.poll() is None, "the run has ended before"
        time.sleep(0.02)


def test_a_second_run_in_the_same_folder_is_refused_and_the_first_goes_on(again):
    before, target = contents(again), f"{CELL}/scores/classifier.parquet"
    (again / target).unlink()
    log = again / RESULTS / "logs/sample/digits/dae/f2-d1-z4-s0.log"
    log.unlink()
    first = start(again, target)
    try:
        wait_for(log, first)
        # Held still, so that it can't end before the second one has looked.
        os.killpg(first.pid, signal.SIGSTOP)
        refused = run(again, target, fails=True)
        planned_meanwhile = run(again, target, "-n")
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    assert first.wait() == 0, (again / "output.txt").read_text()
    assert "Directory cannot be locked" in refused and "--unlock" in refused and "Traceback" not in refused
    assert planned(planned_meanwhile)["score"] == 1
    assert contents(again) == before


def test_a_killed_run_with_a_changed_config_ends_as_if_there_had_been_no_other(project, finished, tmp_path):
    """Half of it was made with one config, which is then changed: what that affects is made again, and nothing else."""
    other = {"priors": {"gmm": {"components": 3}}, "training": {**CONFIG["training"], "epochs": 2}}
    folder = new_project(project, tmp_path / "project", **other)
    process = start(folder, "all_scores")
    wait_for(folder / CELL / "priors/mvg.npz", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # Which of them Snakemake asks for first depends on the moment; the README names both.
    assert re.search("--unlock|--rerun-incomplete", run(folder, "all_scores", fails=True))
    assert "--unlock" in run(folder, "all_scores", "--rerun-incomplete", fails=True)
    run(folder, "all_scores", "--unlock")
    (folder / "mine.yaml").write_text(yaml.safe_dump(CONFIG))
    prepared = (folder / RESULTS / "datasets/digits/train.npz").stat()
    jobs = planned(run(folder, "all_scores", "--rerun-incomplete"))
    assert "prepare_dataset" not in jobs and jobs["train"] == 1
    assert (folder / RESULTS / "datasets/digits/train.npz").stat().st_mtime_ns == prepared.st_mtime_ns
    made = contents(folder)
    assert {name.name for name in made} >= {"weights.safetensors", "codes.npy", "gmm.npz", "classifier.parquet"}
    assert made.items() <= contents(finished).items()


def test_a_checkout_that_only_touched_time_stamps_is_cleared_without_a_job(again):
    before = contents(again)
    assert "Nothing to be done" in run(again, "-n")
    for file in [again / "Snakefile", *(again / "workflow").rglob("*"), *(again / "config").rglob("*")]:
        os.utime(file)
    assert planned(run(again, "-n"))["train"] == 1
    run(again, "--touch")
    assert "Nothing to be done" in run(again, "-n")
    assert contents(again) == before
