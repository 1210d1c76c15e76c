"""What Snakemake would run, and the table of workflow/README.md that says which edit runs which rules."""

import functools
import os
import re
from pathlib import Path

from running import planned, snakemake

from autoencoders.jobs.tracked_modules import PACKAGE


@functools.cache
def rule_graph(folder: Path) -> list[tuple[str, str]]:
    """(rule, rule that uses its outputs) for the rules of a project's run."""
    graph = snakemake(folder, "--forceall", "--rulegraph", "dot").stdout
    names = dict(re.findall(r'(\d+)\[label = "(\w+)', graph))
    edges = [(names[source], names[target]) for source, target in re.findall(r"(\d+) -> (\d+)", graph)]
    assert edges
    return edges


def what_follows(folder: Path, rules: set[str]) -> set[str]:
    """The rules that use these rules' outputs, directly or through others."""
    found = set()
    while new := {target for source, target in rule_graph(folder) if source in rules | found} - found:
        found |= new
    return found


def rerun_table(project: Path) -> dict[str, set[str]]:
    """Module, relative to the package -> the rules that its row names; no module may be in two rows."""
    text = (project / "workflow" / "README.md").read_text().split("| edit | runs |")[1].split("\n\n")[0]
    found = {}
    for line in text.splitlines()[2:]:
        edit, runs = line.strip("| ").split(" | ")
        for pattern in re.findall(r"`(.+?)`", edit):
            files = sorted(file for file in PACKAGE.glob(pattern) if file.suffix == ".py")
            assert files, f"no file is {pattern}"
            for file in files:
                name = file.relative_to(PACKAGE).as_posix()
                if name.endswith("__init__.py") and not pattern.endswith("__init__.py"):
                    continue
                assert name not in found or pattern.endswith("__init__.py"), f"{name} is in two rows"
                found[name] = set(re.findall(r"`(\w+)`", runs))
    return found


def plan_after_an_edit(folder: Path, *modules: str, added: str = "# edited") -> dict[str, int]:
    """The jobs that modules of a project with a line ``added`` would make run: rule -> how many."""
    files = [folder / "workflow" / "scripts" / "autoencoders" / module for module in modules]
    before = [(file, file.read_text(), file.stat()) for file in files]
    try:
        for file, text, _ in before:
            file.write_text(f"{text}\n{added}\n")
        return planned(snakemake(folder, "-n").stdout)
    finally:
        for file, text, stamps in before:
            file.write_text(text)
            os.utime(file, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
