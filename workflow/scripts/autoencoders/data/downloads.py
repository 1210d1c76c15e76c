"""Downloads that survive a bad line: resumed, retried, and checked before they get their name."""

import fnmatch
import http.client
import json
import logging
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import explained, file_sha256
from autoencoders.jobs.progress import Progress

logger = logging.getLogger(__name__)

HUB_FORM = "hf://datasets/<owner>/<name>@<revision>/<files>"
TIMEOUT = 60  # seconds without a byte
CHUNK = 1 << 16  # bytes


class Interrupted(Exception):
    """The transfer failed in a way that another attempt may mend."""


class HubPattern(NamedTuple):
    """Some files of one revision of a dataset on the Hugging Face Hub."""

    dataset: str
    revision: str
    pattern: str


class HubFile(NamedTuple):
    """One file on the Hub; ``path`` is relative to the dataset, ``sha256`` None for files outside LFS."""

    url: str
    path: str
    sha256: str | None
    size: int


def fetch(url: str, path: str | Path, sha256: str | None = None, size: int | None = None, attempts: int = 5) -> None:
    """Download ``url`` to ``path``, which appears only when its size (bytes) and checksum are right.

    What has come lies in ``<path>.part`` meanwhile, and a later call goes on from there (without a checksum only
    the same call does, since nobody could tell whether both parts belong together). The download is given up after
    ``attempts`` failures in a row without a new byte. A file that is there and right is kept.

    Raises UserError: a refusal of the server (404, 403, ...) or a full disk at once, a lost connection after the
    attempts, a wrong checksum after a second download from the start.
    """
    path = Path(path)
    with explained(path):
        _fetch(url, path, sha256, size, attempts)


def _fetch(url: str, path: Path, sha256: str | None, size: int | None, attempts: int) -> None:
    if path.is_file():
        if _is_right(path, sha256, size):
            logger.info("%s is already there", path)
            return
        logger.warning("%s is not what %s should hold; downloading it again", path, url)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    if sha256 is None:
        part.unlink(missing_ok=True)
    for _ in range(2):
        _complete(url, part, path, size, attempts)
        if _is_right(part, sha256, size):
            with open(part, "rb+") as written:
                os.fsync(written.fileno())
            os.replace(part, path)
            logger.info("%s is complete%s", path, "" if sha256 is None else " and its checksum right")
            return
        found = f"{part.stat().st_size:,} bytes with SHA-256 {file_sha256(part)}"
        part.unlink()
        logger.warning("%s: the checksum or size of the download is wrong; deleted (%s)", url, found)
    wanted = " and ".join(
        ([] if size is None else [f"{size:,} bytes"]) + ([] if sha256 is None else [f"SHA-256 {sha256}"])
    )
    raise UserError(
        f"{url} gave a file with a wrong checksum or size, twice: {found} instead of {wanted}. "
        f"Something between here and the server changes it, or the server's copy has changed. "
        f"Put the right file at {path} by hand, or try again later."
    )


def _is_right(path: Path, sha256: str | None, size: int | None) -> bool:
    return (size is None or path.stat().st_size == size) and (sha256 is None or file_sha256(path) == sha256)


def _complete(url: str, part: Path, path: Path, size: int | None, attempts: int) -> None:
    """Repeat `_transfer` until it ends without an interruption."""
    failures, furthest = 0, _size(part)
    while True:
        try:
            return _transfer(url, part, size)
        except Interrupted as reason:
            # A line that breaks every few minutes still gets there; only standing still counts against it.
            failures = 1 if _size(part) > furthest else failures + 1
            furthest = max(furthest, _size(part))
            if failures >= attempts:
                raise UserError(
                    f"{url} could not be downloaded: {reason}, {failures} times in a row. Check the network (or the "
                    f"variables HTTPS_PROXY and HF_ENDPOINT) and run again: it goes on where it stopped. On a machine "
                    f"without a network, put the file at {path} by hand."
                ) from reason
            _back_off(url, reason, failures)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _back_off(url: str, reason: Exception, failures: int) -> None:
    seconds = 2 ** (failures - 1)
    logger.warning("%s: %s; trying again in %d s", url, reason, seconds)
    time.sleep(seconds)


