"""One seed, named children: nothing random without saying what it is for."""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *names: str | int) -> int:
    """A 64-bit seed that depends on `seed` and on every name, in order.

    >>> derive_seed(0, "split") == derive_seed(0, "split")
    True
    >>> derive_seed(0, "split") == derive_seed(0, "head")
    False
    """
    text = "\x1f".join([str(seed), *(f"{type(name).__name__}:{name}" for name in names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A NumPy generator for the named purpose."""
    return np.random.default_rng(derive_seed(seed, *names))


def unit_hash(seed: int, *names: str | int) -> float:
    """A number in [0, 1) fixed by the names: the place of a group on a stable split's line."""
    return derive_seed(seed, *names) / 2**64
