"""The version of the code and of the packages that computed a result."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

PACKAGES = (
    "snakemake",
    "torch",
    "torchvision",
    "pytorch-fid",
    "safetensors",
    "scikit-learn",
    "numpy",
    "scipy",
    "pillow",
    "pandas",
    "pyarrow",
    "seaborn",
    "matplotlib",
    "jinja2",
    "tabulate",
)


def package_versions() -> dict[str, str]:
    """The versions of Python and of the pipeline's packages in this environment."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def code_version() -> str:
    """The commit of this checkout, with "-dirty" if files were changed.

    "unknown" outside a git checkout, and for a copy inside another project's checkout, whose commits lack this code.
    """
    file = Path(__file__)
    try:
        _git(file.parent, "ls-files", "--error-unmatch", file.name)
        return _git(file.parent, "describe", "--always", "--dirty", "--abbrev=12").strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True).stdout
