"""Files appear whole or not at all, and cannot run code."""

import numpy as np
import pytest

from autoencoders import files
from autoencoders.errors import UserError


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
