"""Spread and similarity of embeddings, against closed forms."""

import numpy as np
import pytest

from tf_simclr.evaluation.embeddings import similarities, spread


def test_even_embeddings_are_spread():
    rows = np.random.default_rng(0).normal(size=(4000, 16))
    found = spread(rows)
    assert np.isclose(found.std, 1.0, atol=0.02)
    assert np.isclose(found.effective_rank, 16, atol=0.1)
    assert found.possible_rank == 16
    assert not found.collapsed


@pytest.mark.parametrize("dimensions", [3, 7])
def test_the_effective_rank_counts_equal_directions(dimensions):
    # Unit vectors along both directions of so many axes.
    rows = np.concatenate([np.eye(16)[:dimensions]] * 2)
    rows[dimensions:] *= -1
    assert np.isclose(spread(rows).effective_rank, dimensions)


def test_equal_embeddings_are_collapsed():
    found = spread(np.ones((32, 16)))
    assert np.isclose(found.std, 0.0, atol=1e-6)
    assert found.collapsed


def test_embeddings_on_a_line_are_collapsed():
    line = np.outer(np.linspace(-1, 1, 32), np.ones(16))
    found = spread(line)
    assert found.std > 0.5
    assert np.isclose(found.effective_rank, 1.0)
    assert found.collapsed


def test_few_dimensions_are_no_sign_of_a_collapse():
    line = np.outer(np.linspace(-1, 1, 32), np.ones(2))
    assert not spread(line).collapsed


def test_similarities_are_cosines_of_the_right_pairs():
    first = np.array([[2.0, 0.0], [0.0, 3.0]])
    second = np.array([[1.0, 0.0], [1.0, 1.0]])
    found = similarities(first, second)
    half = np.sqrt(0.5)
    assert np.allclose(found.positive, [1.0, half])
    assert np.allclose(sorted(found.negative), [0.0, half])


def test_an_image_that_comes_again_is_no_other():
    views = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    # As columns, as ids travel.
    ids = np.array([[0, 5], [0, 7], [0, 5]])
    found = similarities(views, views, ids)
    assert np.allclose(found.positive, 1.0)
    assert np.allclose(found.negative, np.zeros(4))
    assert len(similarities(views, views).negative) == 6
    apart = similarities(views, views, np.arange(3))
    assert np.array_equal(apart.negative, similarities(views, views).negative)


def test_zero_embeddings_are_finite():
    zeros = np.zeros((8, 4), np.float32)
    assert np.all(similarities(zeros, zeros).positive == 0)
    assert spread(zeros).collapsed
