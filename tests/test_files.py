"""Files appear whole or not at all, and cannot run code."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autoencoders.jobs import files
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.parquet_tables import read_parquet, write_parquet


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "result.json"
    files.write_json(target, {"a": 1})
    with pytest.raises(RuntimeError), files.atomic(target) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert files.read_json(target) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_the_written_file_itself_takes_the_place(tmp_path):
    """Renamed, not copied: nobody ever sees half of it under its name."""
    target = tmp_path / "result.txt"
    target.write_text("old", encoding="utf-8")
    mode = target.stat().st_mode
    with files.atomic(target) as temporary:
        temporary.write_text("new", encoding="utf-8")
        written = temporary.stat().st_ino
        assert target.read_text(encoding="utf-8") == "old" and temporary.suffix == ".txt"
    assert target.read_text(encoding="utf-8") == "new"
    assert (target.stat().st_ino, target.stat().st_mode) == (written, mode)


def test_the_next_write_removes_what_a_killed_job_left(tmp_path):
    script = f"""
import os, signal
from autoencoders.jobs import files
with files.atomic({str(tmp_path / "gmm.npz")!r}) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(files.__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", script], env=environment).returncode == -signal.SIGKILL
    (half,) = tmp_path.iterdir()
    assert half.name.startswith(".writing-") and half.read_text(encoding="utf-8") == "half"
    # Another job is writing to the same folder.
    with files.atomic(tmp_path / "gmm-2.npz") as temporary:
        assert half.exists()
        files.write_npz(tmp_path / "gmm.npz", {"a": np.ones(1)})
        assert {file.name for file in tmp_path.iterdir()} == {"gmm.npz", temporary.name}


def test_two_jobs_that_write_the_same_file_leave_one_whole_file(tmp_path):
    target = tmp_path / "weights.bin"
    with pytest.raises(UserError, match=r"weights\.bin is being written by another job"), files.atomic(target) as first:
        first.write_text("first", encoding="utf-8")
        with files.atomic(target) as second:
            second.write_text("second", encoding="utf-8")
    assert [(file.name, file.read_text(encoding="utf-8")) for file in tmp_path.iterdir()] == [("weights.bin", "second")]


class Malicious:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle ran')",))


KINDS = {
    "npy": (files.write_npy, files.read_npy, np.arange(500)),
    "npz": (files.write_npz, files.read_npz, {"a": np.arange(500), "b": np.ones((2, 3), np.float32)}),
    "json": (files.write_json, files.read_json, {"a": list(range(500))}),
    "parquet": (write_parquet, read_parquet, pd.DataFrame({"a": np.arange(500)})),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_and_a_damaged_file_is_refused_by_name(tmp_path, kind):
    write, read, value = KINDS[kind]
    target = tmp_path / f"result.{kind}"
    with pytest.raises(FileNotFoundError):
        read(target)
    write(target, value)
    whole, found = target.read_bytes(), read(target)
    if kind == "npz":
        assert found.keys() == value.keys() and all(np.array_equal(found[name], value[name]) for name in value)
        assert list(files.read_npz(target, ["b", "missing"])) == ["b"]
    else:
        assert np.array_equal(found, value) if kind == "npy" else found.equals(value) if kind == "parquet" else True
        assert kind != "json" or found == value
    damaged = [whole[:kept] for kept in (0, 1, 4, 20, 100, len(whole) // 2, len(whole) - 2)]
    # Bytes that no text has, a hole in the middle of a header, and pickles.
    damaged += [b"\xff" * 100, whole[:10] + bytes(20) + whole[30:] if kind == "npy" else b"\0" * len(whole)]
    damaged.append(pickle.dumps(Malicious()))
    if kind in ("npy", "npz"):
        save = np.save if kind == "npy" else np.savez
        with open(tmp_path / "pickle", "wb") as file:
            save(file, np.array([Malicious()], object), allow_pickle=True)
        damaged.append((tmp_path / "pickle").read_bytes())
    if kind == "npz":
        np.save(tmp_path / "array.npy", np.ones(3))
        damaged.append((tmp_path / "array.npy").read_bytes())
    for content in damaged:
        target.write_bytes(content)
        with pytest.raises(UserError, match=rf"result\.{kind} is not .*readable.* Delete it") as refusal:
            read(target)
        # NumPy advises to load pickles.
        assert "allow_pickle" not in str(refusal.value)


@pytest.mark.parametrize(
    "arrays",
    [
        *({name: np.ones(1)} for name in ("format", "file", "allow_pickle", 3)),
        *({"a": value} for value in (None, [1, [2]], {"b": 1}, np.array([object()]))),
    ],
)
def test_an_npz_file_holds_nothing_but_arrays_with_allowed_names(tmp_path, arrays):
    with pytest.raises(UserError, match=r"mine\.npz can't hold"):
        files.write_npz(tmp_path / "mine.npz", arrays)
    assert not list(tmp_path.iterdir())


def test_a_writable_folder_is_accepted_before_it_exists_and_tells_the_disks_time(tmp_path, monkeypatch):
    """A file server's clock is another machine's."""
    (tmp_path / "earlier").touch()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    found = files.require_writable(tmp_path / "a" / "b")
    (tmp_path / "later").touch()
    assert (tmp_path / "earlier").stat().st_mtime <= found <= (tmp_path / "later").stat().st_mtime
    assert {file.name for file in tmp_path.iterdir()} == {"earlier", "later"}
