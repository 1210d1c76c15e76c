"""GPU slots: how many a job takes, and that contending processes never take more than exist."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from running import copy_project, snakemake

from autoencoders.jobs import gpu_locks, gpu_slots
from autoencoders.jobs.errors import UserError


@pytest.fixture
def locks(tmp_path, monkeypatch):
    """A temporary directory of this test alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(gpu_locks, "HELD", [])
    return tmp_path


@pytest.mark.parametrize(
    ("widths", "total", "slots"),
    [
        # By hand: four cells of up to 32 filters fill a GPU, or two of up to 64, or one that is wider.
        ({64: 2, 32: 4}, 4, [1, 1, 2, 2, 4, 4]),
        ({}, 1, [1] * 6),
    ],
)
def test_a_cell_takes_its_share_of_the_slots_of_a_gpu(widths, total, slots):
    assert gpu_slots.slots_per_gpu(widths) == total
    assert [gpu_slots.training_slots(widths, filters) for filters in (1, 32, 33, 64, 65, 256)] == slots


def test_candidates_are_the_visible_gpus_or_all():
    # CUDA ignores everything from the first device that does not exist.
    found = {"GPU-ab-1, GPU-cd": ["GPU-ab-1", "GPU-cd"], "0,0": ["0"], "0,1,2,-1": ["0", "1", "2"], "": []}
    for visible, names in (found | {None: ["0", "1", "2"]}).items():
        assert gpu_locks.candidates(visible, lambda: 3) == names


def test_every_slice_that_is_named_is_a_candidate_and_none_is_counted():
    found = {"MIG-a, MIG-b,MIG-a": ["MIG-a", "MIG-b"], "MIG-GPU-ab/1/0": ["MIG-GPU-ab/1/0"], "MIG-a,GPU-b": ["MIG-a"]}
    for visible, names in found.items():
        assert gpu_locks.candidates(visible, None) == names


def test_a_job_takes_the_fullest_gpu_with_enough_room(locks):
    names, folder, held = ["0", "MIG-GPU-ab/1/0"], gpu_locks.lock_folder(), []

    def claimed(wanted: int) -> str | None:
        found = gpu_locks.try_claim(names, wanted, 4, folder)
        held.append(found and found[1])
        return found and found[0]

    assert [claimed(1), claimed(1), claimed(4)] == ["0", "0", names[1]]
    assert len(held[-1]) == 4
    wide = held.pop()
    # All or nothing: the two free slots of the first GPU stay free.
    assert [claimed(4), claimed(2), claimed(1)] == [None, "0", None]
    for lock in wide:
        lock.release()
    assert claimed(1) == names[1]


def test_one_process_looks_at_a_time(locks, monkeypatch):
    """Two at once would each find slots taken that the other is about to release."""
    folder, lock_slot, turns = gpu_locks.lock_folder(), gpu_locks.lock_slot, []
    monkeypatch.setattr(gpu_locks, "lock_slot", lambda file: turns.append(lock_slot(folder / "turn")))
    gpu_locks.try_claim(["0"], 1, 2, folder)
    assert turns == [None] * 2


def contend(log: Path, seed: int, claims: int) -> None:
    """Take and release slots many times, and be killed with some. A line in ``log`` follows each claim and precedes
    each release.
    """
    tempfile.tempdir, gpu_locks.PAUSE = str(log.parent), (0.0005, 0.005)
    generator = random.Random(seed)
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for _ in range(claims):
        for lock in gpu_locks.HELD:
            lock.release()
        gpu_locks.HELD.clear()
        wanted = generator.choice([1, 2, 4])
        name = gpu_locks.claim(["0", "1"], wanted, 4)
        os.write(written, f"{name} {wanted}\n".encode())
        time.sleep(generator.uniform(0, 0.004))
        os.write(written, f"{name} {-wanted}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def test_contending_processes_never_overbook_a_gpu_and_all_get_their_turn(locks):
    log, claims, count = locks / "log", 30, 5
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=contend, args=(log, seed, claims), daemon=True) for seed in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [-signal.SIGKILL] * count
    taken, shared = {"0": 0, "1": 0}, False
    lines = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == count * claims * 2
    for name, slots in lines:
        taken[name] += int(slots)
        assert 0 <= taken[name] <= 4
        shared |= taken[name] > int(slots) > 0
    assert taken == {"0": 0, "1": 0} and shared and {name for name, _ in lines} == {"0", "1"}
    # Killed processes hold nothing.
    assert {gpu_locks.claim(["0", "1"], 4, 4) for _ in range(2)} == {"0", "1"}


def test_a_waiting_job_says_so_at_once_and_every_minute(locks, monkeypatch, caplog):
    looks = []
    monkeypatch.setattr(gpu_locks, "try_claim", lambda *_: ("1", []) if len(looks) == 3 else None)
    monkeypatch.setattr(gpu_locks.time, "sleep", looks.append)
    monkeypatch.setattr(gpu_locks.time, "monotonic", lambda: len(looks) * 30)
    caplog.set_level("INFO")
    assert gpu_locks.claim(["0", "1"], 1, 1) == "1"
    assert all(0.2 <= seconds <= 1 for seconds in looks)
    assert sum("waiting for 1 of the 1 slots of a GPU (0, 1)" in message for message in caplog.messages) == 2


