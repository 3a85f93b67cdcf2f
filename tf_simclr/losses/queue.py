"""A queue of past embeddings: more negatives than a batch holds.

A batch may hold an image twice, where it spans the end of an epoch, the data
set has it under two names, or the queue of past embeddings remembers it. Its
other appearances are neither
positives nor negatives of an anchor.
"""

import tensorflow as tf

# An id that equals no other: of a queue's rows whose images are not known.
UNKNOWN = -1
# Two float32 numbers below 2^24 hold an id below 2^48 exactly.
_PART = 2**24


def as_columns(ids: tf.Tensor) -> tf.Tensor:
    """Ids, int64 (n,) from 0 to 2^48 - 1, as float32 (n, 2), exactly.

    So they travel between replicas with the embeddings, in one collective.
    """
    parts = tf.stack([ids // _PART, ids % _PART], axis=1)
    return tf.cast(parts, tf.float32)


def from_columns(columns: tf.Tensor) -> tf.Tensor:
    """The ids, int64 (n,), of what `as_columns` gave."""
    parts = tf.cast(columns, tf.int64)
    return parts[:, 0] * _PART + parts[:, 1]


def same_image(ids: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """True where images are the same: bool (n, m) of int64 (n,) and (m,).

    `UNKNOWN` is the same as no image.
    """
    equal = ids[:, tf.newaxis] == others[tf.newaxis, :]
    return tf.logical_and(equal, others != UNKNOWN)


class QueueIds(tf.Module):
    """The ids of the images in a queue, row by row.

    Kept apart from the queue, since runs of earlier versions saved queues
    without it: a checkpoint names both.

    Args:
      size: K.
    """

    def __init__(self, size: int):
        super().__init__()
        self.ids = tf.Variable(
            tf.fill([size], tf.constant(UNKNOWN, tf.int64)),
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )


class EmbeddingQueue(tf.Module):
    """First in, first out, in a ring of fixed size (MoCo, arXiv 1911.05722).

    Its rows are the same on every replica: what is put in was gathered from
    all of them.

    Args:
      size: K, how many embeddings it holds; any number, not just a multiple
        of the batch.
      dim: d, their width.

    Attributes:
      seen: of which images the rows are. Save it beside the queue.
    """

    def __init__(self, size: int, dim: int):
        super().__init__()
        # Set so, it is no part of what a checkpoint saves as the queue.
        vars(self)["seen"] = QueueIds(size)
        shared = {
            "trainable": False,
            "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
        }
        self.size = size
        self.rows = tf.Variable(tf.zeros([size, dim]), **shared)
        self.count = tf.Variable(0, dtype=tf.int64, **shared)

    def read(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The rows (K, d), and bool (K,): which have been filled."""
        filled = tf.range(self.size, dtype=tf.int64) < self.count
        return tf.convert_to_tensor(self.rows), filled

    def put(self, *views: tf.Tensor, ids: tf.Tensor | None = None) -> None:
        """Replaces the oldest rows by those of all replicas; if there are more
        than K, the last K stay.

        Args:
          *views: this replica's embeddings (n, d) of one view after another.
            All replicas' first views go before all second ones, so that what
            stays does not depend on the number of replicas.
          ids: int64 (n,), of which images they are; None: unknown.
        """
        columns = [] if ids is None else [as_columns(ids)]
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            parts = [*views, *columns]
            views = tf.split(
                context.all_gather(tf.concat(parts, axis=1), axis=0),
                [part.shape[1] for part in parts],
                axis=1,
            )
            if columns:
                *views, columns[0] = views
        embeddings = tf.concat(views, axis=0)
        total = tf.shape(embeddings, out_type=tf.int64)[0]
        positions = self.count + tf.range(total)
        kept = embeddings[-self.size :]
        slots = positions[-self.size :] % self.size
        rows = tf.tensor_scatter_nd_update(
            tf.convert_to_tensor(self.rows), slots[:, tf.newaxis], kept
        )
        self.rows.assign(rows)
        if columns:
            now = tf.tile(from_columns(columns[0]), [len(views)])
        else:
            now = tf.fill([total], tf.constant(UNKNOWN, tf.int64))
        self.seen.ids.assign(
            tf.tensor_scatter_nd_update(
                tf.convert_to_tensor(self.seen.ids),
                slots[:, tf.newaxis],
                now[-self.size :],
            )
        )
        self.count.assign_add(total)
