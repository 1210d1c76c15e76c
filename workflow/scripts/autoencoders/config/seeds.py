"""Independent random streams from one seed."""

import hashlib
import random
import sys

import numpy as np


def stream_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose, the same on every machine.

    Streams with different purposes are independent, so that drawing more numbers from one of them (for another
    epoch or prior) does not change the others.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_globals(seed: int, purpose: str) -> None:
    """Seed the global generators of Python, NumPy and PyTorch: only users' own kinds may draw from them."""
    number = stream_seed(seed, purpose)
    random.seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002 (libraries may use this generator)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(number)


def generator(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(stream_seed(seed, purpose))
