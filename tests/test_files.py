"""Files appear whole or not at all, and cannot run code."""

import os
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
        temporary.write_text("half")
        raise RuntimeError
    assert files.read_json(target) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_files_are_as_readable_as_any_other(tmp_path):
    (tmp_path / "plain").touch()
    files.write_json(tmp_path / "result.json", 1)
    assert (tmp_path / "result.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_arrays_survive_a_round_trip_with_the_same_bytes(tmp_path):
    arrays = {"a": np.arange(5), "b": np.ones((2, 3), np.float32)}
    for name in ("one.npz", "two.npz"):
        files.write_npz(tmp_path / name, arrays)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    read = files.read_npz(tmp_path / "one.npz")
    assert set(read) == {"a", "b"}
    np.testing.assert_array_equal(read["b"], arrays["b"])
    files.write_npy(tmp_path / "a.npy", arrays["a"])
    np.testing.assert_array_equal(files.read_npy(tmp_path / "a.npy"), arrays["a"])


class Malicious:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle ran')",))


@pytest.mark.parametrize("read", [files.read_npy, files.read_npz])
def test_a_pickle_or_a_truncated_file_is_refused_by_name(tmp_path, read):
    target = tmp_path / "array.npz"
    if read is files.read_npy:
        np.save(tmp_path / "array.npy", np.array([Malicious()], object), allow_pickle=True)
        target = tmp_path / "array.npy"
    else:
        np.savez(target, a=np.array([Malicious()], object), allow_pickle=True)
    with pytest.raises(UserError, match=f"{target.name} is not a readable"):
        read(target)
    target.write_bytes(target.read_bytes()[:50])
    with pytest.raises(UserError, match=f"{target.name} is not a readable"):
        read(target)


def test_the_written_file_itself_takes_the_place(tmp_path):
    """Renamed, not copied: nobody can ever see half of it under its name."""
    target = tmp_path / "result.txt"
    target.write_text("old")
    with files.atomic(target) as temporary:
        temporary.write_text("new")
        written = temporary.stat().st_ino
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert target.stat().st_ino == written


def test_what_a_killed_job_left_goes_with_the_next_write(tmp_path):
    """SIGKILL in the middle of a write: half a file stays, until the same file is written again."""
    script = f"""
import os, signal
from autoencoders.jobs import files
with files.atomic({str(tmp_path / "gmm.npz")!r}) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    scripts = Path(files.__file__).parents[2]
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(scripts)})
    (half,) = tmp_path.iterdir()
    assert half.name.startswith(".writing-") and half.read_text() == "half"
    # Another job is writing to the same folder.
    with files.atomic(tmp_path / "gmm-2.npz") as temporary:
        temporary.write_text("other")
        assert half.exists()
        files.write_npz(tmp_path / "gmm.npz", {"a": np.ones(1)})
        assert {file.name for file in tmp_path.iterdir()} == {"gmm.npz", temporary.name}


READERS = {
    "npy": (files.write_npy, files.read_npy, np.arange(500)),
    "npz": (files.write_npz, files.read_npz, {"a": np.arange(500)}),
    "json": (files.write_json, files.read_json, {"a": list(range(500))}),
    "parquet": (write_parquet, read_parquet, pd.DataFrame({"a": np.arange(500)})),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_file_of_any_kind_is_refused_by_name_wherever_it_was_cut(tmp_path, kind):
    write, read, value = READERS[kind]
    target = tmp_path / f"result.{kind}"
    write(target, value)
    whole = target.read_bytes()
    damaged = [whole[:kept] for kept in (0, 1, 4, 20, 100, len(whole) // 2, len(whole) - 2)]
    # Bytes that no text has, and a hole in the middle of a header.
    damaged += [b"\xff" * 100, whole[:10] + bytes(20) + whole[30:] if kind == "npy" else b"\0" * len(whole)]
    for content in damaged:
        target.write_bytes(content)
        with pytest.raises(UserError, match=rf"result\.{kind} is not .*readable.* Delete it, and it is made again"):
            read(target)
    target.write_bytes(whole)
    read(target)


def test_a_missing_file_is_not_taken_for_a_damaged_one(tmp_path):
    for _, read, _ in READERS.values():
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "missing")


def test_a_folder_that_can_be_written_to_is_accepted_before_it_is_there(tmp_path):
    files.require_writable(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())


def test_the_time_is_told_by_the_disks_clock(tmp_path, monkeypatch):
    """A file server's clock is another machine's, and some disks know whole seconds alone."""
    (tmp_path / "earlier").touch()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    told = files.require_writable(tmp_path)
    (tmp_path / "later").touch()
    assert (tmp_path / "earlier").stat().st_mtime <= told <= (tmp_path / "later").stat().st_mtime


def test_two_jobs_that_write_the_same_file_leave_one_whole_file(tmp_path):
    """The one that began first is told; nothing of it is left."""
    target = tmp_path / "weights.bin"
    with pytest.raises(UserError, match=r"weights\.bin is being written by another job"), files.atomic(target) as first:
        first.write_text("first")
        with files.atomic(target) as second:
            second.write_text("second")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("weights.bin", "second")]


def test_an_array_in_place_of_several_is_refused_by_name(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    os.rename(tmp_path / "a.npy", tmp_path / "a.npz")
    with pytest.raises(UserError, match=r"a\.npz is not a readable npz file"):
        files.read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "arrays",
    [
        *({name: np.ones(1)} for name in ("format", "file", "allow_pickle", 3)),
        *({"a": value} for value in (None, [1, [2]], {"b": 1}, np.array([object()]))),
    ],
)
def test_what_is_no_array_or_has_a_taken_name_is_refused(tmp_path, arrays):
    with pytest.raises(UserError, match=r"mine\.npz can't hold"):
        files.write_npz(tmp_path / "mine.npz", arrays)
    assert not list(tmp_path.iterdir())