def _transfer(url: str, part: Path, size: int | None) -> None:
    """Append to ``part`` what the server still has; Interrupted when the connection ends too early."""
    have = _size(part)
    if size is not None and have >= size:  # complete, or another file: the checksum decides
        return
    response = _open(url, have)
    if response is None:  # nothing is left beyond what we have
        return
    with response:
        length = response.headers.get("Content-Length")
        # Servers that know no ranges answer 200 and send everything again.
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink()
            raise Interrupted(f"the server resumed at the wrong place ({response.headers.get('Content-Range')})")
        have = have if resumed else 0
        total = None if length is None else have + int(length)
        name = urllib.parse.unquote(url.rsplit("/", 1)[-1])
        start = f", going on at {have / 1e6:,.0f} MB" if have else ""
        logger.info("downloading %s (%s%s)", name, f"{total / 1e6:,.1f} MB" if total else "unknown size", start)
        progress = Progress(f"downloading {name}", (total - have) / 1e6 if total else 0, "MB")
        with open(part, "ab" if resumed else "wb") as file:
            # Only the network's errors are worth another attempt: a full disk is not.
            while chunk := _read(response, CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress.advance(len(chunk) / 1e6)
                if total and progress.due:
                    progress.line()
    if total is not None and have < total:
        raise Interrupted(f"the connection broke off after {have:,} of {total:,} bytes")


def _read(response: http.client.HTTPResponse, count: int | None = None) -> bytes:
    try:
        return response.read(count)
    except (http.client.HTTPException, OSError) as error:
        raise Interrupted(f"the connection broke off ({error!r})") from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Hands the token on within the Hub, and never to the storage that it redirects to."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None:
            _authorize(request)
        return request


_opener = urllib.request.build_opener(_Redirects)


def _authorize(request: urllib.request.Request) -> None:
    token = os.environ.get("HF_TOKEN", "").strip()
    if token and request.full_url.startswith(hub_endpoint() + "/"):
        request.add_unredirected_header("Authorization", f"Bearer {token}")


def _open(url: str, start: int = 0) -> http.client.HTTPResponse | None:
    """The response from byte ``start`` on, or None when the file ends before it."""
    request = urllib.request.Request(url, headers={"User-Agent": "autoencoders-workflow"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    _authorize(request)
    try:
        return _opener.open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if start and error.code == 416:
                return None
            if error.code in (408, 429) or error.code >= 500:
                raise Interrupted(f"the server answered {error.code} {error.reason}") from error
            hint = (
                "A private or gated dataset of the Hugging Face Hub needs a token in the environment variable HF_TOKEN."
                if error.code in (401, 403)
                else "Check the name and the revision in the config."
            )
            raise UserError(f"{url}: the server answered {error.code} {error.reason}. {hint}") from error
    except (http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        raise Interrupted(f"no connection ({reason})") from error


def hub_endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def parse_hub(uri: str) -> HubPattern:
    """Split ``hf://datasets/<owner>/<name>@<revision>/<glob>``; refs/convert/* and refs/pr/* count as revisions."""
    match = re.fullmatch(
        r"hf://datasets/(?P<dataset>\w[\w.-]*/\w[\w.-]*)"
        r"@(?P<revision>refs/(?:convert|pr)/[^/]+|[^/]+)/(?P<pattern>.+)",
        uri,
    )
    revision = urllib.parse.unquote(match["revision"]) if match else ""
    # Dataset and revision become folders, and none of these is "..".
    if not revision.strip("."):
        raise UserError(
            f"'{uri}' does not name files on the Hugging Face Hub. Write {HUB_FORM}, for example "
            f"hf://datasets/uoft-cs/cifar10@main/plain_text/train-*.parquet"
        )
    return HubPattern(match["dataset"], revision, match["pattern"])


def hub_folder(uri: str, folder: str | Path) -> Path:
    """Where the files of one revision of a dataset lie in the download folder."""
    dataset, revision, _ = parse_hub(uri)
    return Path(folder) / dataset / urllib.parse.quote(revision, safe="")


def matches(path: str, pattern: str) -> bool:
    """Whether a path fits a glob: ``*`` within one folder, ``**`` for any number of them."""

    def fit(parts: list[str], globs: list[str]) -> bool:
        if not globs:
            return not parts
        if globs[0] == "**":
            return any(fit(parts[skip:], globs[1:]) for skip in range(len(parts) + 1))
        return bool(parts) and fnmatch.fnmatchcase(parts[0], globs[0]) and fit(parts[1:], globs[1:])

    return fit(path.split("/"), pattern.split("/"))


def hub_files(uri: str) -> list[HubFile]:
    """List a Hub dataset's files that fit ``hf://datasets/<owner>/<name>@<revision>/<glob>``, sorted by path.

    Asks the Hub's API (GET /api/datasets/{id}/tree/{revision}), at HF_ENDPOINT where that is set, with HF_TOKEN.
    """
    dataset, revision, pattern = parse_hub(uri)
    revision = urllib.parse.quote(revision, safe="")
    url = f"{hub_endpoint()}/api/datasets/{dataset}/tree/{revision}?recursive=true"
    entries = []
    while url:
        page, url = _hub_page(url)
        entries += [entry for entry in page if entry["type"] == "file"]
    found = sorted((entry for entry in entries if matches(entry["path"], pattern)), key=lambda entry: entry["path"])
    if not found:
        # The nearest thing to what was meant: parquet files where there are any.
        names = sorted(entry["path"] for entry in entries)
        names = [name for name in names if name.endswith(".parquet")] or names
        raise UserError(
            f"No file of the dataset {dataset} fits '{pattern}' (from {uri}). "
            f"There are {len(names)}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
        )
    for entry in found:
        _refuse_outside(entry["path"], uri)
    resolve = f"{hub_endpoint()}/datasets/{dataset}/resolve/{revision}"
    return [
        HubFile(
            url=f"{resolve}/{urllib.parse.quote(entry['path'])}",
            path=entry["path"],
            sha256=(entry.get("lfs") or {}).get("oid"),
            size=entry["size"],
        )
        for entry in found
    ]


def _refuse_outside(path: str, uri: str) -> None:
    """Names come from strangers: none may lead out of the download folder."""
    if PurePosixPath(path).is_absolute() or ".." in path.split("/") or "\\" in path or ":" in path:
        raise UserError(f"{uri} lists a file named '{path}', which would be written outside its folder. Refused.")


def _hub_page(url: str, attempts: int = 5) -> tuple[list[dict], str | None]:
    """One page of the listing, and the address of the next one."""
    for failures in range(1, attempts + 1):
        try:
            with _open(url) as response:
                text = _read(response)
                link = re.search(r'<([^>]+)>;\s*rel="next"', response.headers.get("Link", ""))
            return json.loads(text), urllib.parse.urljoin(url, link[1]) if link else None
        except Interrupted as reason:
            if failures == attempts:
                raise UserError(
                    f"{url} could not be read: {reason}, {attempts} times in a row. Check the network (or the variables"
                    f" HTTPS_PROXY and HF_ENDPOINT), or write paths of local files instead of hf://... in the config."
                ) from reason
            _back_off(url, reason, failures)
        except ValueError as error:
            raise UserError(f"{url} answered something that is no listing ({error}). Check HF_ENDPOINT.") from error


def download_hub(uris: list[str], folder: str | Path) -> dict[str, str]:
    """Download the files that ``uris`` name into ``folder``; returns {path relative to folder: sha256}."""
    manifest = {}
    listings = {uri: hub_files(uri) for uri in uris}
    for uri, files in listings.items():
        target = hub_folder(uri, folder)
        for number, file in enumerate(files, 1):
            logger.info("file %d of %d of %s", number, len(files), uri)
            path = target / file.path
            fetch(file.url, path, sha256=file.sha256, size=file.size)
            manifest[path.relative_to(folder).as_posix()] = file.sha256 or file_sha256(path)
        # A branch moves: files that it no longer has must not be read along with the new ones.
        for path in local_hub_files(uri, folder):
            if path.relative_to(target).as_posix() not in {file.path for file in files}:
                logger.warning("%s is no longer in %s; deleted", path, uri)
                path.unlink()
    return manifest


def local_hub_files(uri: str, folder: str | Path) -> list[Path]:
    """The files of `download_hub` that fit ``uri``, sorted by their path in the dataset."""
    target = hub_folder(uri, folder)
    names = (path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    pattern = parse_hub(uri).pattern
    return [target / name for name in sorted(names) if matches(name, pattern) and not name.endswith(".part")]
