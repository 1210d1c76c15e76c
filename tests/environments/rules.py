"""For each rule with a script: its environments and the packages that it imports, from the workflow's files."""

import ast
import re
import sys
from pathlib import Path

import yaml

from autoencoders.jobs import kinds
from autoencoders.jobs.tracked_modules import imported_modules

# Packages whose import name differs from the name that pip installs.
IMPORT_NAMES = {"scikit-learn": "sklearn", "pillow": "PIL", "pytorch-fid": "pytorch_fid", "Jinja2": "jinja2"}


# The groups of kinds whose functions a rule calls. (download_extractor only asks a kind for an address.)
KINDS = {
    "download_dataset": ["sources"],
    "prepare_dataset": ["sources"],
    "train": ["penalties"],
    "fit_prior": ["priors"],
    "sample": ["priors"],
    "train_extractor": ["extractors"],
    "reference": ["extractors", "measures"],
    "score": ["extractors", "measures"],
    "redraw": ["priors", "extractors", "measures"],
    "prepare_external": ["sources"],
    "score_external": ["extractors", "measures"],
}


def rules(project: Path) -> dict[str, str]:
    """The text of every rule, by its name."""
    found = {}
    for file in sorted((project / "workflow" / "rules").glob("*.smk")):
        for rule in re.split(r"^rule ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            found[rule.split(":", 1)[0]] = rule
    return found


def environments_of_rules(project: Path) -> dict[str, set[str]]:
    """The files in envs/ of every rule that runs a script, by its name: several if they depend on the extractor."""
    found = {name: re.search(r'conda:\s+("\.\./\.\./envs/(.+?)"|\w+)', rule) for name, rule in rules(project).items()}
    of_extractors = {environment_of_extractor(kind) for kind in kinds.names("extractors")}
    return {name: {env[2]} if env[2] else of_extractors for name, env in found.items() if env}


def environment_of_extractor(kind: str) -> str:
    return kinds.needs(kinds.load("extractors", kind), "ENVIRONMENT", "score") + ".yaml"


def script_of(project: Path, rule: str) -> Path:
    return project / "workflow" / "scripts" / f"{rule}.py"


def third_party_imports(script: Path, env: str) -> set[str]:
    """The top-level packages outside the standard library that a script imports in an environment, directly, through
    modules of this project, or through the kinds that it uses there.
    """
    used = [
        kinds.find(group, kind)
        for group in KINDS.get(script.stem, ())
        for kind in kinds.names(group)
        if group != "extractors" or environment_of_extractor(kind) == env
    ]
    needed = set()
    for source in [script, *used, *imported_modules(script, *used, untracked=True)]:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                needed |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                needed.add(node.module.split(".")[0])
    return needed - {*sys.stdlib_module_names, "autoencoders"}


def pins(project: Path) -> set[str]:
    """The lines of envs/requirements.txt."""
    lines = (project / "envs" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def environments(project: Path) -> dict[str, dict]:
    """The content of each envs/*.yaml, by the file's name."""
    return {
        file.name: yaml.safe_load(file.read_text(encoding="utf-8"))
        for file in sorted((project / "envs").glob("*.yaml"))
    }


def pip_pins(env: dict) -> set[str]:
    """The pip section of an environment's file."""
    return set(env["dependencies"][-1]["pip"])


def import_name(pin: str) -> str:
    """The name by which the package of a pin is imported."""
    name = pin.split("==")[0]
    return IMPORT_NAMES.get(name, name)
