"""The order of training images: every image once per epoch, resumable."""

import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.data.order import (
    batches_of,
    both_kinds,
    every_class,
    sample_order,
)


def positions(count, start, stop, batch=4, seed=0):
    pairs = list(
        sample_order(count, seed, batch, start, stop).as_numpy_iterator()
    )
    return [np.concatenate(part) for part in zip(*pairs, strict=True)]


def test_every_image_comes_once_in_an_epoch():
    epochs, indices = positions(10, 0, 40)
    for epoch in range(4):
        assert sorted(indices[epochs == epoch]) == list(range(10))


def test_epochs_and_seeds_differ():
    epochs, indices = positions(50, 0, 100)
    assert not np.array_equal(indices[:50], indices[50:])
    _, other = positions(50, 0, 100, seed=1)
    assert not np.array_equal(indices, other)


def test_a_later_start_goes_on_where_it_was():
    whole = positions(10, 0, 40)[1]
    assert np.array_equal(positions(10, 12, 40)[1], whole[12:])


def test_the_order_does_not_depend_on_the_batch_size():
    assert np.array_equal(
        positions(10, 0, 40, batch=4)[1], positions(10, 0, 40, batch=8)[1]
    )


def test_neighbouring_epochs_are_unrelated():
    epochs, indices = positions(500, 0, 5000, batch=100)
    orders = indices.reshape(10, 500)
    correlation = np.corrcoef(orders) - np.eye(10)
    # The standard deviation of a correlation of 500 pairs is 0.045.
    assert np.abs(correlation).max() < 0.2


# Of classes 0, 2 and 5; image 3 has no label.
LABELS = np.array([0, 2, 0, -1, 0, 5, 0, 0, 2, 0], np.int32)


def by_class(start, stop, batch=3, seed=0, labels=LABELS):
    order = batches_of(every_class(labels, seed), batch, start, stop)
    pairs = zip(*order.as_numpy_iterator(), strict=True)
    return [np.concatenate(part) for part in pairs]


def test_every_class_comes_once_in_a_turn():
    _, indices = by_class(0, 300)
    turns = LABELS[indices].reshape(100, 3)
    assert (np.sort(turns, axis=1) == [0, 2, 5]).all()
    # In an order that nothing tells beforehand.
    assert len({tuple(turn) for turn in turns}) == 6


def test_a_class_goes_through_its_images_in_passes():
    epochs, indices = by_class(0, 300)
    for name, size in ((0, 6), (2, 2), (5, 1)):
        of_class = LABELS[indices] == name
        passes = indices[of_class][: 100 // size * size].reshape(-1, size)
        members = np.flatnonzero(name == LABELS)
        assert (np.sort(passes, axis=1) == members).all()
        expected = np.arange(100) // size
        assert np.array_equal(epochs[of_class], expected)
    # So an image never comes twice with one epoch: views differ.
    assert len(set(zip(epochs, indices, strict=True))) == 300


def test_the_order_of_classes_is_one_of_seed_and_position():
    whole = by_class(0, 90)
    later = by_class(30, 90, batch=6)
    for part, rest in zip(whole, later, strict=True):
        assert np.array_equal(part[30:], rest)
    assert not np.array_equal(whole[1], by_class(0, 90, seed=1)[1])
    # What class 2 gives does not depend on the size of another one.
    more = np.append(LABELS, [5, 5, 5])
    other = by_class(0, 90, labels=more)[1]
    chosen = [x[LABELS[np.minimum(x, 9)] == 2] for x in (whole[1], other)]
    assert np.array_equal(*(x[x < 10] for x in chosen))


KINDS = np.array([0, -1, -1, 1, -1, -1, -1, 2, -1], np.int32)


@pytest.mark.parametrize("balanced", [False, True])
def test_both_kinds_come_in_turns(balanced):
    locate = both_kinds(KINDS, 0, 3, balanced)
    epochs, indices = (x.numpy() for x in locate(tf.range(72, dtype=tf.int64)))
    known = KINDS[indices] >= 0
    assert known.tolist() == ([True] + [False] * 3) * 18
    for kind, size in ((known, 3), (~known, 6)):
        passes = indices[kind].reshape(-1, size)
        members = np.unique(indices[kind])
        assert len(members) == size
        assert (np.sort(passes, axis=1) == members).all()
    # So an image never comes twice with one epoch: views differ.
    assert len(set(zip(epochs, indices, strict=True))) == 72
    later = locate(tf.range(30, 72, dtype=tf.int64))[1].numpy()
    assert np.array_equal(later, indices[30:])
