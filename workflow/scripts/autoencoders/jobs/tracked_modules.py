"""The modules that a script's results depend on: those that it imports, directly or through others.

Snakemake does not see imports, so these files are inputs of the script's rule: an edit of one reruns exactly the rules
that use it. Modules in this folder, jobs/, are left out: they cannot change a result.
"""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
UNTRACKED = PACKAGE / "jobs"


@functools.cache
def direct_imports(file: Path) -> frozenset[Path]:
    """The files of the package's modules that ``file`` imports, at the top or inside functions."""
    names = set()
    for node in statements(ast.parse(file.read_bytes(), filename=str(file))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from autoencoders.jobs import files` and `from autoencoders.jobs.files import atomic` both count.
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    paths = (PACKAGE.parent.joinpath(*name.split(".")).with_suffix(".py") for name in names)
    return frozenset(path for path in paths if path.is_relative_to(PACKAGE) and path.is_file())


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below a node, except those that only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from statements(child)


def imported_modules(*files: Path, untracked: bool = False) -> list[Path]:
    """The files of all modules of this package that ``files`` need, sorted; those of jobs/ only if ``untracked``."""
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        for module in set(followed(waiting.pop(), untracked)) - found:
            found.add(module)
            waiting.append(module)
    return sorted(found)


def followed(file: Path, untracked: bool) -> Iterator[Path]:
    return (module for module in direct_imports(file) if untracked or not module.is_relative_to(UNTRACKED))
