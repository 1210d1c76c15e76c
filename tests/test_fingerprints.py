"""A fingerprint changes with names and contents of files, whatever their time stamps say, and with nothing else."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from autoencoders.data import first_look
from autoencoders.jobs import fingerprints
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.fingerprints import Contents


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The files that are read, one after the other."""
    files = []

    def reading(path, original=fingerprints.file_sha256):
        files.append(os.path.basename(path))
        return original(path)

    monkeypatch.setattr(fingerprints, "file_sha256", reading)
    return files


@pytest.fixture
def pictures(tmp_path):
    """A dataset of the config: two classes of pictures in an uncompressed format, all of one size."""
    for name in ("cats/0.bmp", "cats/1.bmp", "dogs/0.bmp"):
        draw(tmp_path / "pictures" / name)
    return {"source": "folder", "folder": {"train": str(tmp_path / "pictures"), "test": None}}


def draw(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)


def found(dataset, memory):
    """As at the start of a run, whose files are remembered."""
    contents = Contents(memory)
    fingerprint = first_look.fingerprint(dataset, contents)
    contents.save()
    return fingerprint


def test_files_of_which_nothing_changed_are_not_read_again(tmp_path, pictures, read, monkeypatch):
    memory = tmp_path / "memory.json"
    # These files have just been written: they may change again within a tick of the clock.
    assert found(pictures, memory) == found(pictures, memory) and len(read) == 6
    monkeypatch.setattr(fingerprints, "JUST_NOW", -1)
    before = found(pictures, memory)
    assert len(read) == 9 and found(pictures, memory) == before and len(read) == 9
    os.utime(tmp_path / "pictures" / "cats" / "1.bmp")
    assert found(pictures, memory) == before and read[9:] == ["1.bmp"]
    # Another folder of the same pictures.
    shutil.copytree(tmp_path / "pictures", tmp_path / "copy")
    pictures["folder"]["train"] = str(tmp_path / "copy")
    assert found(pictures, memory) == before and len(read) == 13
    # A memory that can't be read costs time alone.
    for text in ("", "[1]", "{", json.dumps(dict.fromkeys(json.loads(memory.read_text(encoding="utf-8")), 5))):
        memory.write_text(text)
        assert found(pictures, memory) == before
    assert len(read) == 13 + 4 * 3


@pytest.mark.parametrize("change", ["content", "older file", "new file", "lost file", "name", "class"])
def test_every_change_is_noticed(tmp_path, pictures, monkeypatch, change):
    monkeypatch.setattr(fingerprints, "JUST_NOW", -1)
    memory, file = tmp_path / "memory.json", tmp_path / "pictures" / "cats" / "1.bmp"
    before, stamp = found(pictures, memory), file.stat()
    match change:
        case "content":
            draw(file, 1)
            os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
            assert (file.stat().st_size, file.stat().st_mtime_ns) == (stamp.st_size, stamp.st_mtime_ns)
        case "older file":
            draw(tmp_path / "old.bmp", 1)
            os.utime(tmp_path / "old.bmp", (1, 1))
            (tmp_path / "old.bmp").rename(file)
        case "new file":
            draw(tmp_path / "pictures" / "dogs" / "1.bmp")
        case "lost file":
            file.unlink()
        case "name":
            file.rename(file.with_name("2.bmp"))
        case "class":
            file.parent.rename(tmp_path / "pictures" / "birds")
    assert found(pictures, memory) != before


def test_parquet_files_count_by_their_order_and_contents(tmp_path):
    for name, content in (("a", b"one"), ("b", b"two"), ("c", b"one")):
        (tmp_path / f"{name}.parquet").write_bytes(content)

    def of(*names, test=None):
        options = {"train": [f"{tmp_path}/{name}.parquet" for name in names], "test": test}
        return found({"source": "parquet", "parquet": options}, tmp_path / "memory.json")

    assert of("a", "b") == of("c", "b") and len({of("a", "b"), of("b", "a"), of("a"), of("b")}) == 4
    assert of("a", test=f"{tmp_path}/b.parquet") != of("a", "b")
    with pytest.raises(UserError, match=r"gone\.parquet can't be read: No such file"):
        Contents(tmp_path / "memory.json").sha256(tmp_path / "gone.parquet")


def test_official_datasets_have_no_local_files(tmp_path):
    for source, options in (("sklearn", {"name": "digits"}), ("torchvision", {"name": "CIFAR10"})):
        assert first_look.fingerprint({"source": source, source: options}, Contents(tmp_path / "none")) is None
