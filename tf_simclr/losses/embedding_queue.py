"""A queue of past embeddings: more negatives than a batch holds."""

import tensorflow as tf


class EmbeddingQueue(tf.Module):
    """First in, first out, in a ring of fixed size (MoCo, arXiv 1911.05722).

    Its rows are the same on every replica: what is put in was gathered from
    all of them.

    Args:
      size: K, how many embeddings it holds; any number, not just a multiple
        of the batch.
      dim: d, their width.
    """

    def __init__(self, size: int, dim: int):
        super().__init__()
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

    def put(self, *views: tf.Tensor) -> None:
        """Replaces the oldest rows by those of all replicas; of more than K,
        the last K stay.

        Args:
          *views: this replica's embeddings (n, d) of one view after another.
            All replicas' first views go before all second ones, so that what
            stays does not depend on the number of replicas.
        """
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            both = context.all_gather(tf.concat(views, axis=1), axis=0)
            views = tf.split(both, len(views), axis=1)
        embeddings = tf.concat(views, axis=0)
        total = tf.shape(embeddings, out_type=tf.int64)[0]
        positions = self.count + tf.range(total)
        kept = embeddings[-self.size :]
        slots = positions[-self.size :] % self.size
        rows = tf.tensor_scatter_nd_update(
            tf.convert_to_tensor(self.rows), slots[:, tf.newaxis], kept
        )
        self.rows.assign(rows)
        self.count.assign_add(total)
