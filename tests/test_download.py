"""Downloads, against a server on this machine that misbehaves on purpose."""

import hashlib
import http.server
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from autoencoders.data import downloads as download
from autoencoders.data.downloads import fetch, hub_files, matches, parse_hub
from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import file_sha256
from autoencoders.scores.extractors import inception

DATA = bytes(range(256)) * 3000  # 768,000 bytes
SHA256 = hashlib.sha256(DATA).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Answers GET by ``routes[path](handler)`` and keeps what it was asked: (path, headers)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes, self.asked = {}, []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        route = self.server.routes.get(self.path)
        if route is None:
            self.send_error(404)
        else:
            route(self)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The back-off's seconds, not waited for."""
    seconds = []
    monkeypatch.setattr(download.time, "sleep", seconds.append)
    for name in ("HF_TOKEN", "HF_ENDPOINT", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return seconds


def serve(data=DATA, stop_after=None, ranges=True):
    """A route that serves ``data``; its answers end after ``stop_after`` bytes."""

    def answer(handler):
        wanted = handler.headers.get("Range") if ranges else None
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if wanted and start >= len(data):
            handler.send_response(416)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if wanted else 200)
        if wanted:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        handler.wfile.write(data[start:][:stop_after])

    return answer


def fail(code):
    return lambda handler: handler.send_error(code)


def in_turn(*answers):
    """A route that answers differently every time; the last answer stays."""
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_fetch_writes_the_file_and_nothing_else(server, tmp_path, waits):
    server.routes["/file"] = serve()
    fetch(f"{server.url}/file", tmp_path / "deep" / "file", SHA256, len(DATA))
    assert (tmp_path / "deep" / "file").read_bytes() == DATA
    assert left_over(tmp_path / "deep") == ["file"]
    assert waits == []


def test_a_right_file_is_kept(server, tmp_path):
    (tmp_path / "file").write_bytes(DATA)
    fetch(f"{server.url}/file", tmp_path / "file", SHA256)
    assert server.asked == []


@pytest.mark.parametrize("check", [{"sha256": SHA256}, {"size": len(DATA)}])
def test_a_wrong_file_is_replaced(server, tmp_path, check):
    (tmp_path / "file").write_bytes(b"an older version")
    server.routes["/file"] = serve()
    fetch(f"{server.url}/file", tmp_path / "file", **check)
    assert (tmp_path / "file").read_bytes() == DATA


def test_a_broken_connection_is_resumed(server, tmp_path, waits):
    server.routes["/file"] = serve(stop_after=300_000)
    fetch(f"{server.url}/file", tmp_path / "file", SHA256, attempts=2)
    assert (tmp_path / "file").read_bytes() == DATA
    assert server.ranges() == [None, "bytes=300000-", "bytes=600000-"]
    assert waits == [1, 1], "an attempt that brought new bytes starts the count anew"


