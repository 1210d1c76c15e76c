"""Downloads by huggingface_hub and torch.hub, against a server on this machine that misbehaves on purpose."""

import errno
import hashlib
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from running import PROJECT, copy_project, snakemake
from serving import Server

from autoencoders.data import downloads
from autoencoders.data.downloads import download_hub, fetch, matches
from autoencoders.jobs.errors import UserError
from autoencoders.scores.extractors import inception

DATA = bytes(range(256)) * 3000  # 768,000 bytes: three blocks
BLOCK = 300_000
URI = "hf://datasets/owner/faces@main/data/train-*.parquet"
ONE = URI.replace("*", "0")
TRAIN = "owner/faces/main/data/train-0.parquet"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def server():
    with Server() as server:
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def waits(monkeypatch) -> list[float]:
    """The seconds between attempts, which are not waited for."""
    seconds = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    monkeypatch.setattr(downloads, "BLOCK", BLOCK)
    for name in ("HF_TOKEN", "HF_ENDPOINT", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return seconds


FILES = {
    "README.md": b"hello",
    "data/train-1.parquet": b"one",
    "data/train-0.parquet": DATA,
    "data/test-0.parquet": b"test",
    "data/old/train-9.parquet": b"",
}


def publish(server: Server, files: dict[str, bytes], revision: str = "main") -> None:
    """Puts a dataset on the Hub; its files are listed on two pages, and those outside folders are not in LFS."""
    folder = {"type": "directory", "oid": "0" * 40, "size": 0, "path": "data/train-folder.parquet"}
    entries = [
        {"type": "file", "oid": "f" * 40, "size": len(data), "path": path}
        | ({"lfs": {"oid": sha256(data), "size": len(data), "pointerSize": 130}} if "/" in path else {})
        for path, data in files.items()
    ]
    quoted = urllib.parse.quote(revision, safe="")
    tree = f"/api/datasets/owner/faces/tree/{quoted}?recursive=true&expand=false"
    pages = [[folder, *entries[:2]], entries[2:]] if revision == "main" else [entries]
    server.files = {tree: json.dumps(pages[0]).encode(), f"{tree}&cursor=2": json.dumps(pages[-1]).encode()}
    server.files[f"/api/datasets/owner/faces/revision/{quoted}"] = json.dumps({"id": "owner/faces"}).encode()
    for path, data in files.items():
        server.files[f"/datasets/owner/faces/resolve/{quoted}/{urllib.parse.quote(path)}"] = data


@pytest.fixture
def hub(server, monkeypatch) -> Server:
    monkeypatch.setenv("HF_ENDPOINT", server.url + "/")
    publish(server, FILES)
    return server


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def part(tmp_path) -> Path:
    """What an interrupted download of the large file leaves."""
    path = tmp_path / f"{TRAIN}.part"
    path.parent.mkdir(parents=True)
    return path


def test_the_files_of_a_pattern_are_downloaded_in_blocks_and_kept(hub, tmp_path, waits):
    manifest = download_hub([URI], tmp_path)
    expected = {TRAIN: DATA, "owner/faces/main/data/train-1.parquet": b"one"}
    assert files_in(tmp_path) == expected
    assert manifest == {path: sha256(data) for path, data in expected.items()}
    assert hub.starts() == [0, BLOCK, 2 * BLOCK, 0]
    # Files that the branch no longer has are deleted.
    for name in ("train-7", "test-7"):
        (tmp_path / TRAIN).with_name(f"{name}.parquet").touch()
    assert download_hub([URI], tmp_path) == manifest
    assert len(hub.starts()) == 4 and waits == []
    assert {Path(name).stem for name in files_in(tmp_path)} == {"train-0", "train-1", "test-7"}


def test_progress_is_logged_in_lines(hub, tmp_path, caplog, capfd, monkeypatch):
    monkeypatch.setattr(downloads.Progress, "due", property(lambda self: True))
    with caplog.at_level(logging.INFO):
        download_hub([URI], tmp_path)
    assert "downloading train-0.parquet: 39%" in caplog.text and "MB/s" in caplog.text
    # Neither bars nor addresses, which may be signed.
    assert "http" not in caplog.text
    assert capfd.readouterr().err == ""


def test_files_outside_lfs_are_checked_by_their_size(hub, tmp_path, part):
    part.parent.with_name("README.md.part").write_bytes(b"hex")  # perhaps of another version
    assert download_hub(["hf://datasets/owner/faces@main/*"], tmp_path) == {
        "owner/faces/main/README.md": sha256(b"hello")
    }
    assert files_in(tmp_path) == {"owner/faces/main/README.md": b"hello"}


@pytest.mark.parametrize("revision", ["refs/convert/parquet", "refs/pr/1", "team%2Fv1"])
def test_a_revision_with_slashes_is_one_folder_and_names_may_hold_anything(hub, tmp_path, revision):
    publish(hub, {"x/0 %40@#?.parquet": DATA}, urllib.parse.unquote(revision))
    download_hub([f"hf://datasets/owner/faces@{revision}/x/*.parquet"], tmp_path)
    assert files_in(tmp_path) == {f"owner/faces/{revision.replace('/', '%2F')}/x/0 %40@#?.parquet": DATA}


@pytest.mark.parametrize("faults", [[0.5], [0.0, 0.9], [503], [500, 429, 408], [b"cut short"]], ids=str)
@pytest.mark.parametrize("have", [0, 400_000])
def test_failures_are_retried_from_where_they_happened(hub, tmp_path, waits, part, have, faults):
    part.write_bytes(DATA[:have])
    hub.faults = faults.copy()
    download_hub([ONE], tmp_path)
    assert files_in(tmp_path) == {TRAIN: DATA}
    assert hub.starts() == [have] * len(faults) + list(range(have, len(DATA), BLOCK))
    assert len(waits) == len(faults)


@pytest.mark.parametrize(
    ("data", "starts"),
    [(DATA, []), (b"x" * 700_000, [700_000, 0, BLOCK, 2 * BLOCK]), (b"x" * 800_000, [0, BLOCK, 2 * BLOCK])],
    ids=["complete", "another version", "too long"],
)
def test_what_another_process_left_is_checked(hub, tmp_path, part, data, starts):
    part.write_bytes(data)
    download_hub([ONE], tmp_path)
    assert files_in(tmp_path) == {TRAIN: DATA}
    assert hub.starts() == starts


def test_a_hub_that_keeps_failing_is_given_up_and_what_came_is_kept(hub, tmp_path, waits):
    hub.faults = [DATA] + [503] * 100
    with pytest.raises(UserError, match=r"train-0.parquet could not be .* 5 times in a row.*HTTPS_PROXY.*resumes"):
        download_hub([ONE], tmp_path)
    assert files_in(tmp_path) == {f"{TRAIN}.part": DATA[:BLOCK]}


@pytest.mark.parametrize("state", ["no network", "silence"])
def test_a_hub_without_an_answer_is_given_up(hub, tmp_path, monkeypatch, waits, state):
    silence = threading.Event()
    hub.files["/api/datasets/owner/faces/tree/main?recursive=true&expand=false"] = silence
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.05)
    if state == "no network":
        hub.shutdown()
        hub.server_close()
    reason = "timed out" if state == "silence" else "refused"
    with pytest.raises(UserError, match=rf"list of files .*{reason}, 5 times .*HF_ENDPOINT.*paths of local files"):
        download_hub([URI], tmp_path)
    silence.set()
    assert state == "silence" or waits == [1, 2, 4, 8]


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080", "SOCKS"),
        ("SSL_CERT_FILE", "/nowhere/cacert.pem", "No such file"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "soon", "invalid literal"),
    ],
)
def test_an_environment_in_which_the_hubs_client_cannot_start_is_named(tmp_path, variable, value, named):
    """In a process of its own: the library reads some variables when it is imported."""
    code = (
        "from pathlib import Path; from autoencoders.data.downloads import download_hub; "
        f"from autoencoders.jobs.job import job\nwith job('log'): download_hub(['{URI}'], Path('x'))"
    )
    environment = os.environ | {"PYTHONPATH": str(PROJECT / "workflow/scripts"), variable: value}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, text=True, capture_output=True)
    assert done.returncode and "Traceback" not in done.stderr
    assert re.search(f"can't start: .*{named}.*: look at .*{variable}", done.stderr), done.stderr


