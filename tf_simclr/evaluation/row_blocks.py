"""Functions of a matrix's rows, computed a few rows at a time.

With many classes a copy of all logits, in double precision, takes gigabytes.
"""

from collections.abc import Callable

import numpy as np

# Figures in a block: 4 MB in double precision.
_BLOCK = 1 << 19


def by_blocks(
    function: Callable[..., np.ndarray],
    matrix: np.ndarray,
    rows: np.ndarray | None = None,
    *others: np.ndarray,
) -> np.ndarray:
    """The values (n,) of `function` for n rows of a matrix.

    Args:
      function: some rows (b, C), and those of `others` -> values (b,).
      matrix: (N, C).
      rows: int (n,), which ones; None for all.
      others: arrays (n, ...).
    """
    count = len(matrix) if rows is None else len(rows)
    size = max(1, _BLOCK // max(1, matrix.shape[1]))
    found = []
    for start in range(0, max(count, 1), size):
        part = slice(start, min(start + size, count))
        block = matrix[part if rows is None else rows[part]]
        found.append(function(block, *(other[part] for other in others)))
    return np.concatenate(found)
