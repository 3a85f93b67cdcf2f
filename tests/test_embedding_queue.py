"""The queue of past embeddings: order, wrap-around, replicas."""

import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.losses.embedding_queue import EmbeddingQueue


def rows(first: int, count: int) -> tf.Tensor:
    """Embeddings that carry their own number."""
    numbers = tf.range(first, first + count, dtype=tf.float32)
    return tf.stack([numbers, -numbers], axis=1)


def contents(queue: EmbeddingQueue) -> list[int]:
    values, filled = queue.read()
    return sorted(int(row[0]) for row in values.numpy()[filled.numpy()])


# Sizes that are a multiple of the batch, that are not, and smaller ones.
@pytest.mark.parametrize("size", [8, 10, 7, 3])
def test_the_last_ones_stay(size):
    queue = EmbeddingQueue(size, 2)
    assert contents(queue) == []
    for batch in range(5):
        queue.put(rows(4 * batch, 4))
        seen = 4 * (batch + 1)
        assert contents(queue) == list(range(max(0, seen - size), seen))


def test_the_oldest_are_replaced_in_place():
    queue = EmbeddingQueue(5, 2)
    queue.put(rows(0, 4))
    queue.put(rows(4, 4))
    assert queue.rows.numpy()[:, 0].tolist() == [5, 6, 7, 3, 4]


def test_every_replica_holds_all_embeddings(two_replicas):
    with two_replicas.scope():
        queue = EmbeddingQueue(10, 2)

    parts = [rows(0, 3), rows(3, 3)]
    distributed = two_replicas.experimental_distribute_values_from_function(
        lambda c: parts[c.replica_id_in_sync_group]
    )

    @tf.function
    def step():
        def on_replica(values):
            queue.put(values)
            return queue.read()[0]

        return two_replicas.run(on_replica, args=(distributed,))

    found = step().values
    assert np.array_equal(found[0], found[1])
    assert contents(queue) == list(range(6))