@pytest.mark.parametrize(
    ("of", "answer", "advice"),
    [
        *((of, 404, "404.*Check the name") for of in ("dataset", "file")),
        *((of, code, f"{code}.*HF_TOKEN") for of in ("dataset", "file") for code in (401, 403)),
        ("dataset", b"<html>please log in</html>", "HF_ENDPOINT"),
    ],
)
def test_refusals_end_it_at_once(hub, tmp_path, waits, of, answer, advice):
    if of == "dataset":
        hub.files["/api/datasets/owner/faces/revision/main"] = answer
    hub.faults = [answer]
    with pytest.raises(UserError, match=advice):
        download_hub([URI], tmp_path)
    assert len([path for path, _ in hub.asked if of == "dataset" or "resolve" in path]) == 1
    assert waits == []


def test_wrong_bytes_are_fetched_once_more_and_never_get_the_name(hub, tmp_path, part):
    other = DATA[1:] + b"x"
    (tmp_path / TRAIN).write_bytes(other)
    hub.faults = [other] * 3
    download_hub([ONE], tmp_path)
    assert files_in(tmp_path) == {TRAIN: DATA}
    (tmp_path / TRAIN).unlink()
    hub.faults = [other] * 6
    with pytest.raises(UserError, match=r"wrong checksum or size, twice.*by hand"):
        download_hub([ONE], tmp_path)
    assert files_in(tmp_path) == {}


