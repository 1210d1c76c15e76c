"""Downloads: retried, resumed, and verified before a file gets its final name.

huggingface_hub reads from the Hugging Face Hub, and torch.hub downloads single files. Both are imported inside
functions, since Snakemake's own process imports this module.
"""

from __future__ import annotations

import errno
import fnmatch
import itertools
import logging
import os
import re
import socket
import textwrap
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from autoencoders.jobs.errors import UserError, no_room
from autoencoders.jobs.files import explained, file_sha256
from autoencoders.jobs.progress import Progress

if TYPE_CHECKING:
    from huggingface_hub import HfFileSystem

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

HUB_FORM = "hf://datasets/<owner>/<name>@<revision>/<files>"
ATTEMPTS = 5  # consecutive failures after which a download is given up
TIMEOUT = 60  # seconds without a byte
BLOCK = 1 << 24  # bytes of a file on the Hub in one request
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


class HubPattern(NamedTuple):
    """Some files of one revision of a dataset on the Hugging Face Hub."""

    dataset: str
    revision: str
    pattern: str


class HubFile(NamedTuple):
    """One file on the Hub: ``name`` for HfFileSystem, ``path`` relative to the dataset, ``sha256`` None outside LFS."""

    name: str
    path: str
    sha256: str | None
    size: int


def retried(work: Callable[[], Result], what: str, advice: str) -> Result:
    """The result of ``work``, which calls a library for ``what`` over the network; tried up to `ATTEMPTS` times.

    Raises UserError: immediately if the server refuses (404, 403, ...), else after the last attempt, with ``advice``.
    The OSError of a full disk or a folder that can't be written to is not caught: the network is not to blame.
    """
    for failures in itertools.count(1):
        try:
            return work()
        except Exception as error:
            if no_room(error) or getattr(error, "errno", None) in NOT_WRITABLE:
                raise
            status, reason = http_status(error), textwrap.shorten(f"{type(error).__name__}: {error}", 300)
            hub = "hf://" in what
            if status in (401, 403):
                token = "A private or gated dataset of the Hugging Face Hub needs a token in the variable HF_TOKEN. "
                raise UserError(
                    f"{what}: the server answered {status} ({reason}). {token if hub else ''}{advice}"
                ) from error
            # Without a status, these mean that the name is invalid on the Hub, or that the answer is not the Hub's.
            useless = status is None and isinstance(error, FileNotFoundError | ValueError)
            if useless or (status is not None and 400 <= status < 500 and status not in (408, 429)):
                check = "Check the name and the revision in the config, and the variable HF_ENDPOINT. "
                raise UserError(f"{what}: {reason}. {check if hub else ''}{advice}") from error
            if failures == ATTEMPTS:
                raise UserError(
                    f"{what} could not be downloaded: {reason}, {failures} times in a row. Check the network (or the "
                    f"variables HTTPS_PROXY and HF_ENDPOINT), and run again. {advice}"
                ) from error
            logger.warning("%s: %s; trying again in %d s", what, reason, 2 ** (failures - 1))
            time.sleep(2 ** (failures - 1))


def http_status(error: BaseException | None) -> int | None:
    """The HTTP status that an exception of urllib or huggingface_hub, or its cause, reports."""
    while error is not None:
        status = getattr(error, "code", getattr(getattr(error, "response", None), "status_code", None))
        if isinstance(status, int):
            return status
        error = error.__cause__
    return None


def fetch(url: str, path: str | Path, sha256: str) -> None:
    """Download ``url`` to ``path``, which appears only once its checksum is verified. An existing file with the right
    checksum is kept; an interrupted download starts from the beginning.

    Raises UserError: immediately if the server refuses or the disk is full, else after `ATTEMPTS` failures.
    """
    import torch

    path = Path(path)
    if path.is_file():
        if file_sha256(path) == sha256:
            logger.info("%s already exists", path)
            return
        logger.warning("%s does not have the checksum of %s; downloading it again", path, url)
    part, advice = path.with_name(path.name + ".part"), f"Or copy the file to {path} by hand."
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # torch.hub has none of its own
    logger.info("downloading %s", url)
    try:
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # torch.hub leaves these behind if it is killed; a young one may belong to another run.
            for leftover in path.parent.glob(f"{path.name}.*.partial"):
                if time.time() - leftover.stat().st_mtime > 86_400:
                    leftover.unlink()
            for _ in range(ATTEMPTS):
                retried(lambda: torch.hub.download_url_to_file(url, str(part), progress=False), url, advice)
                if (found := file_sha256(part)) == sha256:
                    put_in_place(part, path)
                    logger.info("%s is complete, with the right checksum", path)
                    return
                logger.warning("%s: %d bytes with the wrong checksum %s; deleted", url, part.stat().st_size, found)
                part.unlink()
    finally:
        socket.setdefaulttimeout(before)
    raise UserError(
        f"{url} gave a file with a wrong checksum, {ATTEMPTS} times: {found} instead of {sha256}. The connection "
        f"breaks off, or something between here and the server changes the file. {advice}"
    )


