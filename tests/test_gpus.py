"""Slots of GPUs: how many a job takes, and that processes which contend never hold more than there are."""

import fcntl
import multiprocessing
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import pytest
from running import copy_project, snakemake

from autoencoders.jobs import gpu_slots as gpus
from autoencoders.jobs.errors import UserError


@pytest.fixture
def locks(tmp_path, monkeypatch):
    """A temporary directory of this test's own: whatever it leaves locked is in nobody's way."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def slots_in_order(widths: dict[int, int]) -> list[int]:
    return [gpus.training_slots(widths, filters) for filters in (1, 32, 33, 64, 65, 256)]


def test_a_cell_takes_its_share_of_the_slots_of_a_gpu():
    # By hand: four cells of up to 32 filters fill a GPU, or two of up to 64, or one that is wider.
    assert slots_in_order({32: 4, 64: 2}) == [1, 1, 2, 2, 4, 4]
    assert slots_in_order({64: 2, 32: 4}) == [1, 1, 2, 2, 4, 4]
    assert slots_in_order({64: 3}) == [1, 1, 1, 1, 3, 3]
    assert slots_in_order({}) == [1] * 6
    assert [gpus.slots_per_gpu(widths) for widths in ({}, {64: 3}, {32: 4, 64: 2})] == [1, 3, 4]


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        (None, ["0", "1", "2"]),
        ("2,3", ["2", "3"]),
        ("GPU-ab-1, GPU-cd", ["GPU-ab-1", "GPU-cd"]),
        ("7", ["7"]),
        # One that is named twice is one, and CUDA sees none from the first on that does not exist.
        ("0,0", ["0"]),
        ("0,1,2,-1", ["0", "1", "2"]),
        ("", []),
    ],
)
def test_the_gpus_to_choose_from_are_the_visible_ones_else_all(visible, names):
    assert gpus.candidates(visible, lambda: 3) == names


def test_a_job_goes_where_it_is_fullest_and_still_has_room(locks):
    names, folder = ["0", "MIG-GPU-ab/1/0"], gpus.lock_folder()

    def look(wanted: int) -> tuple[str, list[int]] | None:
        return gpus.try_claim(names, wanted, 4, folder)

    assert [look(1)[0], look(1)[0]] == ["0", "0"]
    wide, held = look(4)
    assert (wide, len(held)) == (names[1], 4)
    # All or nothing: the two that are free on the first GPU stay free.
    assert look(4) is None
    assert look(2)[0] == "0"
    assert look(1) is None
    for descriptor in held:
        os.close(descriptor)
    assert look(1)[0] == names[1]


def test_one_process_looks_at_a_time(locks, monkeypatch):
    """Two that look at once would each find the slots taken that the other is about to give back."""
    folder, refused = gpus.lock_folder(), []

    def lock(file: Path) -> None:
        with open(folder / "turn", "w") as turn:
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                refused.append(file.name)

    monkeypatch.setattr(gpus, "lock", lock)
    gpus.try_claim(["0", "1"], 1, 2, folder)
    assert refused == ["0-0", "0-1", "1-0", "1-1"]


def contend(log: Path, seed: int, claims: int) -> None:
    """Take and give back slots many times; a line in ``log`` follows each taking and precedes each giving back."""
    tempfile.tempdir, gpus.PAUSE = str(log.parent), (0.0005, 0.005)
    generator, process = random.Random(seed), os.getpid()
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for _ in range(claims):
        wanted = generator.choice([1, 2, 4])
        name, held = gpus.claim(["0", "1"], wanted, 4)
        os.write(written, f"{process} {name} {wanted}\n".encode())
        time.sleep(generator.uniform(0, 0.004))
        os.write(written, f"{process} {name} {-wanted}\n".encode())
        for descriptor in held:
            os.close(descriptor)


def test_contending_processes_never_overbook_a_gpu_and_all_get_their_turn(tmp_path):
    log, claims = tmp_path / "log", 40
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=contend, args=(log, seed, claims), daemon=True) for seed in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 8
    taken, holders, shared = {"0": 0, "1": 0}, {"0": set(), "1": set()}, 0
    lines = [line.split() for line in log.read_text().splitlines()]
    assert len(lines) == 8 * claims * 2
    for process, name, slots in lines:
        taken[name] += int(slots)
        # With all four slots for one cell this also says that a wide one is alone.
        assert 0 <= taken[name] <= 4
        holders[name] ^= {process}
        shared += len(holders[name]) > 1
    assert taken == {"0": 0, "1": 0}
    assert {name for _, name, _ in lines} == {"0", "1"}
    # They did share: had each claim waited for an empty GPU, nothing would be shown.
    assert shared > 50


def hold_everything(folder: str, ready) -> None:
    tempfile.tempdir = folder
    for _ in range(2):
        gpus.claim(["0", "1"], 4, 4)
    ready.set()
    time.sleep(600)


def test_the_slots_of_a_killed_process_are_free_again(locks):
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    process = spawn.Process(target=hold_everything, args=(str(locks), ready), daemon=True)
    process.start()
    assert ready.wait(60)
    assert gpus.try_claim(["0", "1"], 1, 4, gpus.lock_folder()) is None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert {gpus.claim(["0", "1"], 4, 4)[0] for _ in range(2)} == {"0", "1"}


@pytest.mark.parametrize(("seconds_a_look", "lines"), [(1, 1), (60, 3), (30, 2)])
def test_a_job_that_waits_says_so_at_once_and_every_minute(locks, monkeypatch, caplog, seconds_a_look, lines):
    held = [gpus.claim(["0", "1"], 1, 1)[1] for _ in range(2)]
    looks = []

    def sleep(seconds):
        assert 0.2 <= seconds <= 1
        looks.append(seconds)
        if len(looks) == 3:
            os.close(held[1][0])

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: len(looks) * seconds_a_look)
    caplog.set_level("INFO")
    assert gpus.claim(["0", "1"], 1, 1)[0] == "1"
    assert len(looks) == 3
    waiting = [message for message in caplog.messages if "waiting for 1 of the 1 slots of a GPU (0, 1)" in message]
    assert len(waiting) == lines


def test_a_lock_that_is_taken_is_new_to_those_who_remove_old_files(locks):
    """As systemd does in folders for temporary files: the next job would take the same slot by a new file."""
    file = gpus.lock_folder() / "0-0"
    file.touch()
    os.utime(file, (0, 0))
    assert gpus.lock(file) is not None
    assert file.stat().st_mtime > 0


def test_the_folder_of_locks_is_its_users_alone(locks, monkeypatch):
    folder = locks / f"autoencoders-gpus-{os.getuid()}"
    umask = os.umask(0)
    try:
        assert gpus.lock_folder() == folder
    finally:
        os.umask(umask)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert gpus.lock_folder() == folder

    folder.chmod(0o770)
    with pytest.raises(UserError, match="Remove it, or set TMPDIR"):
        gpus.lock_folder()
    folder.rename(locks / "elsewhere")
    (locks / "elsewhere").chmod(0o700)
    folder.symlink_to(locks / "elsewhere")
    with pytest.raises(UserError, match="closed to others"):
        gpus.lock_folder()
    folder.unlink()
    folder.touch(0o600)
    with pytest.raises(UserError, match="has to be a folder"):
        gpus.lock_folder()
    # Somebody else's, under the name of another user.
    other = os.getuid() + 1
    (locks / f"autoencoders-gpus-{other}").mkdir(0o700)
    monkeypatch.setattr(os, "getuid", lambda: other)
    with pytest.raises(UserError, match="that is yours"):
        gpus.lock_folder()


# In the place of train.py: two cells of 2 filters end only if both run at once.
STAND_IN = """
import time
from pathlib import Path

