"""Where the Python of each job looks for packages: Snakemake's own process sets it, and its jobs inherit it."""

import os
from pathlib import Path


def put_first(scripts: Path, *, conda: bool) -> None:
    """Jobs find this package before another of its name, which Snakemake would find first: it appends ``scripts``.

    The user's own entries of PYTHONPATH stay: on some clusters they provide PyTorch. For rules with their own
    environments (``conda``), Snakemake removes PYTHONPATH, but ~/.local would still come before these.
    """
    own = os.environ.get("PYTHONPATH")
    entries = [str(scripts), *(own.split(os.pathsep) if own else [])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(entries))
    if conda:
        os.environ["PYTHONNOUSERSITE"] = "1"
