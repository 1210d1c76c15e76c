"""Independent random streams from one seed."""

import hashlib

import numpy as np


def stream_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose, the same on every machine.

    Streams with different purposes are independent, so that drawing more numbers for one of them (another
    epoch, another prior) changes none of the others.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(stream_seed(seed, purpose))
