"""Checkpoints: an interrupted training ends with the same bits, and nothing but its own checkpoint is ever used."""

import contextlib
import json
import logging
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from interrupting import Interrupted
from running import append, copy_project, snakemake, train_slowly
from safetensors.numpy import load_file, save_file

from autoencoders.jobs import training_course
from autoencoders.jobs.checkpoints import Checkpoint, checkpoint_key, remove_checkpoint
from autoencoders.latent.priors import gmm
from autoencoders.networks import training
from autoencoders.networks.network import Autoencoder, NetworkOptions, parse_depth
from autoencoders.networks.objective import Objective
from autoencoders.networks.training import TrainingOptions, TrainingResult

CPU = torch.device("cpu")
NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")
IMAGES = np.random.default_rng(0).integers(0, 256, (36, 3, 32, 32), dtype=np.uint8)
VARIANTS = {
    "dae": {},
    "vae": {"variational": True},
    "noise": {"noise": 0.5},
    "bn": {"latent_norm": "batch"},
    "ln": {"latent_norm": "layer"},
    "sn": {"latent_norm": "spectral"},
    "frozen": {"frozen_latent": True},
    "bf16": {"variational": True, "precision": "bf16"},
}
STARTS_OVER = "starts over"


def train(
    checkpoint=None, *, variational=False, noise=0.0, latent_norm="none", device=CPU, **options
) -> tuple[bytes, TrainingResult]:
    """The final weights of a training of 4 epochs of 5 batches, the last of 4 images."""
    network = Autoencoder(NetworkOptions(32, 2, parse_depth("1"), 4, variational, latent_norm), 0)
    chosen = TrainingOptions(4, 8, ((0, 1e-4), (1, 1e-3)), **options)
    objective = Objective(beta=0.01 if variational else 0, noise=noise)
    result = training.train(network, IMAGES, chosen, objective, 7, device, checkpoint)
    return b"".join(tensor.numpy(force=True).tobytes() for tensor in network.state_dict().values()), result


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("batches", [1, 3, 5, 7])
def test_however_often_a_training_is_interrupted_it_ends_with_the_same_bits(tmp_path, variant, batches, device):
    """After every batch; within and at the ends of epochs. On a GPU also before and after the step is recorded."""
    options = {**VARIANTS[variant], "device": torch.device(device)}
    weights, result = train(**options)
    interruptions = 0
    while True:
        try:
            again, resumed = train(Interrupted(tmp_path / "checkpoint", batches), **options)
            break
        except KeyboardInterrupt as error:
            assert str(error) == "interrupted by SIGTERM; the next run goes on from here"
            interruptions += 1
            assert interruptions <= 20
    # Twenty batches, and the one that is interrupted counts.
    assert interruptions == resumed.resumed == 20 // batches
    assert again == weights
    assert resumed.history == result.history
    assert resumed.seconds > resumed.earlier_seconds > 0
    # Of all jobs together, whatever the last one did.
    assert resumed.images_per_second == pytest.approx(4 * len(IMAGES) / resumed.seconds)


def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path):
    weights, _ = train(**VARIANTS["vae"])

    class Killed(Checkpoint):
        def save(self, arrays, progress):
            super().save(arrays, progress)
            if progress["epoch"] == 2 and progress["batches"] == 3:
                raise SystemExit("as if it had been killed")

    # Every batch is due.
    with pytest.raises(SystemExit):
        train(Killed(tmp_path / "checkpoint", "a", minutes=0), **VARIANTS["vae"])
    again, result = train(Checkpoint(tmp_path / "checkpoint", "a", minutes=10), **VARIANTS["vae"])
    assert (again == weights, result.resumed) == (True, 1)


