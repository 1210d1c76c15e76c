"""Writing and reading results: every file appears whole or not at all, and none can run code when read.

npz files, weights and checkpoints contain the number of their ``FORMAT``, so that a file in another format is refused
instead of misread; an npy file is a bare array. All of them have checksums, which reading verifies: npz files those of
zip, npy files a trailer, and the others (`tensor_files`) one in their metadata. Snakemake's own process imports this
module, and has no NumPy if each rule has its own environment.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import math
import os
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from autoencoders.jobs.errors import UserError, no_room, room_needed

if TYPE_CHECKING:
    import numpy as np

# The format of stored arrays and weights. It is a param of every rule that stores them: another number reruns these
# rules. tests/test_formats.py fails if the bytes change and this number does not. Files without a number are in
# format 1.
FORMAT = 1

# What NumPy raises for files that are damaged or hold pickles.
DAMAGED = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, tokenize.TokenError, RuntimeError)

# After the array, an npy file has these bytes and the SHA-256 of all bytes before them; readers of npy ignore both.
TRAILER = b"\nSHA-256"

# What to do about a damaged file.
AGAIN = "Delete it, and the next run creates it again."


def described(error: Exception) -> str:
    """NumPy's description of a damaged file, without its advice to allow pickles: loading one can run code."""
    return "it contains something other than plain arrays" if "pickle" in str(error) else str(error)


def of_the_disk(error: BaseException) -> bool:
    """Whether the disk or the network is at fault, not the file."""
    return getattr(error, "errno", None) in (errno.EIO, errno.ESTALE)


def unfinished(path: Path) -> str:
    """The prefix of temporary files for ``path``."""
    return f".writing-{path.name}."


def remove_unfinished(path: Path) -> None:
    """Remove temporary files of jobs that were killed while they wrote ``path``."""
    for leftover in path.parent.glob(f"{glob.escape(unfinished(path))}*"):
        leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """Raise UserError if ``path`` can't be written because the disk is full or the folder is read-only."""
    try:
        yield
    except Exception as error:
        if no_room(error):
            raise room_needed(path, error) from error
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise UserError(
                f"{path} can't be written ({error}). Make its folder writable, or name another one under `pathvars` in "
                "the config, and run the same command again."
            ) from error
        raise


def require_writable(folder: str | Path) -> float:
    """Check that files can be created in ``folder``, which need not exist yet, and return the time of the disk's clock
    (seconds since the epoch).

    Raises UserError if no file can be created.
    """
    folder = Path(folder)
    with explained(folder):
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends without an exception.

    The temporary name keeps the suffix, from which matplotlib and others take the format. Raises UserError if the disk
    is full or the folder can't be written to.
    """
    path = Path(path)
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_unfinished(path)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=unfinished(path), suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            try:
                yield temporary
            except OSError as error:
                if error.errno is None:
                    _append_some_bytes(temporary)
                raise
            with open(temporary, "rb+") as written:
                os.fsync(written.fileno())
            # mkstemp creates files that only their owner can read; results get the usual permissions.
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            os.replace(temporary, path)
        except FileNotFoundError as error:
            if temporary.exists():
                raise
            raise UserError(
                f"{path} is being written by another job too, perhaps one left behind by a killed run."
            ) from error
        finally:
            temporary.unlink(missing_ok=True)


def _append_some_bytes(path: Path) -> None:
    """Provoke the error of the disk again: NumPy only reports how much of an array it has written."""
    with open(path, "ab", buffering=0) as file:
        file.write(bytes(1 << 16))


def file_sha256(path: str | Path) -> str:
    # For small files, hashlib.file_digest takes several times as long.
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def printable(path: str | Path) -> str:
    """A path as text that can be printed: bytes of its name that are not UTF-8 are written as \\xe9."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def require_format(path: str | Path, found: object) -> None:
    """Raise UserError unless ``found`` is the format that this version reads."""
    if found != FORMAT:
        raise UserError(
            f"{path} is in format {found}, and this version reads {FORMAT}: another version of this workflow wrote it. "
            f"{AGAIN}"
        )