def test_another_process_resumes(server, tmp_path):
    (tmp_path / "file.part").write_bytes(DATA[:500_000])
    server.routes["/file"] = serve()
    fetch(f"{server.url}/file", tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == DATA
    assert server.ranges() == ["bytes=500000-"]
    assert left_over(tmp_path) == ["file"]


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_a_complete_part_is_only_checked(server, tmp_path, size):
    (tmp_path / "file.part").write_bytes(DATA)
    server.routes["/file"] = serve()
    fetch(f"{server.url}/file", tmp_path / "file", SHA256, size)
    assert (tmp_path / "file").read_bytes() == DATA
    assert server.ranges() == ([] if size else [f"bytes={len(DATA)}-"])


def test_a_part_of_another_version_is_dropped(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"x" * 500_000)
    server.routes["/file"] = serve()
    fetch(f"{server.url}/file", tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == DATA
    assert server.ranges() == ["bytes=500000-", None]


def test_without_a_checksum_no_other_process_resumes(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"x" * 500_000)
    server.routes["/file"] = serve()
    fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.routes["/file"] = in_turn(serve(stop_after=300_000), serve(ranges=False))
    fetch(f"{server.url}/file", tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == DATA


def test_a_server_that_always_breaks_off_at_the_start_is_given_up(server, tmp_path):
    server.routes["/file"] = serve(stop_after=300_000, ranges=False)
    with pytest.raises(UserError, match=r"300,000 of 768,000 bytes, 3 times in a row"):
        fetch(f"{server.url}/file", tmp_path / "file", SHA256, attempts=3)
    assert len(server.asked) == 3
    assert left_over(tmp_path) == ["file.part"]


def test_a_resumption_at_the_wrong_place_starts_again(server, tmp_path):
    def shifted(handler):
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-9/{len(DATA)}")
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        handler.wfile.write(DATA[:10])

    server.routes["/file"] = in_turn(serve(stop_after=300_000), shifted, serve())
    fetch(f"{server.url}/file", tmp_path / "file")  # no checksum that would find the mistake later
    assert (tmp_path / "file").read_bytes() == DATA
    assert server.ranges() == [None, "bytes=300000-", None]


def test_server_errors_are_retried_with_growing_waits(server, tmp_path, waits):
    server.routes["/file"] = in_turn(fail(500), fail(503), fail(429), serve())
    fetch(f"{server.url}/file", tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == DATA
    assert waits == [1, 2, 4]


def test_server_errors_that_stay_are_told(server, tmp_path):
    server.routes["/file"] = fail(500)
    with pytest.raises(UserError, match=r"/file could not be downloaded: the server answered 500 .* 5 times in a row"):
        fetch(f"{server.url}/file", tmp_path / "file", SHA256)
    assert len(server.asked) == 5
    assert left_over(tmp_path) == []


def test_no_server_is_told(server, tmp_path):
    url = server.url
    server.server_close()
    with pytest.raises(UserError, match=rf"no connection .* 2 times in a row.*put the file at {tmp_path}/file by hand"):
        fetch(f"{url}/file", tmp_path / "file", SHA256, attempts=2)


@pytest.mark.parametrize(("code", "advice"), [(404, "Check the name"), (403, "HF_TOKEN"), (401, "HF_TOKEN")])
def test_refusals_are_told_at_once(server, tmp_path, waits, code, advice):
    server.routes["/file"] = fail(code)
    with pytest.raises(UserError, match=rf"/file: the server answered {code} .*{advice}"):
        fetch(f"{server.url}/file", tmp_path / "file", SHA256)
    assert len(server.asked) == 1
    assert waits == []


def test_wrong_bytes_are_fetched_once_more(server, tmp_path):
    server.routes["/file"] = in_turn(serve(b"y" * len(DATA)), serve())
    fetch(f"{server.url}/file", tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == DATA
    assert server.ranges() == [None, None]


@pytest.mark.parametrize("check", [{"sha256": SHA256}, {"size": 9}])
def test_wrong_bytes_never_get_the_name(server, tmp_path, check):
    server.routes["/file"] = serve(b"wrong")
    with pytest.raises(UserError, match=r"wrong checksum or size, twice: 5 bytes"):
        fetch(f"{server.url}/file", tmp_path / "file", **check)
    assert len([path for path in server.ranges() if path is None]) == 2
    assert left_over(tmp_path) == []


def test_a_full_disk_is_not_taken_for_a_bad_line(server, tmp_path, waits):
    server.routes["/file"] = serve()
    (tmp_path / "file.part").symlink_to("/dev/full")
    with pytest.raises(UserError, match=f"{tmp_path}/file can't be written: the disk is full"):
        fetch(f"{server.url}/file", tmp_path / "file", SHA256)
    assert waits == []


def test_progress_is_logged(server, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(download.Progress, "due", property(lambda self: True))
    server.routes["/file"] = serve(DATA * 4)
    with caplog.at_level(logging.INFO):
        fetch(f"{server.url}/file", tmp_path / "file")
    assert "downloading file: 100%" in caplog.text
    assert "MB/s" in caplog.text


def test_inception_is_pytorch_fids():
    from pytorch_fid.inception import FID_WEIGHTS_URL

    assert inception.URL == FID_WEIGHTS_URL
    prefix = Path(FID_WEIGHTS_URL).stem.rsplit("-", 1)[1]
    assert len(prefix) == 8
    assert inception.SHA256.startswith(prefix)
    assert len(inception.SHA256) == 64


# ---- the Hub


def entry(path, data=DATA, lfs=True):
    digest = hashlib.sha256(data).hexdigest()
    pointer = {"lfs": {"oid": digest, "size": len(data), "pointerSize": 130}} if lfs else {}
    return {"type": "file", "oid": "f" * 40, "size": len(data), "path": path, **pointer}


def listing(entries, next_page=None):
    def answer(handler):
        body = json.dumps(entries).encode()
        handler.send_response(200)
        if next_page:
            handler.send_header("Link", f'<{next_page}>; rel="next"')
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


TREE = "/api/datasets/owner/faces/tree/main?recursive=true"
URI = "hf://datasets/owner/faces@main/data/train-*.parquet"


@pytest.fixture
def hub(server, monkeypatch):
    """A dataset of two train shards and a test shard, listed on two pages."""
    monkeypatch.setenv("HF_ENDPOINT", server.url + "/")
    directory = {"type": "directory", "oid": "0" * 40, "size": 0, "path": "data/train-dir.parquet"}
    first = [directory, entry("README.md", b"hello", lfs=False), entry("data/train-1.parquet", b"one")]
    server.routes[TREE] = listing(first, f"{server.url}{TREE}&cursor=2")
    server.routes[f"{TREE}&cursor=2"] = listing(
        [
            entry("data/train-0.parquet", b"zero"),
            entry("data/test-0.parquet", b"test"),
            entry("data/old/train-9.parquet"),
        ]
    )
    files = {"README.md": b"hello", "data/train-0.parquet": b"zero", "data/train-1.parquet": b"one"}
    for name, data in files.items():
        server.routes[f"/datasets/owner/faces/resolve/main/{name}"] = serve(data)
    return server


def test_hub_files_are_listed_over_pages_and_filtered(hub):
    files = hub_files(URI)
    assert [file.path for file in files] == ["data/train-0.parquet", "data/train-1.parquet"]
    assert files[0].url == f"{hub.url}/datasets/owner/faces/resolve/main/data/train-0.parquet"
    assert files[0].sha256 == hashlib.sha256(b"zero").hexdigest()
    assert files[0].size == 4


def test_hub_files_outside_lfs_have_no_sha256(hub, tmp_path):
    uri = "hf://datasets/owner/faces@main/README.md"
    assert hub_files(uri)[0].sha256 is None
    manifest = download.download_hub([uri], tmp_path)
    assert manifest == {"owner/faces/main/README.md": hashlib.sha256(b"hello").hexdigest()}


def test_hub_pattern_without_files_names_some(hub):
    with pytest.raises(UserError, match=r"fits 'data/val-\*' .*There are 4: data/old/train-9.parquet, data/test-0"):
        hub_files("hf://datasets/owner/faces@main/data/val-*")


def test_hub_errors_in_listing(hub, waits):
    page = hub.routes[TREE]
    hub.routes[TREE] = in_turn(fail(500), fail(500), page)
    assert len(hub_files(URI)) == 2
    assert waits == [1, 2]
    hub.routes[TREE] = fail(500)
    with pytest.raises(UserError, match=r"tree/main.*could not be read: the server answered 500"):
        hub_files(URI)
    del hub.routes[TREE]
    with pytest.raises(UserError, match=r"tree/main.* answered 404 .*revision"):
        hub_files(URI)
    hub.routes[TREE] = serve(b"<html>please log in</html>")
    with pytest.raises(UserError, match="HF_ENDPOINT"):
        hub_files(URI)


@pytest.mark.parametrize(
    "path", ["../../evil.parquet", "/etc/evil.parquet", "data/../../x.parquet", "data\\..\\x.parquet"]
)
def test_hub_names_cannot_leave_the_folder(hub, path):
    hub.routes[TREE] = listing([entry(path)])
    with pytest.raises(UserError, match="outside its folder"):
        hub_files(
            "hf://datasets/owner/faces@main/**/*.parquet" if path[0] != "/" else "hf://datasets/owner/faces@main/**"
        )


def test_download_hub_writes_files_and_manifest(hub, tmp_path):
    manifest = download.download_hub([URI], tmp_path)
    assert manifest == {
        "owner/faces/main/data/train-0.parquet": hashlib.sha256(b"zero").hexdigest(),
        "owner/faces/main/data/train-1.parquet": hashlib.sha256(b"one").hexdigest(),
    }
    assert all(file_sha256(tmp_path / name) == sha256 for name, sha256 in manifest.items())
    assert [path.name for path in download.local_hub_files(URI, tmp_path)] == ["train-0.parquet", "train-1.parquet"]


def test_download_hub_drops_files_that_the_branch_no_longer_has(hub, tmp_path):
    stale = tmp_path / "owner/faces/main/data/train-7.parquet"
    kept = tmp_path / "owner/faces/main/data/test-7.parquet"
    stale.parent.mkdir(parents=True)
    stale.touch()
    kept.touch()
    download.download_hub([URI], tmp_path)
    assert not stale.exists()
    assert kept.exists()


def test_download_hub_refuses_bytes_that_differ_from_the_listing(hub, tmp_path):
    hub.routes["/datasets/owner/faces/resolve/main/data/train-1.parquet"] = serve(b"two")
    with pytest.raises(UserError, match="wrong checksum"):
        download.download_hub([URI], tmp_path)
    assert not (tmp_path / "owner/faces/main/data/train-1.parquet").exists()


def redirect(to):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def test_the_token_goes_to_the_hub_and_nowhere_else(hub, tmp_path, monkeypatch):
    storage = Server()
    threading.Thread(target=storage.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        monkeypatch.setenv("HF_TOKEN", "secret")
        storage.routes["/blob"] = serve(b"one")
        first, second = (f"/datasets/{name}/resolve/main/data/train-1.parquet" for name in ("owner/faces", "new/faces"))
        hub.routes[first] = redirect(f"{hub.url}{second}")
        hub.routes[second] = redirect(f"{storage.url}/blob")
        download.download_hub([URI], tmp_path)
        assert {headers.get("Authorization") for _, headers in hub.asked} == {"Bearer secret"}
        assert second in [path for path, _ in hub.asked]
        assert len(storage.asked) == 1
        assert "secret" not in str(storage.asked)
    finally:
        storage.shutdown()
        storage.server_close()


def test_without_a_token_none_is_sent(hub):
    hub_files(URI)
    assert all("Authorization" not in headers for _, headers in hub.asked)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("hf://datasets/a/b@main/x.parquet", ("a/b", "main", "x.parquet")),
        ("hf://datasets/a-1/b.c_d@0f3/data/*.parquet", ("a-1/b.c_d", "0f3", "data/*.parquet")),
        ("hf://datasets/a/b@refs/convert/parquet/x/y-*.parquet", ("a/b", "refs/convert/parquet", "x/y-*.parquet")),
        ("hf://datasets/a/b@refs%2Fpr%2F1/x", ("a/b", "refs/pr/1", "x")),
    ],
)  # fmt: skip
def test_parse_hub(uri, expected):
    assert parse_hub(uri) == expected


@pytest.mark.parametrize(
    "uri", ["hf://datasets/a/b/x.parquet", "hf://a/b@main/x", "hf://datasets/b@main/x", "hf://datasets/a/b@main/"]
)
def test_parse_hub_says_what_to_write(uri):
    with pytest.raises(UserError, match=r"Write hf://datasets/<owner>/<name>@<revision>/<files>"):
        parse_hub(uri)


def test_a_revision_with_slashes_is_one_folder_and_one_part_of_the_address(server, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    uri = "hf://datasets/a/b@refs/convert/parquet/x/*.parquet"
    server.routes["/api/datasets/a/b/tree/refs%2Fconvert%2Fparquet?recursive=true"] = listing([entry("x/0.parquet")])
    server.routes["/datasets/a/b/resolve/refs%2Fconvert%2Fparquet/x/0.parquet"] = serve()
    assert list(download.download_hub([uri], tmp_path)) == ["a/b/refs%2Fconvert%2Fparquet/x/0.parquet"]


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("data/train-0.parquet", "data/train-*.parquet", True),
        ("data/train-0.parquet", "*.parquet", False),
        ("data/train-0.parquet", "**/*.parquet", True),
        ("train-0.parquet", "**/*.parquet", True),
        ("a/b/c/train-0.parquet", "a/**/train-?.parquet", True),
        ("a/train-0.parquet", "b/**", False),
        ("data/train-10.parquet", "data/train-[0-9].parquet", False),
        ("data/old/train-0.parquet", "data/train-*.parquet", False),
    ],
)
def test_matches(path, pattern, expected):
    assert matches(path, pattern) is expected


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("torchvision", {"name": "CIFAR10"}, True),
        ("sklearn", {"name": "digits"}, False),
        ("folder", {"train": "x", "test": None}, False),
        ("parquet", {"train": "x.parquet", "test": None}, False),
        ("parquet", {"train": URI, "test": None}, True),
        ("parquet", {"train": "x.parquet", "test": ["y.parquet", URI]}, True),
    ],
)
def test_is_remote(kind, options, expected):
    """A source that does not say so has nothing to download."""
    module = kinds.load("sources", kind)
    assert (hasattr(module, "is_remote") and module.is_remote(options)) is expected


@pytest.mark.parametrize("kind", kinds.names("sources"))
def test_what_is_asked_of_a_source_before_any_job_needs_the_standard_library_only(tmp_path, kind):
    """Snakemake's own process asks it, in an environment without the pipeline's packages."""
    here = {"train": str(tmp_path), "test": None, "label": None}
    options = {"torchvision": {"name": "CIFAR10"}, "sklearn": {"name": "digits"}, "folder": here, "parquet": here}
    code = f"""
import sys

sys.path.insert(0, {str(Path(kinds.__file__).parents[2])!r})
from autoencoders.jobs import kinds

source = kinds.load("sources", {kind!r})
for question in ("is_remote", "files", "fingerprints", "check", "has_test", "labelled", "training_images", "side"):
    if hasattr(source, question):
        answer = getattr(source, question)({options[kind]!r})
        list(answer) if question == "check" else answer
print(hasattr(source, "is_remote") and source.is_remote({options[kind]!r}))
"""
    # -I -S: no site-packages.
    answer = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == f"{kind == 'torchvision'}\n"


def test_only_the_official_weights_are_called_inception():
    assert inception.recorded_name(inception.SHA256) == "inception"
    assert inception.recorded_name("0" * 64) == "inception-other"
    # Others are called by their names.
    assert not hasattr(kinds.load("extractors", "classifier"), "recorded_name")
