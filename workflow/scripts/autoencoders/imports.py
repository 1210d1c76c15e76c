"""Which of this package's modules a script imports, directly or through others.

Snakemake does not see imports, so that these files are inputs of the script's rule: an edit to one of them reruns
exactly the rules that use it.
"""

import ast
import functools
from pathlib import Path

PACKAGE = Path(__file__).parent


@functools.cache
def direct_imports(file: Path) -> frozenset[str]:
    """The names of the package's modules that ``file`` imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(), filename=str(file))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from autoencoders import files` and `from autoencoders.files import atomic` both count.
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    prefix = f"{PACKAGE.name}."
    modules = {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)}
    return frozenset(module for module in modules if (PACKAGE / f"{module}.py").is_file())


def imported_modules(script: Path) -> list[Path]:
    """The files of all modules of this package that ``script`` needs, sorted."""
    found: set[str] = set()
    waiting = [script]
    while waiting:
        for module in direct_imports(waiting.pop()) - found:
            found.add(module)
            waiting.append(PACKAGE / f"{module}.py")
    return sorted(PACKAGE / f"{module}.py" for module in found)
