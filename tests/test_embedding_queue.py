"""The queue of past embeddings: order, wrap-around, replicas."""

import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.losses.queue import EmbeddingQueue


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
            numbers = tf.cast(values[:, 0], tf.int64)
            queue.put(values, ids=numbers)
            return queue.read()[0]

        return two_replicas.run(on_replica, args=(distributed,))

    found = step().values
    assert np.array_equal(found[0], found[1])
    assert contents(queue) == list(range(6))
    assert queue.seen.ids.numpy().tolist() == [0, 1, 2, 3, 4, 5] + [-1] * 4


def test_rows_know_their_images():
    queue = EmbeddingQueue(5, 2)
    queue.put(rows(0, 2), rows(2, 2), ids=tf.constant([7, 2**40 + 1], tf.int64))
    first, second = 7, 2**40 + 1
    assert queue.seen.ids.numpy().tolist() == [
        first,
        second,
        first,
        second,
        -1,
    ]
    queue.put(rows(4, 2))
    assert queue.seen.ids.numpy().tolist() == [-1, second, first, second, -1]


def test_checkpoints_name_the_ids_apart(tmp_path):
    # What earlier versions saved as a queue is still all of it.
    path = tf.train.Checkpoint(queue=EmbeddingQueue(5, 2)).write(
        str(tmp_path / "queue")
    )
    keys = tf.train.load_checkpoint(path).get_variable_to_shape_map()
    names = {key.split("/")[1] for key in keys if key.startswith("queue/")}
    assert names == {"rows", "count"}
