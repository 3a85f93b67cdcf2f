"""Neighbours by an index, against those of all cosines."""

import numpy as np
import pytest
from clouds import clouds

from tf_simclr.errors import UserError
from tf_simclr.labels.approximate_neighbours import (
    approximate_neighbours,
    check_search,
    neighbours_by,
)
from tf_simclr.labels.neighbours import nearest_neighbours

CLASSES, SIZE = 30, 4000


@pytest.fixture(scope="module")
def features():
    """Beside clouds, some images that are the same."""
    pytest.importorskip("faiss")
    found = clouds(SIZE, CLASSES)
    found[:40] = found[0]
    return found


def share(found, exact) -> float:
    """Of the neighbours (n, k) of n images, those that are found."""
    pairs = zip(found.tolist(), exact.tolist(), strict=True)
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in pairs])


def test_nearly_all_neighbours_are_found(features):
    seen = []
    found = approximate_neighbours(features, 10, seen.append, fewest=0)
    assert sum(seen) == SIZE
    exact = nearest_neighbours(features, 10)
    assert share(found.indices[40:], exact.indices[40:]) > 0.95
    assert not np.any(found.indices == np.arange(SIZE)[:, np.newaxis])
    assert np.all(np.diff(found.cosines) <= 1e-6)
    # Any of those that are the same.
    assert np.allclose(found.cosines[:40], 1, atol=1e-5)
    assert np.all(found.indices[:40] < 40)
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    expected = np.einsum("nd,nkd->nk", units, units[found.indices])
    assert np.allclose(found.cosines, expected, atol=1e-5)
    again = approximate_neighbours(features, 10, fewest=0)
    assert np.array_equal(again.indices, found.indices)


def test_neighbours_among_other_images(features):
    others = clouds(50, CLASSES, seed=9)
    found = approximate_neighbours(others, 5, among=features, fewest=0)
    exact = nearest_neighbours(others, 5, among=features)
    assert found.indices.shape == (50, 5)
    assert np.mean(found.indices[:, 0] == exact.indices[:, 0]) > 0.9


def test_more_neighbours_than_a_cell_has_images(features):
    others = clouds(20, CLASSES, seed=9)
    found = approximate_neighbours(others, 700, among=features, fewest=0)
    exact = nearest_neighbours(others, 700, among=features)
    assert share(found.indices, exact.indices) > 0.9


def test_cells_of_too_few_images_are_made_up_for(features):
    # As many as there are, though more are asked for.
    found = approximate_neighbours(features[40:140], 120, fewest=0)
    exact = nearest_neighbours(features[40:140], 99)
    assert np.array_equal(
        np.sort(found.indices, axis=1), np.sort(exact.indices, axis=1)
    )


def test_few_images_need_no_index(monkeypatch):
    few = clouds(60, 3)
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    for search in ("exact", "approximate"):
        found = neighbours_by(search, few, 4)
        assert np.array_equal(found.indices, nearest_neighbours(few, 4).indices)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_search("exact")
    with pytest.raises(UserError, match="pip install faiss-cpu"):
        check_search("approximate")
