"""Stands in for conda, where conda-forge is out of reach: it understands only the calls that Snakemake 9.27 makes.

An environment is a venv of the Python version in its file, where uv installs the pip section. (uv shares the files of
PyTorch between environments; pip would install 5 GB for each.) The environment's own pip then checks the result.
Anything else in a call or in a file is an error.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

# The oldest conda that Snakemake accepts.
VERSION = "24.7.1"
ACTIVATE = """\
# Sourced with an environment's folder, as conda's own `activate`.
export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"
"""
CREATE = r"env create --quiet --no-default-packages --file (\S+) --prefix (\S+)"


def parse_environment(text: str) -> tuple[str, list[str]]:
    """The Python version and the pip requirements in an environment's file."""
    content = yaml.safe_load(text)
    python, pip, packages = content["dependencies"]
    expected = {"channels": ["conda-forge"], "dependencies": [python, "pip", {"pip": packages["pip"]}]}
    version = re.fullmatch(r"python=(3\.\d+)", python)
    if content != expected or pip != "pip" or not version:
        sys.exit(f"stand_in: not the form of this project's environments: {content}")
    return version[1], packages["pip"]


def interpreter(version: str) -> str:
    """A Python of this machine for uv, which otherwise downloads one. pyenv's shims may name one that does not run."""
    name = f"python{version}"
    for found in [shutil.which(name), *map(str, Path.home().glob(f".pyenv/versions/{version}*/bin/{name}"))]:
        if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
            return found
    return version


def create(root: Path, file: Path, prefix: Path) -> None:
    from uv import find_uv_bin

    version, requirements = parse_environment(file.read_text(encoding="utf-8"))
    uv = [find_uv_bin(), "--quiet", "--cache-dir", root / "wheels"]
    python = prefix / "bin" / "python"
    subprocess.run([*uv, "venv", "--seed", "--python", interpreter(version), prefix], check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as listed:
        listed.write("\n".join(requirements))
        listed.flush()
        options = ["--link-mode", "hardlink", "--python", python, "--requirement", listed.name]
        subprocess.run([*uv, "pip", "install", *options], check=True)
        # With no index, pip can't install anything: all is there, or it fails.
        env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "--isolated"]
        subprocess.run([*pip, "install", "--no-index", "--requirement", listed.name], check=True, env=env)
    subprocess.run([*pip, "check"], check=True, env=env)


def write_base(root: Path) -> Path:
    """Create ``root``/base, with a `conda` that is this file; returns the folder to put on PATH."""
    folder = root / "base" / "bin"
    folder.mkdir(parents=True)
    conda = folder / "conda"
    conda.write_text(
        f'#!/bin/sh\nSTAND_IN="{root}" exec "{sys.executable}" -I "{Path(__file__).resolve()}" "$@"\n', encoding="utf-8"
    )
    conda.chmod(0o755)
    (folder / "activate").write_text(ACTIVATE, encoding="utf-8")
    return folder


def main(arguments: Sequence[str], root: Path) -> None:
    call = " ".join(arguments)
    answers = {
        "--version": f"{VERSION} is the version that this stand-in claims to be",
        "info --json": json.dumps({"conda_prefix": str(root / "base"), "platform": "linux-64"}),
        "config --get channel_priority --json": json.dumps({"get": {"channel_priority": "strict"}}),
    }
    if call in answers:
        print(answers[call])
    elif created := re.fullmatch(CREATE, call):
        create(root, Path(created[1]), Path(created[2]))
    elif call in ("clean -y --tarballs", "clean -y --tarballs --packages"):
        shutil.rmtree(root / "packages", ignore_errors=True)
    else:
        sys.exit(f"stand_in: a call that Snakemake did not make before: conda {call}")


if __name__ == "__main__":
    main(sys.argv[1:], Path(os.environ["STAND_IN"]))
