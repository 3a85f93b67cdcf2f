"""Random numbers that belong to an image, by its id."""

import hashlib
from collections.abc import Iterable

import numpy as np


def id_hashes(ids: Iterable[str], salt: str) -> np.ndarray:
    """One number per id, which depends on the id and the salt alone.

    What is drawn by them stays drawn when other images come or go, or lie in
    another order.

    Args:
      ids: of the images.
      salt: separates one use, or one seed, from another.

    Returns:
      uint64 (N,).
    """
    key = salt.encode()
    digests = [
        hashlib.blake2b(name.encode(), digest_size=8, key=key).digest()
        for name in ids
    ]
    return np.frombuffer(b"".join(digests), "<u8")
