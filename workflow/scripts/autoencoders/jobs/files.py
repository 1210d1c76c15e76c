"""Writing and reading results: every file appears whole or not at all, and none can run code when read.

npz files, weights and checkpoints say which ``FORMAT`` they are in, so that a file of another one is refused, and not
misread; an npy file is a bare array. Snakemake's own process imports this module, and has no NumPy where each rule has
an environment of its own.
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
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.jobs.errors import UserError, no_room, room_needed

if TYPE_CHECKING:
    import numpy as np

# What is written, and how. It is a param of every rule that stores arrays or weights: with another number all of them
# are made again. tests/test_formats.py fails where the bytes change and this does not. A file without a number is from
# before there was one, and in format 1.
FORMAT = 1

# What NumPy raises on files that are damaged, or hold pickles.
DAMAGED = (ValueError, EOFError, zipfile.BadZipFile, tokenize.TokenError, RuntimeError)


def of_the_disk(error: BaseException) -> bool:
    """Whether reading failed for the disk's or the network's sake, which says nothing of the file."""
    return getattr(error, "errno", None) in (errno.EIO, errno.ESTALE)


def unfinished(path: Path) -> str:
    """What the names of temporary files for ``path`` begin with."""
    return f".writing-{path.name}."


def remove_unfinished(path: Path) -> None:
    """Remove what jobs that were killed while they wrote ``path`` have left of it."""
    for leftover in path.parent.glob(f"{glob.escape(unfinished(path))}*"):
        leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """For the writing of ``path``: UserError where the disk is full, or the folder can't be written to."""
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
    """The time by the clock of the disk (seconds since the epoch), where a file can be made in ``folder``.

    It need not be there yet. Raises UserError where no file can be made.
    """
    folder = Path(folder)
    with explained(folder):
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends without an exception.

    The temporary name keeps the suffix, which savers such as matplotlib's read the format from. Raises UserError where
    the disk is full or the folder can't be written to.
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
            # mkstemp makes files that only their owner can read; results are shared like any other file.
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            os.replace(temporary, path)
        except FileNotFoundError as error:
            if temporary.exists():
                raise
            raise UserError(
                f"{path} is being written by another job as well, such as one that a killed run has left behind."
            ) from error
        finally:
            temporary.unlink(missing_ok=True)


def _append_some_bytes(path: Path) -> None:
    """Ask the disk why a write failed: NumPy only tells how much of an array it has written."""
    with open(path, "ab", buffering=0) as file:
        file.write(bytes(1 << 16))


def file_sha256(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_format(path: str | Path, found: object) -> None:
    """Raises UserError for a file of another format than this version reads."""
    if found != FORMAT:
        raise UserError(
            f"{path} is in format {found}, and this version reads {FORMAT}: another version of this workflow wrote it. "
            "Delete it, and it is made again."
        )


def write_json(path: str | Path, value: object) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: str | Path) -> dict:
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:
        raise UserError(f"{path} is not readable JSON ({error}). Delete it, and it is made again.") from error


def write_npy(path: str | Path, array: np.ndarray) -> None:
    import numpy as np

    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array, allow_pickle=False)


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises UserError for what is no array of numbers or texts by a name that is free."""
    import numpy as np

    plain = {}
    for name, array in arrays.items():
        try:
            plain[name] = np.asarray(array)
            right = isinstance(name, str) and not plain[name].dtype.hasobject
        except (TypeError, ValueError, RuntimeError):
            right = False
        if not right or name in ("format", "file", "allow_pickle"):
            why = "its name is taken" if right else f"it is a {type(array).__name__}, and no array of numbers or texts"
            raise UserError(f"{path} can't hold {name!r}: {why}.")
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, format=np.int64(FORMAT), **plain)


def read_npy(path: str | Path) -> np.ndarray:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except DAMAGED as error:
        raise UserError(f"{path} is not a readable npy file ({error}). Delete it, and it is made again.") from error


def read_npz(path: str | Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of ``write_npz``, or those of ``names`` that it has: others stay on disk.

    Raises UserError for a file that is damaged, or in another format.
    """
    import numpy as np

    # Opened here: a damaged file may be an OSError of zipfile's, as a missing one is.
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                require_format(path, int(arrays.get("format", 1)))
                return {name: arrays[name] for name in arrays if name != "format" and (names is None or name in names)}
        except (*DAMAGED, TypeError, OSError) as error:
            if of_the_disk(error):
                raise
            raise UserError(f"{path} is not a readable npz file ({error}). Delete it, and it is made again.") from error


def read_seconds(path: Path) -> float:
    """Wall seconds of the job that wrote a benchmark file; NaN where it is missing or can't be read."""
    try:
        header, values = (line.split("\t") for line in path.read_text().splitlines())
        return float(dict(zip(header, values, strict=True))["s"])
    except (OSError, ValueError, LookupError):
        return math.nan
