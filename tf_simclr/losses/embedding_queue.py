"""A queue of past embeddings: more negatives than a batch holds."""

import tensorflow as tf

from tf_simclr.losses.example_ids import UNKNOWN, as_columns, from_columns


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
        """Replaces the oldest rows by those of all replicas; of more than K,
        the last K stay.

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