def test_a_checkpoint_is_written_at_its_interval_and_not_before(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    checkpoint = Checkpoint(tmp_path / "checkpoint", "a", minutes=2)
    now[0] += 119.9
    assert not checkpoint.due
    now[0] += 0.2
    assert checkpoint.due
    checkpoint.save({"x": np.zeros(2)}, {})
    assert not checkpoint.due


def test_what_all_jobs_ran_on_and_used_is_kept(tmp_path, monkeypatch, caplog):
    """Energy is read from a counter: what one job does not know of makes the sum unknown."""
    joules = iter([1000, 1005, 2000, 2007, 2020])
    monkeypatch.setattr(training_course, "energy", lambda _: next(joules))
    names = iter(["an A100", "an H100"])
    monkeypatch.setattr(training_course, "describe", lambda _: next(names))
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(tmp_path / "checkpoint", 7))
    # At the start, at the last checkpoint, and at the end.
    result = train(Checkpoint(tmp_path / "checkpoint", "a", 10))[1]
    assert result.energy_joules == (1005 - 1000) + (2020 - 2000)
    assert [name.split(",")[0] for name in result.trained_on] == ["an A100", "an H100"]
    assert "the last digits are those of none alone" in caplog.text
    told = iter([1000, None, None])
    monkeypatch.setattr(training_course, "energy", lambda _: next(told))
    monkeypatch.setattr(training_course, "describe", lambda _: "an A100")
    assert train(Checkpoint(tmp_path / "other", "a", 10))[1].energy_joules is None


def test_the_progress_line_counts_what_earlier_jobs_did(tmp_path, caplog):
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(tmp_path / "checkpoint", 15))
    caplog.clear()
    seen = []

    class Watched(training_course.Progress):
        def advance(self, count):
            super().advance(count)
            seen.append(self.done)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_course, "Progress", Watched)
        train(Checkpoint(tmp_path / "checkpoint", "a", 10))
    # Three epochs of 36 images were done.
    assert seen == [116, 124, 132, 140, 144]


@pytest.mark.parametrize("batches", [4, 5])
def test_a_training_that_diverges_after_an_interruption_ends_as_diverged(tmp_path, batches):
    """Also where the epoch's last batch was done before it, and nothing is left to be computed but its mean."""
    network = Autoencoder(NetworkOptions(32, 2, parse_depth("1"), 4), 0)
    options = TrainingOptions(100_000, 8, ((0, float("inf")),))
    with pytest.raises(KeyboardInterrupt):
        training.train(network, IMAGES, options, Objective(), 7, CPU, Interrupted(tmp_path / "checkpoint", batches))
    for _ in range(2):
        # The second time, it has ended already.
        network = Autoencoder(NetworkOptions(32, 2, parse_depth("1"), 4), 0)
        again = Checkpoint(tmp_path / "checkpoint", "a", 10)
        result = training.train(network, IMAGES, options, Objective(), 7, CPU, again)
        assert (result.status, len(result.history)) == ("diverged", 1)


def test_a_training_that_had_ended_ends_again_without_a_step(tmp_path):
    """As where Snakemake was killed while it ran, and has not seen its end."""
    weights, result = train(Checkpoint(tmp_path / "checkpoint", "a", 10))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "batch_losses", None)
        again, repeated = train(Checkpoint(tmp_path / "checkpoint", "a", 10))
    assert (again, repeated.history, repeated.status) == (weights, result.history, "ok")


def test_a_checkpoint_that_cannot_be_removed_fails_no_job(tmp_path, caplog):
    (tmp_path / "checkpoint").mkdir()
    remove_checkpoint(tmp_path / "checkpoint")
    assert "can't be deleted" in caplog.text


def test_what_a_killed_write_of_a_checkpoint_left_goes_with_it(tmp_path):
    Checkpoint(tmp_path / "checkpoint", "a", 1).save({"x": np.zeros(1)}, {})
    (tmp_path / ".writing-checkpoint.abc").touch()
    remove_checkpoint(tmp_path / "checkpoint")
    remove_checkpoint(tmp_path / "checkpoint")
    assert not list(tmp_path.iterdir())


