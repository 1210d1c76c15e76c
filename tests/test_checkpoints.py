"""Checkpoints: a resumed job ends with the same bits, and uses no checkpoint but its own."""

import contextlib
import errno
import fcntl
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from interrupting import Interrupted, progress
from running import copy_project, hold_trainings, snakemake, snakemake_command, started, wait_until
from safetensors.numpy import load_file, save_file

from autoencoders.jobs import checkpoint_locks, training_course
from autoencoders.jobs.checkpoints import Checkpoint, checkpoint_key, remove_checkpoint
from autoencoders.jobs.errors import UserError
from autoencoders.latent.priors import gmm
from autoencoders.networks import training
from autoencoders.networks.network import Autoencoder, NetworkOptions, parse_depth
from autoencoders.networks.objective import Objective
from autoencoders.networks.training import TrainingOptions, TrainingResult

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


def train(
    checkpoint=None, *, variational=False, noise=0.0, latent_norm="none", device="cpu", rates=(1e-4, 1e-3), **options
) -> tuple[bytes, TrainingResult]:
    """The final weights of a training of 4 epochs of 5 batches, the last of 4 images."""
    network = Autoencoder(NetworkOptions(32, 2, parse_depth("1"), 4, variational, latent_norm), 0)
    chosen = TrainingOptions(4, 8, tuple(enumerate(rates)), **options)
    objective = Objective(beta=0.01 if variational else 0, noise=noise)
    result = training.train(network, IMAGES, chosen, objective, 7, torch.device(device), checkpoint)
    return b"".join(tensor.numpy(force=True).tobytes() for tensor in network.state_dict().values()), result