def tell(what):
    with open("events", "a") as events:
        events.write(f"{what} {snakemake.wildcards.filters} {snakemake.resources.gpu}\\n")

assert snakemake.config["cells_per_gpu"] == {2: 2}
tell("begins")
deadline = time.monotonic() + 60
while snakemake.wildcards.filters == "2" and Path("events").read_text().count("begins 2") < 2:
    assert time.monotonic() < deadline, "alone"
    time.sleep(0.05)
tell("ends")
for file in snakemake.output:
    Path(file).touch()
"""


def test_snakemake_runs_two_small_cells_at_once_and_a_wide_one_alone(project, tmp_path):
    folder = copy_project(project, tmp_path)
    (folder / "workflow/scripts/train.py").write_text(STAND_IN)
    (folder / "mine.yaml").write_text("threads: 1\ncells_per_gpu: {2: 2}\n")
    dataset = folder / "results/demo/datasets/digits/train.npz"
    dataset.parent.mkdir(parents=True)
    dataset.touch()
    cells = [f"results/demo/cells/digits/dae/{name}-d1-z4-s0/weights.safetensors" for name in ("f3", "f2")]
    cells.append(cells[1].replace("-s0", "-s1"))
    configs = ("config/demo.yaml", "tiny.yaml", "mine.yaml")

    def run(*arguments, gpu):
        return snakemake(folder, *arguments, "--allowed-rules", "train", configs=configs, gpu=gpu).stdout

    run(*cells, gpu=2)
    events = (folder / "events").read_text().splitlines()
    wide = events.index("begins 3 2")
    assert events[wide + 1] == "ends 3 2"
    assert sorted(events[:wide] + events[wide + 2 :]) == ["begins 2 1"] * 2 + ["ends 2 1"] * 2

    # Other slots retrain nothing.
    (folder / "mine.yaml").write_text("threads: 1\ncells_per_gpu: {1: 8}\n")
    assert "Nothing to be done" in run("-n", *cells, gpu=8)

    # With less than a whole GPU as the limit, a wide cell runs all the same; the job is told what it was given.
    (folder / "mine.yaml").write_text("threads: 1\ncells_per_gpu: {2: 2}\n")
    run("--force", cells[0], gpu=1)
    assert (folder / "events").read_text().splitlines()[-1] == "ends 3 1"
