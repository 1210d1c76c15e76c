"""Stands in for conda, where that or conda-forge is out of reach: the calls that Snakemake 9.27 makes, and no others.

It solves an environment's file against a local channel and installs what it finds with py-rattler, and then the pip
section with uv, so that environments share the files of PyTorch instead of holding 5 GB each. pip has the last word on
whether the section is fulfilled. An option, a command or a key of the file that it does not know is an error.

The folder that the variable STAND_IN names has the channel in channels/conda-forge and, as base, what conda's own
prefix would be: bin/conda, a line that starts this file, and bin/activate.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from packaging.requirements import InvalidRequirement, Requirement

# The oldest conda that Snakemake takes.
VERSION = "24.7.1"
ACTIVATE = """\
# Sourced with an environment's folder, as conda's own `activate`.
if [ "$#" -ne 1 ] || [ ! -x "$1/bin/python" ]; then
  echo "activate: no environment in $*" >&2
  return 1
fi
export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"
"""


class Refused(Exception):
    """Something that this is not made for; the message says what."""


@dataclass(frozen=True)
class Environment:
    """The match specs and the pip requirements of an environment's file. Its only channel is conda-forge."""

    specs: list[str]
    requirements: list[str]


def parse_environment(text: str) -> Environment:
    """Read an environment's file. Raises Refused at anything in it that is not understood."""
    from rattler import MatchSpec
    from rattler.exceptions import InvalidMatchSpecError

    content = yaml.safe_load(text)
    if not isinstance(content, dict) or set(content) != {"channels", "dependencies"}:
        raise Refused(f"an environment has channels and dependencies, and nothing else: {content}")
    if content["channels"] != ["conda-forge"]:
        raise Refused(f"the only channel is conda-forge: {content['channels']}")
    if not isinstance(content["dependencies"], list):
        raise Refused(f"no list of dependencies: {content['dependencies']}")
    specs, requirements = [], []
    for dependency in content["dependencies"]:
        if isinstance(dependency, str):
            try:
                MatchSpec(dependency, strict=True)
            except InvalidMatchSpecError as error:
                raise Refused(f"no match spec: {dependency} ({error})") from None
            specs.append(dependency)
        elif isinstance(dependency, dict) and set(dependency) == {"pip"} and not requirements:
            requirements = dependency["pip"]
            if not isinstance(requirements, list) or not requirements:
                raise Refused(f"no list of requirements for pip: {requirements}")
        else:
            raise Refused(f"neither a match spec nor the one section for pip: {dependency}")
    for requirement in requirements:
        try:
            parsed = Requirement(requirement)
        except (InvalidRequirement, TypeError) as error:
            raise Refused(f"no requirement for pip: {requirement} ({error})") from None
        if parsed.url:
            raise Refused(f"no requirement with an address: {requirement}")
    if requirements and "pip" not in specs:
        raise Refused("a section for pip needs pip among the dependencies")
    return Environment(specs, requirements)


async def install_packages(specs: Sequence[str], root: Path, prefix: Path) -> None:
    """Solve the specs against the channel and install what they need."""
    from rattler import Channel, ChannelConfig, Gateway, install, solve

    channels = ChannelConfig(channel_alias=(root / "channels").as_uri() + "/")
    gateway = Gateway(cache_dir=root / "packages")
    records = await solve([Channel("conda-forge", channels)], list(specs), gateway=gateway)
    await install(records, prefix, cache_dir=root / "packages", show_progress=False)


def install_requirements(requirements: Sequence[str], root: Path, prefix: Path) -> None:
    """Install the section for pip. Raises Refused if the environment's own pip is not content with it."""
    from uv import find_uv_bin

    python = prefix / "bin" / "python"
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(requirements))
        file.flush()
        uv = [find_uv_bin(), "pip", "install", "--quiet", "--link-mode", "hardlink", "--cache-dir", root / "wheels"]
        subprocess.run([*uv, "--python", python, "--requirement", file.name], check=True)
        # With no index, pip can't install anything: all is there, or it fails.
        pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        subprocess.run([*pip, "--isolated", "install", "--no-index", "--requirement", file.name], check=True, env=env)
    subprocess.run([*pip, "--isolated", "check"], check=True, env=env)


def create(root: Path, file: Path, prefix: Path) -> None:
    environment = parse_environment(file.read_text())
    if prefix.exists():
        raise Refused(f"there is something in {prefix}")
    asyncio.run(install_packages(environment.specs, root, prefix))
    if environment.requirements:
        install_requirements(environment.requirements, root, prefix)


def info(root: Path) -> dict[str, str]:
    from rattler.platform import Subdir

    return {"conda_prefix": str(root / "base"), "platform": str(Subdir.current())}


def write_base(root: Path) -> Path:
    """Make ``root``/base, with a `conda` that is this file; returns the folder to put on PATH."""
    folder = root / "base" / "bin"
    folder.mkdir(parents=True)
    conda = folder / "conda"
    conda.write_text(f'#!/bin/sh\nSTAND_IN="{root}" exec "{sys.executable}" -I "{Path(__file__).resolve()}" "$@"\n')
    conda.chmod(0o755)
    (folder / "activate").write_text(ACTIVATE)
    return folder


def parser() -> argparse.ArgumentParser:
    """Every option is required, so that the calls are exactly Snakemake's."""
    strict = {"allow_abbrev": False, "add_help": False}
    top = argparse.ArgumentParser(prog="stand_in", **strict)
    top.add_argument("--version", action="version", version=f"{VERSION} is what this stand-in for tests claims to be")
    commands = top.add_subparsers(dest="command", required=True)
    flag = {"action": "store_true", "required": True}
    command = commands.add_parser("info", **strict)
    command.add_argument("--json", **flag)
    command = commands.add_parser("config", **strict)
    command.add_argument("--get", choices=["channel_priority"], required=True)
    command.add_argument("--json", **flag)
    command = commands.add_parser("clean", **strict)
    command.add_argument("-y", **flag)
    command.add_argument("--tarballs", **flag)
    command.add_argument("--packages", action="store_true")
    command = (
        commands.add_parser("env", **strict).add_subparsers(dest="verb", required=True).add_parser("create", **strict)
    )
    command.add_argument("--quiet", **flag)
    command.add_argument("--no-default-packages", **flag)
    command.add_argument("--file", type=Path, required=True)
    command.add_argument("--prefix", type=Path, required=True)
    return top


def main(arguments: Sequence[str], root: Path) -> None:
    """Do what the arguments say. Raises Refused, CalledProcessError, and SystemExit for what it is not made for."""
    options = parser().parse_args(arguments)
    if options.command == "info":
        print(json.dumps(info(root)))
    elif options.command == "config":
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif options.command == "clean":
        # Packages are kept unpacked, so that there are no tarballs to remove.
        if options.packages:
            shutil.rmtree(root / "packages", ignore_errors=True)
    else:
        create(root, options.file, options.prefix)


if __name__ == "__main__":
    try:
        main(sys.argv[1:], Path(os.environ["STAND_IN"]))
    except (Refused, subprocess.CalledProcessError) as error:
        sys.exit(f"stand_in: {error}")