def interrupt(path: Path, batches: int, **options) -> str:
    """The message of a training that is interrupted after so many batches."""
    with pytest.raises(KeyboardInterrupt) as caught:
        train(Interrupted(path, batches), **options)
    return str(caught.value)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "checkpoint"


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("batches", [1, 3, 5, 7])
def test_however_often_a_training_is_interrupted_it_ends_with_the_same_bits(path, variant, batches, device):
    """After every batch; within and at the ends of epochs. On a GPU also before and after the step is recorded."""
    options = {**VARIANTS[variant], "device": device}
    weights, result = train(**options)
    # Twenty batches, and the one that is interrupted counts.
    for _ in range(20 // batches):
        assert interrupt(path, batches, **options) == "interrupted by SIGTERM; the next run resumes from here"
    again, resumed = train(Interrupted(path, batches), **options)
    assert (again, resumed.resumed, resumed.history) == (weights, 20 // batches, result.history)
    # Sums over all jobs.
    assert resumed.seconds > resumed.earlier_seconds > 0
    assert resumed.images_per_second == pytest.approx(4 * len(IMAGES) / resumed.seconds)


def test_devices_and_energy_of_all_jobs_are_recorded(path, monkeypatch, caplog):
    """Energy is read from a counter at the start, at the last checkpoint and at the end."""
    joules, names = iter([1000, 1005, 2000, 2007, 2020]), iter(["an A100", "an H100"])
    monkeypatch.setattr(training_course, "energy", lambda _: next(joules))
    monkeypatch.setattr(training_course, "describe", lambda _: next(names))
    interrupt(path, 7)
    result = train(Checkpoint(path, "a", 10))[1]
    assert result.energy_joules == (1005 - 1000) + (2020 - 2000)
    assert [name.split(",")[0] for name in result.trained_on] == ["an A100", "an H100"]
    assert "an A100" in caplog.text and "an H100" in caplog.text


def test_progress_counts_what_earlier_jobs_did(path, monkeypatch):
    interrupt(path, 15)
    seen, advance = [], training_course.Progress.advance
    monkeypatch.setattr(
        training_course.Progress, "advance", lambda self, count: [advance(self, count), seen.append(self.done)]
    )
    train(Checkpoint(path, "a", 10))
    # Three epochs of 36 images were done.
    assert seen == [116, 124, 132, 140, 144]


@pytest.mark.parametrize("batches", [4, 5])
def test_a_training_that_diverges_after_an_interruption_ends_as_diverged(path, batches):
    """Also if only the epoch's mean was left to compute, or, the second time, nothing."""
    rates = (float("inf"),)
    interrupt(path, batches, rates=rates)
    for _ in range(2):
        result = train(Checkpoint(path, "a", 10), rates=rates)[1]
        assert (result.status, len(result.history)) == ("diverged", 1)


def test_removing_a_checkpoint_removes_half_written_ones_and_never_fails(path, tmp_path, caplog):
    Checkpoint(path, "a", 1).save({"x": np.zeros(1)}, {})
    (tmp_path / ".writing-checkpoint.abc").touch()
    for _ in range(2):
        remove_checkpoint(path)
        assert not list(tmp_path.iterdir())
    path.mkdir()
    remove_checkpoint(path)
    assert "can't be deleted" in caplog.text


REFUSED = {
    "header cut": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "data cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "no metadata": lambda path: save_file(load_file(path), path),
    "other metadata": lambda path: save_file(load_file(path), path, {"checkpoint": '"a text"'}),
    "another key": lambda path: Checkpoint(path, "another", 10).save(load_file(path), {}),
}


@pytest.mark.parametrize("damage", REFUSED)
def test_any_other_file_is_refused_and_training_starts_over(path, caplog, damage):
    interrupt(path, 7)
    REFUSED[damage](path)
    weights, result = train(Checkpoint(path, "a", 10))
    assert (weights, result.resumed) == (train()[0], 0)
    reason = "is not used: it was written with other" if damage == "another key" else "is not a readable checkpoint"
    assert f"{path} {reason}" in caplog.text and "starts over" in caplog.text


def test_a_checkpoint_that_cannot_be_written_stops_no_training(tmp_path, caplog):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "checkpoint"
    assert train(Checkpoint(path, "a", minutes=0))[0] == train()[0]
    assert "no checkpoint is written: " in caplog.text and str(tmp_path / "file") in caplog.text
    assert interrupt(path, 3) == "interrupted by SIGTERM; this state could not be saved"


def test_a_key_is_that_of_settings_data_and_code(tmp_path):
    data, code = tmp_path / "data", tmp_path / "code.py"
    data.write_text("images", encoding="utf-8")
    code.write_text("x = 1", encoding="utf-8")
    settings = {"cell": {"seed": 0}, "training": {"epochs": 3}}
    key = checkpoint_key(settings, [data, code])
    assert key == checkpoint_key({"training": {"epochs": 3}, "cell": {"seed": 0}}, [code, data])
    others = {key, checkpoint_key({**settings, "training": {"epochs": 4}}, [data, code])}
    for file in (code, data):
        file.write_text("changed", encoding="utf-8")
        others.add(checkpoint_key(settings, [data, code]))
    assert len(others) == 4


def test_progress_comes_back_in_its_order(tmp_path):
    """The columns of a history have the order of its entries, also after a resumption."""
    progress = {"history": [{"epoch": 0, "loss": 1.0, "kl": 0.5, "a_penalty": 2.0}], "batches": 3}
    Checkpoint(tmp_path / "c.safetensors", "key", 10).save({"x": np.zeros(2)}, progress)
    _, found = Checkpoint(tmp_path / "c.safetensors", "key", 10).load()
    assert list(found["history"][0].items()) == list(progress["history"][0].items())


def test_a_checkpoint_is_due_at_its_interval_and_when_a_signal_asks(path, monkeypatch):
    now, numbers = [100.0], (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    before = [signal.getsignal(number) for number in numbers]
    checkpoint = Checkpoint(path, "a", minutes=2)
    for seconds, due in ((119.9, False), (0.2, True)):
        now[0] += seconds
        assert checkpoint.due == due
    checkpoint.save({"x": np.zeros(2)}, {})
    assert not checkpoint.due
    with checkpoint.listening():
        signal.raise_signal(signal.SIGUSR1)
        assert checkpoint.due
        checkpoint.save({"x": np.zeros(1)}, {})
        assert not checkpoint.due
        # A request for a checkpoint does not replace one to end.
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGUSR1)
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            checkpoint.save({"x": np.zeros(1)}, {})
        # Ctrl-C twice ends at once.
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in numbers] == before


class Killed(Checkpoint):
    """Ends the fit of a mixture after its first write beyond ``iterations``, as if it had been killed."""

    def __init__(self, path: Path, iterations: int) -> None:
        super().__init__(path, "a", minutes=0)
        self.iterations = iterations

    def save(self, arrays, progress) -> None:
        super().save(arrays, progress)
        if progress["iterations"] > self.iterations:
            raise SystemExit


def stretched_codes() -> np.ndarray:
    random = np.random.default_rng(1)
    return random.normal(size=(800, 4)) @ random.normal(size=(4, 4)) * random.gamma(2, size=(800, 1))


@pytest.mark.parametrize(
    ("codes", "options", "first"),
    [
        # After every iteration: whether the next is the last depends on the likelihood before the interruption.
        *((stretched_codes(), {"tol": tol}, 0) for tol in (1e-4, 2e-4, 3e-4, 4e-4)),
        # Before the first: restored arrays must have the memory layout of k-means' results, or BLAS rounds differently.
        (np.random.default_rng(0).normal(size=(400, 8)) ** 3, {"components": 10, "max_iter": 3}, -1),
    ],
)
@pytest.mark.parametrize(
    "device", [None, "cpu", pytest.param("cuda", marks=pytest.mark.gpu)], ids=["numpy", "tensors", "cuda"]
)
def test_a_mixture_that_is_killed_again_and_again_ends_with_the_same_bits(path, device, codes, options, first, caplog):
    options = {"kind": "gmm", "components": 3, "tol": 1e-9, "reg_covar": 1e-6, "max_iter": 200} | options
    expected, found = gmm.fit(codes, options, seed=0, device=device), None
    kills = itertools.count(first)
    while found is None:
        with contextlib.suppress(SystemExit):
            found = gmm.fit(codes, options, seed=0, device=device, checkpoint=Killed(path, next(kills)))
    assert "fitting it on the CPU" not in caplog.text
    # The last attempt was not killed.
    assert next(kills) - 1 == expected["iterations"] - 1
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name


def test_a_mixture_that_moved_to_the_cpu_ends_with_the_bits_of_the_cpu_however_often_it_is_killed(path, monkeypatch):
    """Also if the GPU had got somewhere before, and if it would have room again."""
    options = {"kind": "gmm", "components": 3, "tol": 1e-4, "reg_covar": 1e-6, "max_iter": 200}
    codes, run_em, full, tried = stretched_codes(), gmm.run_em, [False], []

    def on(model, codes, max_iter, done, checkpoint, device):
        tried.append(device)
        if device is not None and full[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run_em(model, codes, max_iter, done, checkpoint, device)

    monkeypatch.setattr(gmm, "run_em", on)
    expected = gmm.fit(codes, options, seed=0)
    for iterations, full[0] in ((8, False), (5, True), (9, False)):
        with pytest.raises(SystemExit):
            gmm.fit(codes, options, seed=0, device="cpu", checkpoint=Killed(path, iterations))
    found = gmm.fit(codes, options, seed=0, device="cpu", checkpoint=Checkpoint(path, "a", 10))
    assert tried == [None, "cpu", "cpu", None, None, None]
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes(), name


# ---- two jobs with one checkpoint

HOLDER = """
import sys, time
from pathlib import Path
from autoencoders.jobs.checkpoints import Checkpoint
Checkpoint(Path(sys.argv[1]), "a", 10).load()
print("locked", flush=True)
time.sleep(300)
"""


@contextlib.contextmanager
def holder(path: Path):
    """Another process that uses a checkpoint."""
    command = [sys.executable, "-c", HOLDER, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(training.__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


def test_a_checkpoint_that_another_process_uses_is_refused_until_that_ends(path):
    with holder(path) as process:
        name = f"process {process.pid} on {socket.gethostname()}"
        for use in (lambda c: c.load(), lambda c: c.save({"x": np.zeros(1)}, {})):
            with pytest.raises(UserError, match=f"{name} is still doing this job.*{path}.*kill {process.pid}"):
                use(Checkpoint(path, "a", 10))
        assert not path.exists()
        process.kill()
        process.wait()
        # The kernel has freed the lock, and the file of the killed job is used again.
        assert path.with_suffix(".lock").exists()
        Checkpoint(path, "a", 10).save({"x": np.zeros(1)}, {})
    assert f"process {os.getpid()} " in path.with_suffix(".lock").read_text()
    remove_checkpoint(path)
    assert not list(path.parent.iterdir())


def test_a_lock_file_of_another_user_counts_too(path, monkeypatch):
    """Such a file can only be read; root may write to it, so that this is simulated."""

    def refusing(file, flags, *mode, original=os.open):
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return original(file, flags, *mode)

    with holder(path) as process:
        monkeypatch.setattr(os, "open", refusing)
        with pytest.raises(UserError, match=f"process {process.pid} on .* is still doing this job"):
            Checkpoint(path, "a", 10).load()


def test_a_lock_file_goes_with_its_process(path):
    with holder(path) as process:
        process.send_signal(signal.SIGINT)
        process.wait()
    assert not path.with_suffix(".lock").exists()


def test_whoever_waited_for_a_removed_lock_file_locks_the_new_one(path, monkeypatch):
    """Between the opening of the file and its locking, the holder removes it and ends, and a third process comes."""
    file, flock, others = path.with_suffix(".lock"), fcntl.flock, []

    def slow(opened, how):
        if not others:
            file.unlink()
            others.append(os.open(file, os.O_RDWR | os.O_CREAT))
            flock(others[0], fcntl.LOCK_EX)
        flock(opened, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    with pytest.raises(UserError, match="another process is still doing this job"):
        checkpoint_locks.lock(path)
    os.close(others[0])
    checkpoint_locks.lock(path)
    assert os.fstat(checkpoint_locks.HELD[path]).st_ino == file.stat().st_ino
    checkpoint_locks.unlock(path)


def test_without_locks_a_training_continues_with_a_warning(path, monkeypatch, caplog):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    assert train(Checkpoint(path, "a", 10))[0] == train()[0]
    assert caplog.text.count("can't be locked ([Errno") == 1


# ---- real trainings under Snakemake

CELL = Path("results/demo/cells/digits/dae/f2-d1-z4-s0")
WEIGHTS = str(CELL / "weights.safetensors")
LOG = Path("results/demo/logs/train/digits/dae/f2-d1-z4-s0.log")
CONFIGS = ("config/demo.yaml", "tiny.yaml", "long.yaml")


@pytest.fixture(scope="module")
def undisturbed(project, tmp_path_factory) -> Path:
    """A project with one trained cell."""
    folder = copy_project(project, tmp_path_factory.mktemp("undisturbed"))
    hold_trainings(folder)
    (folder / "long.yaml").write_text("training: {epochs: 4}\n", encoding="utf-8")
    snakemake(folder, WEIGHTS, configs=CONFIGS)
    return folder


@pytest.fixture
def folder(undisturbed, tmp_path) -> Path:
    """The same project with the images prepared, and nothing trained."""
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / CELL)
    return tmp_path


@contextlib.contextmanager
def held_training(folder: Path):
    """A run of Snakemake and its training process, which waits after its second batch until the block ends."""
    (folder / "hold").touch()
    waiting = folder / CELL / "waiting"
    waiting.unlink(missing_ok=True)
    with started(folder, snakemake_command(WEIGHTS, "--rerun-incomplete", configs=CONFIGS)) as run:
        wait_until(waiting.exists, run)
        (script,) = (
            process
            for process in psutil.Process(run.pid).children(recursive=True)
            if process.cmdline()[-1].endswith(".train.py")
        )
        yield run, script
        (folder / "hold").unlink(missing_ok=True)
        run.wait(300)


def assert_ends_as_undisturbed(folder: Path, undisturbed: Path, resumed: int) -> None:
    snakemake(folder, WEIGHTS, "--rerun-incomplete", configs=CONFIGS)
    assert "resuming from the checkpoint" in (folder / LOG).read_text(encoding="utf-8")
    for name in ("weights.safetensors", "history.parquet"):
        assert (folder / CELL / name).read_bytes() == (undisturbed / CELL / name).read_bytes()
    assert json.loads((folder / CELL / "cell.json").read_text(encoding="utf-8"))["resumed"] == resumed
    # The next job removes the checkpoint: then Snakemake has seen that the weights are complete.
    snakemake(folder, str(CELL / "codes.npy"), "--rerun-incomplete", configs=CONFIGS)
    assert not (folder / CELL / "checkpoint.safetensors").exists()


@pytest.mark.slow
def test_a_real_training_resumes_after_signals_where_it_was(folder, undisturbed):
    with held_training(folder) as (run, script):
        assert progress(folder / CELL)["batches"] == 1
        (folder / CELL / "waiting").unlink()
        script.send_signal(signal.SIGUSR1)
        wait_until((folder / CELL / "waiting").exists, run)
        assert progress(folder / CELL)["batches"] == 2
        script.send_signal(signal.SIGTERM)
        run.wait(300)
    assert "interrupted by SIGTERM; the next run resumes from here" in (folder / LOG).read_text(encoding="utf-8")
    assert not (folder / WEIGHTS).exists() and progress(folder / CELL)["batches"] == 3
    with held_training(folder) as (run, script):
        script.kill()
        run.wait(300)
    with held_training(folder) as (run, _):
        # Ctrl-C reaches Snakemake and its jobs at once.
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(300) != 0
    assert "interrupted by SIGINT; the next run resumes from here" in (folder / LOG).read_text(encoding="utf-8")
    assert progress(folder / CELL)["batches"] == 6
    assert_ends_as_undisturbed(folder, undisturbed, resumed=3)


@pytest.mark.slow
def test_a_training_that_a_killed_snakemake_left_behind_is_not_started_twice(folder, undisturbed):
    with held_training(folder) as (run, script):
        run.kill()
        run.wait()
        snakemake(folder, "--unlock", configs=CONFIGS)
        refused = snakemake(folder, WEIGHTS, "--rerun-incomplete", configs=CONFIGS, check=False)
        assert refused.returncode == 1 and f"process {script.pid} on {socket.gethostname()} is still" in refused.stdout
        assert script.is_running() and progress(folder / CELL)["batches"] == 1
        # As the message says.
        script.terminate()
        script.wait(60)
    assert_ends_as_undisturbed(folder, undisturbed, resumed=1)
    assert not list((folder / CELL).glob("*.lock"))


@pytest.mark.slow
def test_a_training_that_ends_while_no_snakemake_watches_is_not_trained_again(folder, undisturbed):
    """Only Snakemake is killed. Its next run treats the files of the job as incomplete."""
    with held_training(folder) as (run, script):
        run.kill()
        (folder / "hold").unlink()
        script.wait(300)
    assert (folder / WEIGHTS).exists()
    snakemake(folder, "--unlock", configs=CONFIGS)
    assert_ends_as_undisturbed(folder, undisturbed, resumed=1)
    assert "epoch 5, after batch 0" in (folder / LOG).read_text(encoding="utf-8")


@pytest.mark.slow
def test_after_a_change_the_old_checkpoint_is_never_used(folder):
    with held_training(folder) as (run, script):
        script.send_signal(signal.SIGTERM)
        run.wait(300)
    checkpoint = folder / CELL / "checkpoint.safetensors"
    old = checkpoint.read_bytes()
    module = folder / "workflow/scripts/autoencoders/networks/objective.py"
    code = module.read_text(encoding="utf-8")
    for changed, epochs in ((code + "# changed\n", 4), (code, 3)):
        module.write_text(changed, encoding="utf-8")
        (folder / "long.yaml").write_text(f"training: {{epochs: {epochs}}}\n", encoding="utf-8")
        checkpoint.write_bytes(old)
        snakemake(folder, WEIGHTS, "--rerun-incomplete", configs=CONFIGS)
        assert "is not used: it was written with other settings" in (folder / LOG).read_text(encoding="utf-8")
        assert json.loads((folder / CELL / "cell.json").read_text(encoding="utf-8"))["resumed"] == 0