def put_in_place(part: Path, path: Path) -> None:
    """Give a complete file its name, once its content is on the disk."""
    with open(part, "rb+") as written:
        os.fsync(written.fileno())
    os.replace(part, path)


def hub_endpoint() -> str:
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def open_hub() -> HfFileSystem:
    """The Hub at HF_ENDPOINT, with the token in HF_TOKEN only: a token stored by a login is not sent.

    Raises UserError if the environment does not let its client start.
    """
    try:
        from huggingface_hub import HfFileSystem, constants

        # Otherwise each request would report the versions of other packages.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        limit_waiting()
    except ModuleNotFoundError:
        raise
    except (ImportError, ValueError, OSError) as error:
        raise UserError(
            f"downloads from the Hugging Face Hub can't start: {str(error).rstrip('.')}. The environment may name a "
            "proxy, a file of certificates or a number that can't be used: look at ALL_PROXY, HTTPS_PROXY, "
            "SSL_CERT_FILE and HF_HUB_DOWNLOAD_TIMEOUT."
        ) from error
    # It logs the URL of every request, including signed ones.
    for library in ("httpx", "httpx2"):
        logging.getLogger(library).setLevel(logging.WARNING)
    token = os.environ.get("HF_TOKEN", "").strip() or False
    return HfFileSystem(endpoint=hub_endpoint(), token=token, skip_instance_cache=True)


def limit_waiting() -> None:
    """Give every request to the Hub a timeout: huggingface_hub lists files without one, and a silent server would never
    end. The variable HF_HUB_DOWNLOAD_TIMEOUT sets the seconds, as for its other requests.
    """
    from huggingface_hub import constants, get_session, set_client_factory

    def limit(request) -> None:
        seconds = request.extensions["timeout"]
        request.extensions["timeout"] = {key: seconds[key] or constants.HF_HUB_DOWNLOAD_TIMEOUT for key in seconds}

    # The library closes its client after a lost connection, and creates the next one by this factory.
    session = get_session()
    hooks = [*session.event_hooks["request"], limit]
    set_client_factory(lambda: type(session)(event_hooks={"request": hooks}, follow_redirects=True))


def parse_hub(uri: str) -> HubPattern:
    """Split ``hf://datasets/<owner>/<name>@<revision>/<glob>``; refs/convert/* and refs/pr/* count as revisions."""
    match = re.fullmatch(
        r"hf://datasets/(?P<dataset>\w[\w.-]*/\w[\w.-]*)"
        r"@(?P<revision>refs/(?:convert|pr)/[^/]+|[^/]+)/(?P<pattern>.+)",
        uri,
    )
    revision = urllib.parse.unquote(match["revision"]) if match else ""
    # Dataset and revision become folders, and neither may be "..".
    if not revision.strip("."):
        raise UserError(
            f"'{uri}' does not name files on the Hugging Face Hub. Write {HUB_FORM}, for example "
            f"hf://datasets/uoft-cs/cifar10@main/plain_text/train-*.parquet"
        )
    return HubPattern(match["dataset"], revision, match["pattern"])


def hub_folder(uri: str, folder: str | Path) -> Path:
    """The folder for the files of one revision of a dataset, in the download folder."""
    dataset, revision, _ = parse_hub(uri)
    return Path(folder) / dataset / urllib.parse.quote(revision, safe="")


def matches(path: str, pattern: str) -> bool:
    """Whether a path matches a glob: ``*`` within one folder, ``**`` across any number of folders."""

    def fit(parts: list[str], globs: list[str]) -> bool:
        if not globs:
            return not parts
        if globs[0] == "**":
            return any(fit(parts[skip:], globs[1:]) for skip in range(len(parts) + 1))
        return bool(parts) and fnmatch.fnmatchcase(parts[0], globs[0]) and fit(parts[1:], globs[1:])

    return fit(path.split("/"), pattern.split("/"))


def hub_files(uri: str, hub: HfFileSystem) -> list[HubFile]:
    """A Hub dataset's files that match ``hf://datasets/<owner>/<name>@<revision>/<glob>``, sorted by path.

    Raises UserError if there are none, and for a file whose name leads out of the dataset's folder.
    """
    dataset, revision, pattern = parse_hub(uri)
    root = f"datasets/{dataset}@{urllib.parse.quote(revision, safe='')}/"
    listed = retried(
        lambda: hub.find(root, detail=True),
        f"The list of files of {uri}",
        "Or write paths of local files instead of hf://... in the config.",
    )
    files = []
    for name, entry in sorted(listed.items()):
        lfs = entry.get("lfs")
        files.append(HubFile(name, name.removeprefix(root), lfs.sha256 if lfs else None, entry["size"]))
    found = [file for file in files if matches(file.path, pattern)]
    if not found:
        # Parquet files, if there are any, are most likely what was meant.
        names = [file.path for file in files]
        names = [name for name in names if name.endswith(".parquet")] or names
        raise UserError(
            f"No file of the dataset {dataset} matches '{pattern}' (from {uri}). "
            f"There are {len(names)}: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
        )
    for file in found:
        path = file.path
        if PurePosixPath(path).is_absolute() or ".." in path.split("/") or "\\" in path or ":" in path:
            raise UserError(f"{uri} lists a file named '{path}', which would be written outside its folder. Refused.")
    return found


