"""Cells of similar features."""

import numpy as np
import pytest
from clouds import clouds

pytest.importorskip("faiss")

from tf_simclr.labels.cells import centroids
from tf_simclr.labels.neighbours import unit_rows


def test_cells_are_small_and_hold_similar_rows():
    rows = unit_rows(clouds(6000, 30))
    found = centroids(rows, 100)
    nearest = np.argmax(rows @ found.T, axis=1)
    sizes = np.bincount(nearest, minlength=len(found))
    assert 60 <= len(found) <= 300
    assert np.median(sizes[sizes > 0]) <= 100
    # Closer to the mean of their cell than to that of all.
    own = np.einsum("nd,nd->n", rows, found[nearest])
    assert np.mean(own) > 2 * np.mean(rows @ rows.mean(axis=0))
    assert np.array_equal(centroids(rows, 100), found)


def test_few_rows_are_one_cell():
    rows = unit_rows(clouds(50, 3))
    found = centroids(rows, 50)
    assert found.shape == (1, rows.shape[1])
    assert np.allclose(found[0], rows.mean(axis=0), atol=1e-6)


def test_equal_rows_end_the_split():
    rows = np.tile(unit_rows(clouds(1, 1)), (500, 1))
    assert centroids(rows, 10).shape == (1, rows.shape[1])