def test_what_is_saved_is_loaded(tmp_path):
    arrays = {
        "matrix": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32).T,
        "count": np.asarray(5, dtype=np.int64),
        "state": np.arange(9, dtype=np.uint8),
    }
    checkpoint = Checkpoint(tmp_path / "checkpoint", "a", 1)
    progress = {"epoch": 3, "history": [{"loss": 0.1 + 0.2}], "joules": None}
    checkpoint.save(arrays, progress)
    loaded, where = checkpoint.load()
    assert where == progress
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(loaded[name], array)


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def truncated(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def without_metadata(path: Path) -> None:
    save_file(load_file(path), path)


REFUSED = {
    "empty": lambda path: truncated(path, 0),
    "length cut": lambda path: truncated(path, 5),
    "header cut": lambda path: truncated(path, 100),
    "data cut": lambda path: truncated(path, path.stat().st_size - 1),
    "text": lambda path: path.write_text("nothing"),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "no metadata": without_metadata,
    "other metadata": lambda path: save_file(load_file(path), path, {"checkpoint": '"a text"'}),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Trap(path.parent / "marker"))),
    "torch pickle": lambda path: torch.save(Trap(path.parent / "marker"), path),
}


@pytest.mark.parametrize("damage", REFUSED)
def test_what_is_no_checkpoint_is_refused_and_training_starts_over(tmp_path, caplog, damage):
    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(path, 7))
    REFUSED[damage](path)
    with caplog.at_level(logging.WARNING):
        weights, result = train(Checkpoint(path, "a", 10))
    assert (weights == train()[0], result.resumed) == (True, 0)
    assert f"{path} is no readable checkpoint" in caplog.text
    assert STARTS_OVER in caplog.text
    assert not (tmp_path / "marker").exists()


def test_another_trainings_checkpoint_is_refused_and_training_starts_over(tmp_path, caplog):
    path = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(path, 7, key="another"))
    weights, result = train(Checkpoint(path, "a", 10))
    assert (weights == train()[0], result.resumed) == (True, 0)
    assert f"{path} is not used: it was made with other settings, images, code" in caplog.text
    assert STARTS_OVER in caplog.text


def test_a_checkpoint_that_cannot_be_written_stops_no_training(tmp_path, caplog):
    (tmp_path / "file").touch()
    weights, _ = train(Checkpoint(tmp_path / "file" / "checkpoint", "a", minutes=0))
    assert weights == train()[0]
    assert "no checkpoint is kept: " in caplog.text and str(tmp_path / "file") in caplog.text
    with pytest.raises(KeyboardInterrupt, match="interrupted by SIGTERM; this state could not be kept"):
        train(Interrupted(tmp_path / "file" / "checkpoint", 3))


def test_a_key_is_that_of_settings_data_and_code(tmp_path):
    data, code = tmp_path / "data", tmp_path / "code.py"
    data.write_text("images")
    code.write_text("x = 1")
    settings = {"cell": {"seed": 0}, "training": {"epochs": 3}}
    key = checkpoint_key(settings, [data, code])
    assert key == checkpoint_key({"training": {"epochs": 3}, "cell": {"seed": 0}}, [code, data])
    assert key != checkpoint_key({**settings, "training": {"epochs": 4}}, [data, code])
    code.write_text("x = 2")
    changed = checkpoint_key(settings, [data, code])
    data.write_text("others")
    assert len({key, changed, checkpoint_key(settings, [data, code])}) == 3


def test_signals_are_heard_only_while_training(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(tmp_path / "checkpoint", 2))
    train(Checkpoint(tmp_path / "checkpoint", "a", 10))
    assert before == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]


def test_a_request_for_a_checkpoint_alone_forgets_no_request_to_end(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint", "a", 10)
    with checkpoint.listening():
        signal.raise_signal(signal.SIGUSR1)
        checkpoint.save({"x": np.zeros(1)}, {})
        assert not checkpoint.due
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGUSR1)
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            checkpoint.save({"x": np.zeros(1)}, {})
        # Ctrl-C twice: at once.
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


CELL = Path("results/demo/cells/digits/dae/f2-d1-z4-s0")
LOG = Path("results/demo/logs/train/digits/dae/f2-d1-z4-s0.log")
CONFIGS = ("config/demo.yaml", "tiny.yaml", "long.yaml")


