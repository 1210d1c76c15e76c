"""Fingerprints of the user's own files: hashes of contents, so that a replaced file is noticed whatever its time stamp.

To read all files at each start would take too long. So each hash is remembered together with what the file system says
about its file, and files of which it says the same are not read again. Among this is the time of the last change of any
kind, which on most file systems no program can set. Files that were only copied or touched are read again, and keep
their fingerprint.
"""

import functools
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import atomic, file_sha256, printable

# Seconds. A file that changed just before it was read may change again without a new time: clocks of disks are coarse.
JUST_NOW = 2


class Contents:
    """The contents of files as they are first asked for, with the help of the file ``memory``, which need not exist.

    ``found`` has the hash of each file, ``read`` the files that had to be read, and ``datasets`` the fingerprints that
    `data.first_look` has computed.
    """

    def __init__(self, memory: Path) -> None:
        self.memory, self.here = memory, os.getcwd()
        self.found: dict[str, str] = {}
        self.read: set[str] = set()
        self.datasets: dict[str, str] = {}

    @functools.cached_property
    def known(self) -> dict[str, list]:
        """{path: [hash, facts]}."""
        try:
            known = dict(json.loads(self.memory.read_text(encoding="utf-8")))
            return {path: entry for path, entry in known.items() if isinstance(entry, list) and len(entry) == 2}
        except (OSError, ValueError, TypeError, RecursionError):
            return {}  # Nothing is lost but time: all files are read again.

    def absolute(self, path: str | Path) -> str:
        # os.path.abspath takes a second for 100,000 paths.
        return os.path.join(self.here, path)

    def sha256(self, path: str | Path) -> str:
        """Raises UserError for a file that can't be read."""
        path = self.absolute(path)
        if path not in self.found:
            try:
                self.found[path] = self._look(path)
            except OSError as error:
                raise UserError(f"{printable(path)} can't be read: {error.strerror}.") from error
        return self.found[path]

    def _look(self, path: str) -> str:
        says = os.stat(path)
        facts = [says.st_size, says.st_ino, says.st_mtime_ns, says.st_ctime_ns]
        digest, before = self.known.get(path, (None, None))
        if facts != before:
            digest = file_sha256(path)
            self.read.add(path)
            self.known[path] = [digest, facts if time.time() - says.st_ctime > JUST_NOW else None]
        return digest

    def fingerprint(self, files: Mapping[str, str | Path]) -> str:
        """A hash of the names and contents of ``files``, {name: path}, in their order."""
        combined = hashlib.sha256()
        for name, path in files.items():
            combined.update(os.fsencode(name) + b"\0" + self.sha256(path).encode() + b"\n")
        return combined.hexdigest()[:16]

    def save(self) -> None:
        """Remember the files that were read, and forget those that no longer exist."""
        if self.read:
            with atomic(self.memory) as temporary:
                known = {path: entry for path, entry in self.known.items() if os.path.exists(path)}
                temporary.write_text(json.dumps(known), encoding="utf-8")
            self.read.clear()