def test_cleaners_of_temporary_folders_spare_a_lock_in_use(locks):
    """They remove old files; the next job would then lock the same slot in a new file."""
    file = gpu_locks.lock_folder() / "0-0"
    file.touch()
    os.utime(file, (0, 0))
    assert gpu_locks.lock_slot(file) is not None
    assert file.stat().st_mtime > 0


def test_locks_are_closed_to_other_users(locks, monkeypatch):
    folder = locks / f"autoencoders-gpus-{os.getuid()}"
    umask = os.umask(0)
    try:
        held = gpu_locks.lock_slot(gpu_locks.lock_folder() / "0-0")
    finally:
        os.umask(umask)
    assert held and [path.stat().st_mode & 0o777 for path in (folder, folder / "0-0")] == [0o700, 0o600]
    (folder / "0-1").symlink_to(locks / "of another")
    with pytest.raises(OSError):
        gpu_locks.lock_slot(folder / "0-1")
    assert not (locks / "of another").exists()

    def refused() -> None:
        with pytest.raises(UserError, match="Remove it, or set TMPDIR"):
            gpu_locks.lock_folder()

    folder.chmod(0o770)
    refused()
    folder.rename(locks / "elsewhere").chmod(0o700)
    folder.symlink_to(locks / "elsewhere")
    refused()
    # A folder that belongs to somebody else.
    other = os.getuid() + 1
    (locks / f"autoencoders-gpus-{other}").mkdir(0o700)
    monkeypatch.setattr(os, "getuid", lambda: other)
    refused()


# Replaces train.py: two cells of 2 filters end only if both run at once.
STAND_IN = """
import time
from pathlib import Path

def say(what):
    with open("events", "a") as events:
        events.write(f"{what} {snakemake.wildcards.filters} {snakemake.resources.gpu}\\n")

assert snakemake.config["cells_per_gpu"] == {2: 2}
say("begins")
deadline = time.monotonic() + 120
while snakemake.wildcards.filters == "2" and Path("events").read_text().count("begins 2") < 2:
    assert time.monotonic() < deadline, "alone"
    time.sleep(0.05)
say("ends")
for file in snakemake.output:
    Path(file).touch()
"""


def with_stand_in(project: Path, folder: Path, cells_per_gpu: str) -> Path:
    """A copy of the project whose trainings are stand-ins, and need nothing computed."""
    copy_project(project, folder)
    text = STAND_IN.replace("{2: 2}", cells_per_gpu)
    (folder / "workflow/scripts/train.py").write_text(text, encoding="utf-8")
    dataset = folder / "results/demo/datasets/digits/train.npz"
    dataset.parent.mkdir(parents=True)
    dataset.touch()
    return folder


@pytest.mark.slow
def test_snakemake_runs_two_small_cells_at_once_and_a_wide_one_alone(project, tmp_path):
    folder = with_stand_in(project, tmp_path, "{2: 2}")
    (folder / "mine.yaml").write_text("threads: 1\ncells_per_gpu: {2: 2}\n", encoding="utf-8")
    names = ("f3-d1-z4-s0", "f2-d1-z4-s0", "f2-d1-z4-s1")
    cells = [f"results/demo/cells/digits/dae/{name}/weights.safetensors" for name in names]
    configs = ("config/demo.yaml", "tiny.yaml", "mine.yaml")

    def run(*arguments, gpu):
        snakemake(folder, *arguments, "--allowed-rules", "train", configs=configs, gpu=gpu)

    run(*cells, gpu=2)
    events = (folder / "events").read_text(encoding="utf-8").splitlines()
    wide = events.index("begins 3 2")
    assert events[wide + 1] == "ends 3 2"
    assert sorted(events[:wide] + events[wide + 2 :]) == ["begins 2 1"] * 2 + ["ends 2 1"] * 2

    # If the limit is less than a whole GPU, a wide cell still runs: Snakemake gives its job the limit.
    run("--force", cells[0], gpu=1)
    assert (folder / "events").read_text(encoding="utf-8").splitlines()[-1] == "ends 3 1"


@pytest.mark.slow
def test_the_profile_of_one_gpu_trains_two_cells_at_once_on_a_large_one(project, tmp_path):
    folder = with_stand_in(project, tmp_path, "{256: 2}")
    (folder / "nvidia-smi").write_text("#!/bin/sh\necho 81559\n", encoding="utf-8")
    (folder / "nvidia-smi").chmod(0o755)
    cells = [f"results/demo/cells/digits/dae/f2-d1-z4-s{seed}/weights.safetensors" for seed in range(2)]
    command = [sys.executable, "-m", "snakemake", *cells, "--workflow-profile", "workflow/profiles/one-gpu"]
    command += ["--cores", "2", "--allowed-rules", "train", "--configfile", "config/demo.yaml", "tiny.yaml"]
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted((folder / "events").read_text(encoding="utf-8").splitlines()) == ["begins 2 1"] * 2 + ["ends 2 1"] * 2


def test_a_slot_whose_file_a_cleaner_removes_is_not_held(tmp_path, monkeypatch):
    def gone(path):
        raise FileNotFoundError(path)

    with monkeypatch.context() as patched:
        patched.setattr(gpu_locks.os, "utime", gone)
        assert gpu_locks.lock_slot(tmp_path / "0-0") is None
    assert gpu_locks.lock_slot(tmp_path / "0-0").is_locked