@pytest.fixture(scope="module")
def undisturbed(project, tmp_path_factory) -> Path:
    """A project with one trained cell."""
    folder = copy_project(project, tmp_path_factory.mktemp("undisturbed"))
    train_slowly(folder)
    (folder / "long.yaml").write_text("training: {epochs: 12}\n")
    snakemake(folder, str(CELL / "weights.safetensors"), configs=CONFIGS)
    return folder


@pytest.fixture
def folder(undisturbed, tmp_path) -> Path:
    """The same project with the images prepared, and nothing trained."""
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / CELL)
    return tmp_path


def wait_for(condition, what: str):
    """Its first true value."""
    for _ in range(1800):
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited three minutes for {what}")


@contextlib.contextmanager
def training_run(folder: Path):
    """A run of Snakemake and its training process, which has begun to compute and gets no further inside the block."""
    (folder / LOG).unlink(missing_ok=True)
    (folder / "hold").touch()
    command = [sys.executable, "-m", "snakemake", str(CELL / "weights.safetensors"), "--cores", "1"]
    command += ["--resources", "gpu=0", "--configfile", *CONFIGS, "--rerun-incomplete"]
    with (folder / "output.txt").open("w") as output:
        run = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait_for(lambda: (folder / LOG).exists() and "computing on" in (folder / LOG).read_text(), "the training")
        yield run, next(process for process in descendants(run) if ".train.py" in "".join(process.cmdline()))
        (folder / "hold").unlink(missing_ok=True)
        run.wait(180)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)