@pytest.mark.parametrize("path", ["../../evil", "/etc/evil", "data/../../x", "data\\..\\x", "c:/x"])
def test_names_cannot_leave_the_folder(hub, tmp_path, path):
    publish(hub, {**FILES, path: b"evil"})
    with pytest.raises(UserError, match="outside its folder"):
        download_hub(["hf://datasets/owner/faces@main/**"], tmp_path / "a" / "b" / "c")
    assert files_in(tmp_path) == {}


def test_the_token_goes_to_the_hub_and_nowhere_else(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", " secret\n")
    storage, path = Server(), "/datasets/owner/faces/resolve/main/data/train-1.parquet"
    moved = path.replace("owner", "new")
    hub.files |= {path: hub.url + moved, moved: storage.url + "/blob"}
    storage.files["/blob"] = b"one"
    download_hub([URI], tmp_path)
    sent = [{key.lower(): value for key, value in headers.items()} for _, headers in hub.asked]
    assert {headers.get("authorization") for headers in sent} == {"Bearer secret"}
    assert moved in [path for path, _ in hub.asked]
    assert len(storage.asked) == 1 and "secret" not in str(storage.asked)
    storage.shutdown()
    storage.server_close()


def test_without_hf_token_nothing_is_sent_of_the_user(hub, tmp_path, monkeypatch):
    """Neither a stored login, nor which packages there are."""
    (tmp_path / "token").write_text("stored", encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    download_hub([URI], tmp_path / "data")
    assert not re.search("authorization|stored|torch", str(hub.asked), flags=re.IGNORECASE)


def test_a_pattern_that_matches_nothing_is_answered_with_the_names_of_the_files(hub, tmp_path):
    with pytest.raises(UserError, match=r"matches 'data/val-\*' .*There are 4: data/old/train-9.parquet, data/test-0"):
        download_hub(["hf://datasets/owner/faces@main/data/val-*"], tmp_path)


def test_patterns():
    """Two stars stand for any number of folders; one, in the tests above, stays in its folder."""
    for path in ("train-0.parquet", "data/train-0.parquet", "a/b/c/train-0.parquet"):
        assert matches(path, "**/train-?.parquet") and not matches(path, "b/**")
    assert matches("a/train-1.parquet", "a/**/train-[0-9].parquet")
    assert not matches("a/train-10.parquet", "a/**/train-[0-9].parquet")


# ---- single files


@pytest.mark.parametrize("there", [None, b"an older version", DATA])
@pytest.mark.parametrize("faults", [[], [0.5], [503, 500, 429], [b"wrong"]], ids=str)
def test_a_file_is_fetched_unless_it_is_there_and_right(server, tmp_path, waits, there, faults):
    server.files["/file"], server.faults, path = DATA, faults.copy(), tmp_path / "deep" / "file"
    if there:
        path.parent.mkdir()
        path.write_bytes(there)
        if there != DATA:
            leftover = path.with_name("file.part.0123abc.partial")  # of an interrupted download
            leftover.touch()
            os.utime(leftover, (0, 0))
            young = path.with_name("file.part.4567def.partial")  # another run's, which is writing it
            young.touch()
    fetch(f"{server.url}/file", path, sha256(DATA))
    if there and there != DATA:
        young.unlink()
    assert files_in(tmp_path) == {"deep/file": DATA}
    assert len(server.asked) == (0 if there == DATA else 1 + len(faults))


@pytest.mark.parametrize(
    ("fault", "asked", "message"),
    [(404, 1, "404.*by hand"), (500, 5, "500.* 5 times in a row.*by hand"), (b"wrong", 5, "wrong checksum.*by hand")],
)
def test_a_file_that_cannot_be_had_leaves_nothing(server, tmp_path, fault, asked, message):
    server.faults = [fault] * 9
    with pytest.raises(UserError, match=rf"{server.url}/file.*{message}"):
        fetch(f"{server.url}/file", tmp_path / "file", sha256(DATA))
    assert len(server.asked) == asked
    assert files_in(tmp_path) == {}


def test_a_full_disk_is_not_taken_for_a_bad_network(hub, tmp_path, waits, part, monkeypatch):
    part.symlink_to("/dev/full")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("torch.hub.download_url_to_file", Mock(side_effect=full))
    fetching = (lambda: download_hub([ONE], tmp_path), lambda: fetch(f"{hub.url}/file", tmp_path / "file", "0"))
    for work, path in zip(fetching, (TRAIN, "file"), strict=True):
        with pytest.raises(UserError, match=f"{tmp_path / path} can't be written: the disk is full"):
            work()
    assert waits == []


def test_the_inception_weights_are_pytorch_fids_and_no_others_are_called_so():
    from pytorch_fid.inception import FID_WEIGHTS_URL

    assert inception.URL == FID_WEIGHTS_URL
    # The name has the first digits of the checksum.
    assert inception.SHA256.startswith(Path(FID_WEIGHTS_URL).stem.rsplit("-", 1)[1]) and len(inception.SHA256) == 64
    assert inception.recorded_name(inception.SHA256) == "inception"
    assert inception.recorded_name("0" * 64) == "inception-other"


def test_a_downloaded_dataset_is_prepared_from_the_folder_of_its_manifest(project, tmp_path):
    """The job itself: everything else in these tests has local images."""
    folder = copy_project(project, tmp_path)
    files = folder / "resources/datasets/mine/owner/faces/main"
    files.mkdir(parents=True)
    written = io.BytesIO()
    Image.new("RGB", (8, 8)).save(written, "PNG")
    pq.write_table(pa.table({"image": pa.array([written.getvalue()] * 10, pa.binary())}), files / "0.parquet")
    (folder / "resources/datasets/mine.json").write_text("{}", encoding="utf-8")
    dataset = {"source": "parquet", "parquet": {"train": "hf://datasets/owner/faces@main/*.parquet"}, "latent": 4}
    config = {
        "datasets": {"mine": dataset},
        "experiments": {"mine": [{"dataset": "mine", "model": "dae", "filters": 2}]},
    }
    (folder / "mine.yaml").write_text(json.dumps(config | {"run": ["mine"]}), encoding="utf-8")
    record = "results/demo/datasets/mine/dataset.json"
    snakemake(folder, record, "--allowed-rules", "prepare_dataset", configs=("config/demo.yaml", "mine.yaml"))
    assert json.loads((folder / record).read_text(encoding="utf-8"))["images"] == {"train": 8, "test": 2}
