"""Kinds of sources, penalties, priors, extractors and measures: each a file with one interface, found by its name.

A new kind is a new file in the folder of its group, whose ``__init__.py`` says what it has to hold. Of penalties,
priors and measures a config may also name a file from elsewhere, as in ``kind: path/to/mine.py``. Snakemake's own
process reads options and needs of kinds, and may have no PyTorch, NumPy or scikit-learn: a kind imports these where it
uses them.
"""

import difflib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from autoencoders.jobs.errors import UserError

PACKAGE = Path(__file__).parents[1]
FOLDERS = {
    "sources": PACKAGE / "data" / "sources",
    "penalties": PACKAGE / "networks" / "penalties",
    "priors": PACKAGE / "latent" / "priors",
    "extractors": PACKAGE / "scores" / "extractors",
    "measures": PACKAGE / "scores" / "measures",
}
# The functions that a kind has to have, and how each is called: positional arguments, and keywords.
REQUIRED = {
    "sources": ("splits",),
    "penalties": ("penalty",),
    "priors": ("fit", "sample"),
    "extractors": ("load",),
    "measures": ("measure",),
}
CALLS = {
    "penalty": (2, ()),
    "fit": (2, ("seed", "device", "checkpoint")),
    "sample": (3, ()),
    "measure": (3, ("prepared", "random")),
    "prepare": (2, ()),
}
# Groups of which a config may name files from elsewhere.
FROM_ELSEWHERE = ("penalties", "priors", "measures")
# What the names of modules from elsewhere begin with.
OWN_MODULE = "own_kind_"
# A variational model's own penalty, which has its keys in the config.
KL = "kl"


def names(group: str) -> list[str]:
    """The kinds that come along."""
    return list(_stems(FOLDERS[group]))


@functools.cache
def _stems(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__"))


def is_file(kind: str) -> bool:
    """Whether a kind is a file from elsewhere; it is relative to the working directory."""
    return kind.endswith(".py")


def find(group: str, kind: str) -> Path:
    """The file of a kind. Raises UserError where there is none."""
    if is_file(kind) and group in FROM_ELSEWHERE:
        if set("{}<>\n") & set(kind):
            raise UserError(f"{kind!r} has one of {{}}<>, which Snakemake takes for its own. Rename it.")
        try:
            path = Path(kind).expanduser()
            found = path.is_file()
        except (RuntimeError, OSError):
            found = False  # A home folder of nobody's, or a name that is too long.
        if not found:
            raise UserError(f"there is no file {kind!r} (looked in {Path.cwd()}). Write the path of a Python file.")
        return path
    if kind not in names(group):
        known = [name for name in names(group) if name != KL]
        close = difflib.get_close_matches(kind, known, n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        write = [f"one of {', '.join(known)}"] if known else []
        write += ["the path of a Python file (.py) of your own"] if group in FROM_ELSEWHERE else []
        raise UserError(f"{kind!r} is no kind.{guess} Write {', or '.join(write)}.")
    return FOLDERS[group] / f"{kind}.py"


def load(group: str, kind: str) -> ModuleType:
    """The module of a kind. Raises UserError where there is none, or it can't be used."""
    return _load(group, Path(os.path.abspath(find(group, kind))))


@functools.cache
def _load(group: str, path: Path) -> ModuleType:
    try:
        if path.is_relative_to(PACKAGE):
            name = ".".join(["autoencoders", *path.with_suffix("").relative_to(PACKAGE).parts])
            module = importlib.import_module(name)
        else:
            # Two files may have the same name in different folders.
            name = f"{OWN_MODULE}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
            spec = importlib.util.spec_from_file_location(name, path)
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{path} imports {error.name!r}, which is not there. Snakemake reads the file too, and may have fewer "
            "packages than its jobs: import them inside the functions that use them. Files beside it can't be imported."
        ) from error
    except (Exception, SystemExit) as error:
        place = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise UserError(f"{path}{place} can't be read as Python: {type(error).__name__}: {error}.") from error
    for fault in _faults(group, module):
        raise UserError(f"{path}: {fault}")
    return module


def _faults(group: str, module: ModuleType) -> Iterator[str]:
    """What is wrong with a kind that can be seen before it is used."""
    for name in REQUIRED[group]:
        if not callable(getattr(module, name, None)):
            yield f"it has no function {name!r}. config/README.md has an example of each kind."
    for name, (positional, keywords) in CALLS.items():
        function = getattr(module, name, None)
        if group in FROM_ELSEWHERE and callable(function):
            try:
                inspect.signature(function).bind(*[None] * positional, **dict.fromkeys(keywords))
            except TypeError as error:
                told = ", ".join([f"{positional} arguments", *keywords])
                yield f"{name} can't be called with {told} ({error}). Take those that it has no use for by **_."
    parts = options(module)
    if not isinstance(parts, dict) or not all(isinstance(part, dict) for part in parts.values()):
        yield "OPTIONS has to be a dict with a dict for each option, as in config/README.md."
    try:
        if "$ref" in json.dumps(parts):
            yield "OPTIONS can't refer to other schemas by $ref."
    except (TypeError, ValueError) as error:
        yield f"OPTIONS has to be plain: texts, numbers, true, false, None, lists and dicts ({error})."
    for name in ("COST", "MINUTES"):
        if not isinstance(getattr(module, name, 1), int | float):
            yield f"{name} has to be a number."


def options(module: ModuleType) -> dict[str, dict]:
    """What a kind can be told, by name: JSON Schema, with ``default`` and ``description`` ("write ...").

    An option without a default has to be written. One that was added to a kind after its first results has ``before``:
    the value that means "as before it existed", which never changes, and is left out of jobs' params.
    """
    return getattr(module, "OPTIONS", {})


def without_new(values: Mapping, parts: Mapping[str, Mapping]) -> dict:
    """``values`` without those that mean "as before this option existed": a new option recomputes nothing that is old.

    ``parts`` is the JSON Schema of each, as in ``options``.
    """
    return {
        name: value
        for name, value in values.items()
        if name not in parts or "before" not in parts[name] or value != parts[name]["before"]
    }


def complete(values: Mapping, parts: Mapping[str, Mapping]) -> dict:
    """``values`` of ``without_new`` with what that left out."""
    return {name: part["before"] for name, part in parts.items() if "before" in part} | dict(values)


def needs(module: ModuleType, name: str, default: object) -> object:
    """What a kind says of the jobs that use it, such as ``GPU``."""
    return getattr(module, name, default)
