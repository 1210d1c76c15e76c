"""A local channel for tests, with two packages: a Python of this machine, and the pip that comes with it.

It stands for conda-forge, where that is out of reach. The packages have the layout of real ones, and whatever reads
repodata can solve for them and install them.
"""

import asyncio
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rattler.index import index_fs
from rattler.platform import Subdir

# Parts of the standard library that no package here needs, caches, and what others have installed.
LEFT_OUT = {"__pycache__", "site-packages", "dist-packages", "test", "idlelib", "turtledemo", "lib2to3"}
ASK = """
import ensurepip, json, os, sys, sysconfig
print(json.dumps({
    "version": ".".join(map(str, sys.version_info[:3])),
    "scheme": sysconfig.get_default_scheme(),
    "prefix": sys.base_prefix,
    "executable": os.path.realpath(sys.executable),
    "folders": sorted({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "include")}),
    "bundled": os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"),
}))
"""


class NoInterpreter(Exception):
    """No Python of the version that is asked for; the message says what to install."""


@dataclass(frozen=True)
class Interpreter:
    """A Python of this machine: three numbers of a version, and where its parts are."""

    version: str
    prefix: Path
    executable: Path
    folders: tuple[Path, ...]
    pip: Path


def interpreter(executable: str | Path, version: str) -> Interpreter | None:
    """What ``executable`` is, if it runs, has the two numbers of ``version``, and can be put elsewhere, else None."""
    try:
        done = subprocess.run([executable, "-I", "-c", ASK], capture_output=True, text=True)
    except OSError:
        return None
    # A pyenv that has not enabled this version ends with an error, as a Python without ensurepip does. Debian's own
    # installs to other folders than conda's, whatever its prefix is.
    if done.returncode:
        return None
    found = json.loads(done.stdout)
    wheels = list(Path(found["bundled"]).glob("pip-*.whl"))
    if not f"{found['version']}.".startswith(f"{version}.") or found["scheme"] != "posix_prefix" or not wheels:
        return None
    folders = tuple(map(Path, found["folders"]))
    return Interpreter(found["version"], Path(found["prefix"]), Path(found["executable"]), folders, wheels[0])


def find_interpreter(version: str) -> Interpreter:
    """A Python of this machine with a version such as "3.12". Raises NoInterpreter."""
    name, home, named = f"python{version}", Path.home(), os.environ.get("PYTHON_OF_ENVIRONMENTS")
    candidates = [
        sys.executable,
        shutil.which(name),
        *sorted(home.glob(f".pyenv/versions/{version}*/bin/{name}")),
        *sorted(home.glob(f".local/share/uv/python/cpython-{version}*/bin/{name}")),
    ]
    for candidate in [named] if named else filter(None, candidates):
        if found := interpreter(candidate, version):
            return found
    place = named or "PATH, of pyenv or of uv"
    raise NoInterpreter(
        f"the environments need a Python {version} with ensurepip, which was looked for at {place}. Debian's own does "
        f"not do, since it can't be put elsewhere. Install one (`pyenv install {version}`, or `.venv/bin/uv python "
        f"install {version}`), or name its executable in PYTHON_OF_ENVIRONMENTS."
    )


def python_files(python: Interpreter) -> Iterable[tuple[str, bytes | PurePosixPath, bool]]:
    """The files of a package: their paths in a prefix, their bytes or where they link to, and if they are executable.

    Where the executable has its code in a shared library, it goes on loading that from where it was built to be.
    """
    name = "python" + ".".join(python.version.split(".")[:2])
    yield f"bin/{name}", python.executable.read_bytes(), True
    for link in ("bin/python", "bin/python3"):
        yield link, PurePosixPath(name), False
    for folder in python.folders:
        for place, inner, files in os.walk(folder):
            # No libpython.a, which is for embedding.
            inner[:] = [each for each in inner if each not in LEFT_OUT and not each.startswith("config-")]
            for file in files:
                path = Path(place, file)
                if path.is_file():
                    yield path.relative_to(python.prefix).as_posix(), path.read_bytes(), False


def pip_files(wheel: Path) -> Iterable[tuple[str, bytes, bool]]:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            yield f"site-packages/{name}", archive.read(name), False


def write_package(channel: Path, index: dict, files: Iterable, link: dict | None = None) -> None:
    """Write ``<channel>/<subdir>/<name>-<version>-<build>.tar.bz2`` with its metadata below info/."""
    paths = []
    target = channel / index["subdir"] / f"{index['name']}-{index['version']}-{index['build']}.tar.bz2"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:bz2", compresslevel=1) as archive:

        def add(name: str, content: bytes, executable: bool = False) -> None:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755 if executable else 0o644
            archive.addfile(entry, io.BytesIO(content))

        for name, content, executable in files:
            if isinstance(content, bytes):
                add(name, content, executable)
                checked = {"path_type": "hardlink", "size_in_bytes": len(content)}
                checked["sha256"] = hashlib.sha256(content).hexdigest()
            else:
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = tarfile.SYMTYPE, str(content)
                archive.addfile(entry)
                checked = {"path_type": "softlink"}
            paths.append({"_path": name, **checked})
        add("info/index.json", json.dumps(index).encode())
        add("info/paths.json", json.dumps({"paths": paths, "paths_version": 1}).encode())
        if link:
            add("info/link.json", json.dumps(link).encode())


def write_channel(channel: Path, pythons: Iterable[Interpreter]) -> None:
    """A channel with these Pythons, of one pip each, and its repodata."""
    subdir = str(Subdir.current())
    for python in pythons:
        build = {"build": "0", "build_number": 0}
        index = {"name": "python", "version": python.version, "depends": [], "subdir": subdir}
        write_package(channel, index | build, python_files(python))
        version = python.pip.name.split("-")[1]
        index = {"name": "pip", "version": version, "depends": ["python"], "subdir": "noarch", "noarch": "python"}
        entry_points = ["pip = pip._internal.cli.main:main"]
        link = {"noarch": {"type": "python", "entry_points": entry_points}, "package_metadata_version": 1}
        write_package(channel, index | build, pip_files(python.pip), link)
    asyncio.run(index_fs(channel))
