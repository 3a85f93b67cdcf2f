"""The order of training images: every image once per epoch, resumable."""

import numpy as np

from tf_simclr.data.order import sample_order


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