def write_json(path: str | Path, value: object) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> dict:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not readable JSON ({error}). {AGAIN}") from error


def write_npy(path: str | Path, array: np.ndarray) -> None:
    import numpy as np

    with atomic(path) as temporary, open(temporary, "wb+") as file:
        np.save(file, array, allow_pickle=False)
        file.write(TRAILER + sha256_of_start(file, file.tell()))


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises UserError for a reserved name, and for anything but arrays of numbers or strings."""
    import numpy as np

    plain = {}
    for name, array in arrays.items():
        try:
            plain[name] = np.asarray(array)
            right = isinstance(name, str) and not plain[name].dtype.hasobject
        except (TypeError, ValueError, RuntimeError):
            right = False
        if not right or name in ("format", "file", "allow_pickle"):
            why = (
                "the name is reserved"
                if right
                else f"it is a {type(array).__name__}, not an array of numbers or strings"
            )
            raise UserError(f"{path} can't hold {name!r}: {why}.")
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, format=np.int64(FORMAT), **plain)


def read_npy(path: str | Path) -> np.ndarray:
    """The array of ``write_npy``, or of a file without a trailer, which an earlier version wrote.

    Raises UserError for a damaged file.
    """
    import numpy as np

    with open(path, "rb") as file:
        try:
            end = file.seek(0, os.SEEK_END)
            start = max(end - len(TRAILER) - hashlib.sha256().digest_size, 0)
            file.seek(start)
            trailer = file.read()
            if trailer.startswith(TRAILER):
                end = start
                if trailer != TRAILER + sha256_of_start(file, end):
                    raise ValueError("its checksum is wrong")
            file.seek(0)
            array = np.lib.format.read_array(file, allow_pickle=False)
            if file.tell() != end:
                raise ValueError("bytes that are no part of the array follow it")
            return array
        except DAMAGED as error:
            raise UserError(f"{path} is not a readable npy file ({described(error)}). {AGAIN}") from error


def sha256_of_start(file: BinaryIO, count: int) -> bytes:
    """The SHA-256 of the first ``count`` bytes of a file; its position is after them."""
    found = hashlib.sha256()
    file.seek(0)
    while count and (part := file.read(min(count, 1 << 20))):
        found.update(part)
        count -= len(part)
    return found.digest()


def read_npz(path: str | Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of ``write_npz``: all of them, or only those in ``names``.

    Raises UserError for a file that is damaged or in another format.
    """
    # Opened here to tell a missing file from a damaged one, for which zipfile may raise OSError too.
    with open(path, "rb") as file:
        try:
            arrays = dict(_arrays(file, None if names is None else {*names, "format"}))
            require_format(path, int(arrays.pop("format", 1)))
            return arrays
        except (*DAMAGED, TypeError, OSError) as error:
            if of_the_disk(error):
                raise
            raise UserError(f"{path} is not a readable npz file ({described(error)}). {AGAIN}") from error


def _arrays(file: BinaryIO, names: Collection[str] | None) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of an npz file, with their names.

    NumPy's own reader does not compare the two names that zip stores of an array, unless it reads the array, nor the
    checksum of an array whose header claims fewer numbers than there are, nor the number of arrays.
    """
    import numpy as np

    with zipfile.ZipFile(file) as archive:
        # zip's last record, which has the number of members in bytes 10 and 11.
        file.seek(-22, os.SEEK_END)
        last = file.read()
        if last.startswith(b"PK\5\6") and int.from_bytes(last[10:12], "little") != len(archive.infolist()):
            raise ValueError("it lacks an array")
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            # Compares the names.
            with archive.open(member) as part:
                if names is None or name in names:
                    yield name, np.lib.format.read_array(part, allow_pickle=False)
                    # At the end of a member, zipfile compares its checksum.
                    if part.read(1):
                        raise ValueError(f"bytes that are no part of the array {name} follow it")


def read_seconds(path: Path) -> float:
    """Wall seconds of the job that wrote a benchmark file; NaN if it is missing or can't be read."""
    try:
        header, values = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
        return float(dict(zip(header, values, strict=True))["s"])
    except (OSError, ValueError, LookupError):
        return math.nan
