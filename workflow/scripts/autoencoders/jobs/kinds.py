"""Kinds of sources, penalties, priors, extractors and measures: each is a file, found by its name.

A new kind is a new file in the folder of its group, whose ``__init__.py`` describes the interface. A penalty, prior or
measure can also be a file anywhere else, as in ``kind: path/to/mine.py``. Snakemake's own process reads the
options and needs of kinds, and may lack PyTorch, NumPy and scikit-learn: a kind imports these inside functions.
"""

import difflib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
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
# The functions that each kind must have.
REQUIRED = {
    "sources": ("splits",),
    "penalties": ("penalty",),
    "priors": ("fit", "sample"),
    "extractors": ("load",),
    "measures": ("measure",),
}
# How functions of kinds are called: the number of positional arguments, and the keywords.
CALLS = {
    "penalty": (2, ()),
    "check": (3, ()),
    "fit": (2, ("seed", "device", "checkpoint")),
    "sample": (3, ()),
    "measure": (3, ("prepared", "random", "shared")),
    "prepare": (2, ()),
    "prepare_training": (3, ()),
}
# Groups whose kinds may be users' own files.
FROM_ELSEWHERE = ("penalties", "priors", "measures")
# The prefix of the module names of users' own files.
OWN_MODULE = "own_kind_"
# The built-in penalty of variational models, which has its own keys in the config.
KL = "kl"


def names(group: str) -> list[str]:
    """The built-in kinds of a group."""
    return list(_stems(FOLDERS[group]))


@functools.cache
def _stems(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__"))


def is_file(kind: str) -> bool:
    """Whether a kind is the path of a user's own file, relative to the working directory."""
    return kind.endswith(".py")


def find(group: str, kind: str) -> Path:
    """The file of a kind. Raises UserError if there is none."""
    if is_file(kind) and group in FROM_ELSEWHERE:
        if fault := interpreted(kind):
            raise UserError(fault)
        try:
            path = Path(kind).expanduser()
            found = path.is_file()
        except (RuntimeError, OSError):
            found = False  # The home folder of an unknown user, or a name that is too long.
        if not found:
            raise UserError(f"there is no file {kind!r} (looked in {Path.cwd()}). Write the path of a Python file.")
        return path
    if kind not in names(group):
        known = [name for name in names(group) if name != KL]
        close = difflib.get_close_matches(kind, known, n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        write = [f"one of {', '.join(known)}"] if known else []
        write += ["the path of your own Python file (.py)"] if group in FROM_ELSEWHERE else []
        raise UserError(f"{kind!r} is not a kind.{guess} Write {', or '.join(write)}.")
    return FOLDERS[group] / f"{kind}.py"


def interpreted(path: str) -> str | None:
    """Why the path of a user's file can't be an input of a rule; None if it can."""
    if set("{}<>\n") & set(path):
        return f"{path!r} contains one of {{}}<> or a line break, which Snakemake interprets. Rename it."
    return None


def load(group: str, kind: str) -> ModuleType:
    """The module of a kind. Raises UserError if there is none, or it can't be used."""
    return _load(group, Path(os.path.abspath(find(group, kind))))


@functools.cache
def _load(group: str, path: Path) -> ModuleType:
    try:
        if path.is_relative_to(PACKAGE):
            name = ".".join(["autoencoders", *path.with_suffix("").relative_to(PACKAGE).parts])
            module = importlib.import_module(name)
        else:
            # Files in different folders may have the same name.
            name = f"{OWN_MODULE}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
            spec = importlib.util.spec_from_file_location(name, path)
            module = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{path} imports {error.name!r}, which is not installed here. Snakemake itself reads the file, and may "
            "have fewer packages than its jobs: import them inside the functions that use them. A kind can't import "
            "files beside it."
        ) from error
    except (Exception, SystemExit) as error:
        place = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise UserError(f"{path}{place} can't be loaded: {type(error).__name__}: {error}.") from error
    for fault in _faults(group, module):
        raise UserError(f"{path}: {fault}")
    return module


def _faults(group: str, module: ModuleType) -> Iterator[str]:
    """The faults of a kind that show before it is used."""
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
                yield f"{name} can't be called with {told} ({error}). Collect unused ones in **_."
    if needs(module, "OF_CLASSES", False) and hasattr(module, "prepare_training"):
        yield "a measure of classes (OF_CLASSES) can't have prepare_training, which is given features."
    parts = options(module)
    if not isinstance(parts, dict) or not all(isinstance(part, dict) for part in parts.values()):
        yield "OPTIONS must be a dict with a dict for each option, as in config/README.md."
    try:
        if "$ref" in json.dumps(parts):
            yield "OPTIONS can't refer to other schemas by $ref."
    except (TypeError, ValueError) as error:
        yield f"OPTIONS must be plain: strings, numbers, booleans, None, lists and dicts ({error})."
    for name in ("COST", "MINUTES", "MIN_BATCH", "MIN_WEIGHT"):
        if not isinstance(getattr(module, name, 1), int | float):
            yield f"{name} must be a number."


def options(module: ModuleType) -> dict[str, dict]:
    """The options of a kind by name, each as JSON Schema with ``default`` and ``description`` ("write ...").

    An option without a default is required. An option that was added after a kind had results has ``before``: the value
    that means "as before it existed". It never changes, and is left out of jobs' params. An option of a penalty or
    prior with ``by_dataset: True`` may also be a mapping from names of datasets to values (``of_dataset``).
    """
    return getattr(module, "OPTIONS", {})


def without_new(values: Mapping, parts: Mapping[str, Mapping]) -> dict:
    """``values`` without those that mean "as before this option existed", so that a new option reruns no old job.

    ``parts`` is the JSON Schema of each, as in ``options``.
    """
    return {
        name: value
        for name, value in values.items()
        if name not in parts or "before" not in parts[name] or value != parts[name]["before"]
    }


def complete(values: Mapping, parts: Mapping[str, Mapping]) -> dict:
    """The inverse of ``without_new``: ``values`` with the options that it left out."""
    return {name: part["before"] for name, part in parts.items() if "before" in part} | dict(values)


def of_dataset(entry: Mapping, parts: Mapping[str, Mapping], dataset: str) -> dict:
    """A penalty's or prior's entry with the values of one dataset, if its weight or other options have some by dataset.

    ``parts`` is as in ``options``. Raises UserError if an option has none for this dataset.
    """

    def value(name: str, found: object) -> object:
        if not isinstance(found, Mapping) or not (name == "weight" or parts.get(name, {}).get("by_dataset")):
            return found
        if dataset not in found:
            raise UserError(
                f"{name}: it has a value for {', '.join(found)}, but none for {dataset}, on which the model runs. Add "
                f"one, as in {{{dataset}: ...}}, or write one value for all datasets."
            )
        return found[dataset]

    return {name: value(name, found) for name, found in entry.items()}


def feature_options(entry: Mapping) -> dict:
    """The options of an extractor's entry that its features depend on besides its weights file."""
    return {name: entry[name] for name in needs(load("extractors", entry["kind"]), "FEATURE_OPTIONS", ())}


def needs(module: ModuleType, name: str, default: object) -> object:
    """What a kind declares that its jobs need, such as ``GPU``."""
    return getattr(module, name, default)


def cost(penalties: Iterable[str]) -> float:
    """The factor by which penalties of these kinds multiply the operations of training."""
    return math.prod(needs(load("penalties", kind), "COST", 1) for kind in penalties)