def descendants(run: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(run.pid).children(recursive=True)


def ask_for_a_checkpoint(folder: Path, script: psutil.Process) -> None:
    def asked() -> bool:
        script.send_signal(signal.SIGUSR1)
        return (folder / CELL / "checkpoint.safetensors").exists()

    wait_for(asked, "the checkpoint")


def assert_ends_as_undisturbed(folder: Path, undisturbed: Path, resumed: int) -> None:
    snakemake(folder, str(CELL / "weights.safetensors"), "--rerun-incomplete", configs=CONFIGS)
    assert "going on from the checkpoint" in (folder / LOG).read_text()
    for name in ("weights.safetensors", "history.parquet"):
        assert (folder / CELL / name).read_bytes() == (undisturbed / CELL / name).read_bytes()
    assert json.loads((folder / CELL / "cell.json").read_text())["resumed"] == resumed
    # The next job has seen that Snakemake has the weights.
    snakemake(folder, str(CELL / "codes.npy"), "--rerun-incomplete", configs=CONFIGS)
    assert not (folder / CELL / "checkpoint.safetensors").exists()


def test_signals_to_a_real_training_cost_nothing(folder, undisturbed):
    checkpoint = folder / CELL / "checkpoint.safetensors"
    with training_run(folder) as (_, script):
        ask_for_a_checkpoint(folder, script)
        assert script.is_running()
        script.send_signal(signal.SIGTERM)
    assert "interrupted by SIGTERM; the next run goes on from here" in (folder / LOG).read_text()
    assert not (folder / CELL / "weights.safetensors").exists()
    with training_run(folder) as (_, script):
        written = checkpoint.stat().st_mtime_ns
        wait_for(lambda: "going on from the checkpoint" in (folder / LOG).read_text(), "the training")
        script.kill()
    assert checkpoint.stat().st_mtime_ns == written
    # The killed job's share is lost, and so is its count.
    assert_ends_as_undisturbed(folder, undisturbed, resumed=1)


def test_ctrl_c_costs_nothing(folder, undisturbed):
    """It reaches Snakemake and its jobs at once."""
    with training_run(folder) as (run, script):
        ask_for_a_checkpoint(folder, script)
        os.killpg(run.pid, signal.SIGINT)
    assert run.returncode != 0
    assert "interrupted by SIGINT; the next run goes on from here" in (folder / LOG).read_text()
    assert_ends_as_undisturbed(folder, undisturbed, resumed=1)


def test_a_training_that_ends_while_no_snakemake_watches_is_not_trained_again(folder, undisturbed):
    """Snakemake alone is killed: it takes the files of its jobs that go on for incomplete."""
    with training_run(folder) as (run, script):
        run.kill()
        (folder / "hold").unlink()
        script.wait(180)
    assert (folder / CELL / "weights.safetensors").exists()
    snakemake(folder, "--unlock", configs=CONFIGS)
    assert_ends_as_undisturbed(folder, undisturbed, resumed=1)
    assert "epoch 13, after batch 0" in (folder / LOG).read_text()


def test_a_changed_config_never_goes_on_from_the_old_ones_checkpoint(folder):
    with training_run(folder) as (_, script):
        ask_for_a_checkpoint(folder, script)
        script.send_signal(signal.SIGTERM)
    (folder / "long.yaml").write_text("training: {epochs: 3}\n")
    snakemake(folder, str(CELL / "weights.safetensors"), "--rerun-incomplete", configs=CONFIGS)
    assert "is not used: it was made with other settings" in (folder / LOG).read_text()
    assert json.loads((folder / CELL / "cell.json").read_text())["resumed"] == 0


def test_changed_training_code_never_goes_on_from_the_old_ones_checkpoint(folder):
    with training_run(folder) as (_, script):
        ask_for_a_checkpoint(folder, script)
        script.send_signal(signal.SIGTERM)
    append(folder / "workflow/scripts/autoencoders/networks/objective.py", "# changed\n")
    snakemake(folder, str(CELL / "weights.safetensors"), "--rerun-incomplete", configs=CONFIGS)
    assert "is not used: it was made with other settings" in (folder / LOG).read_text()


GMM = {"kind": "gmm", "components": 3, "tol": 1e-9, "reg_covar": 1e-6, "max_iter": 200}


def overlapping_codes() -> np.ndarray:
    """EM takes over a hundred iterations."""
    random = np.random.default_rng(1)
    return random.normal(size=(800, 4)) @ random.normal(size=(4, 4)) * random.gamma(2, size=(800, 1))


@pytest.mark.parametrize("tol", [1e-4, 2e-4, 3e-4, 4e-4])
@pytest.mark.parametrize("device", [None, "cpu"], ids=["numpy", "tensors"])
def test_a_mixture_that_is_killed_again_and_again_ends_with_the_same_bits(tmp_path, device, tol):
    """After each iteration: whether the next is the last depends on the likelihood before the interruption."""
    codes = overlapping_codes()
    options = {**GMM, "tol": tol}
    expected = gmm.fit(codes, options, seed=0, device=device)

    class Killed(Checkpoint):
        """As soon as it has got further than it was when it began."""

        begun_at = -1

        def load(self):
            found = super().load()
            self.begun_at = found[1]["iterations"] if found else 0
            return found

        def save(self, arrays, progress):
            super().save(arrays, progress)
            if progress["iterations"] > self.begun_at:
                raise SystemExit("as if it had been killed")

    kills = 0
    while True:
        try:
            found = gmm.fit(
                codes, options, seed=0, device=device, checkpoint=Killed(tmp_path / "checkpoint", "a", minutes=0)
            )
            break
        except SystemExit:
            kills += 1
            assert kills <= 100
    assert kills == expected["iterations"] - 1 > 12
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("device", [None, "cpu"], ids=["numpy", "tensors"])
def test_a_mixture_that_is_killed_before_its_first_iteration_ends_with_the_same_bits(tmp_path, device):
    """What comes from the file lies in memory as what k-means started from does, or BLAS would round otherwise."""
    codes, options = np.random.default_rng(0).normal(size=(400, 8)) ** 3, {**GMM, "components": 10, "max_iter": 3}
    expected = gmm.fit(codes, options, seed=0, device=device)

    class Killed(Checkpoint):
        def save(self, arrays, progress):
            super().save(arrays, progress)
            assert progress["iterations"] == 0
            raise SystemExit("as if it had been killed")

    with pytest.raises(SystemExit):
        gmm.fit(codes, options, seed=0, device=device, checkpoint=Killed(tmp_path / "checkpoint", "a", minutes=0))
    found = gmm.fit(
        codes, options, seed=0, device=device, checkpoint=Checkpoint(tmp_path / "checkpoint", "a", minutes=10)
    )
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name
