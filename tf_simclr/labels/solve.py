"""Conjugate gradients for many right-hand sides at a time."""

from collections.abc import Callable

import numpy as np

Product = Callable[[np.ndarray], np.ndarray]


def solve(
    product: Product,
    right: np.ndarray,
    *,
    tolerance: float = 1e-6,
    most: int = 1000,
) -> np.ndarray:
    """Solves A x = b for symmetric positive semi-definite A.

    Hestenes and Stiefel (1952), each column by itself.

    Args:
      product: x (N, c) -> A x (N, c).
      right: b, float64 (N, c), in the range of A.
      tolerance: the residual's length, relative to that of b, at which a
        column is done.
      most: iterations at most.

    Returns:
      float64 (N, c).
    """
    solution = np.zeros_like(right)
    residual = right.copy()
    direction = residual.copy()
    squares = np.sum(residual**2, axis=0)
    enough = tolerance**2 * squares
    for _ in range(most):
        open_columns = squares > enough
        if not open_columns.any():
            break
        image = product(direction)
        curvature = np.sum(direction * image, axis=0)
        step = np.where(
            open_columns, squares / np.where(curvature > 0, curvature, 1), 0
        )
        solution += step * direction
        residual -= step * image
        following = np.sum(residual**2, axis=0)
        ratio = following / np.where(squares > 0, squares, 1)
        direction = residual + ratio * direction
        squares = np.where(open_columns, following, 0)
    return solution