def fetch_hub_file(hub: HfFileSystem, file: HubFile, path: Path) -> None:
    """Download ``file`` to ``path``, which appears only once its size and checksum are verified. An existing file with
    the right size and checksum is kept.

    Until then the bytes are in ``<path>.part``, from which a later call resumes. Without a checksum it starts over,
    since nothing would show whether the two parts belong together.

    Raises UserError: immediately if the Hub refuses or the disk is full, for a lost connection after `ATTEMPTS`
    failures without a new block, and for a wrong checksum after a second download from the beginning.
    """
    if path.is_file():
        if is_right(path, file):
            logger.info("%s already exists", path)
            return
        logger.warning("%s differs from hf://%s; downloading it again", path, file.name)
    part = path.with_name(path.name + ".part")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if file.sha256 is None:
            part.unlink(missing_ok=True)
        for _ in range(2):
            append_blocks(hub, file, part, path)
            if is_right(part, file):
                put_in_place(part, path)
                logger.info("%s is complete%s", path, ", with the right checksum" if file.sha256 else "")
                return
            found = f"{part.stat().st_size:,} bytes with SHA-256 {file_sha256(part)}"
            part.unlink()
            logger.warning("hf://%s: wrong checksum or size (%s); deleted", file.name, found)
    expected = f"{file.size:,} bytes" + (f" with SHA-256 {file.sha256}" if file.sha256 else "")
    raise UserError(
        f"hf://{file.name} gave a file with a wrong checksum or size, twice: {found} instead of {expected}. Something "
        f"between here and the server alters it, or the server's copy has changed. Copy the right file to {path} by "
        "hand, or try again later."
    )


def is_right(path: Path, file: HubFile) -> bool:
    return path.stat().st_size == file.size and file.sha256 in (None, file_sha256(path))


def append_blocks(hub: HfFileSystem, file: HubFile, part: Path, path: Path) -> None:
    """Append to ``part``, which will become ``path``, the missing blocks of a file on the Hub."""
    advice = f"It resumes where it stopped. On a machine without a network, copy the file to {path} by hand."
    with open(part, "ab") as written:
        have = written.tell()
        start = f", resuming at {have / 1e6:,.0f} MB" if have else ""
        logger.info("downloading %s (%.1f MB%s)", file.path, file.size / 1e6, start)
        progress = Progress(f"downloading {path.name}", file.size / 1e6, "MB", done=have / 1e6)
        while have < file.size:
            end = min(have + BLOCK, file.size)

            def read(start: int = have, end: int = end) -> bytes:
                block = hub.cat_file(file.name, start=start, end=end, cache_type="none")
                if len(block) != end - start:
                    raise OSError(f"received {len(block):,} bytes instead of {end - start:,}")
                return block

            written.write(retried(read, f"hf://{file.name}", advice))
            progress.step((end - have) / 1e6)
            have = end


def download_hub(uris: list[str], folder: str | Path) -> dict[str, str]:
    """Download the files that ``uris`` name into ``folder``; returns {path relative to folder: sha256}."""
    hub, manifest = open_hub(), {}
    listings = {uri: hub_files(uri, hub) for uri in uris}
    for uri, files in listings.items():
        target = hub_folder(uri, folder)
        for number, file in enumerate(files, 1):
            logger.info("file %d of %d of %s", number, len(files), uri)
            path = target / file.path
            fetch_hub_file(hub, file, path)
            manifest[path.relative_to(folder).as_posix()] = file.sha256 or file_sha256(path)
        # A branch moves: files that it no longer contains must not be read together with the new ones.
        for path in local_hub_files(uri, folder):
            if path.relative_to(target).as_posix() not in {file.path for file in files}:
                logger.warning("%s is no longer in %s; deleted", path, uri)
                path.unlink()
    return manifest


def local_hub_files(uri: str, folder: str | Path) -> list[Path]:
    """The files of `download_hub` that match ``uri``, sorted by their path in the dataset."""
    target = hub_folder(uri, folder)
    names = (path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    pattern = parse_hub(uri).pattern
    return [target / name for name in sorted(names) if matches(name, pattern) and not name.endswith(".part")]
