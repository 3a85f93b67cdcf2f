"""Softmax cross-entropy on labels."""

import tensorflow as tf

LABELLED = "labelled_images"
"""The metric that counts the labelled images of a batch. Figures of these
images are handed over as sums, so that a log line shows their mean over images
and not over batches, which hold more of them or fewer, or none."""


def is_labelled(labels: tf.Tensor) -> tf.Tensor:
    """1 for images with a label and 0 for others: float32, like the labels."""
    return tf.cast(labels >= 0, tf.float32)


def label_shares(labels: tf.Tensor) -> tf.Tensor:
    """What each image counts in a mean over the labelled ones.

    Replicas may hold more labels or fewer: an image counts the same on each.

    Args:
      labels: integer classes of a replica's share of a batch, of any shape; -1
        marks an image without a label.

    Returns:
      float32 of that shape; 0 where there is no label. Sums over the replicas
      have the mean 1, or 0 where no replica has a label.
    """
    known = is_labelled(labels)
    count = tf.reduce_sum(known)
    context = tf.distribute.get_replica_context()
    if context is not None and context.num_replicas_in_sync > 1:
        count = context.all_reduce(tf.distribute.ReduceOp.MEAN, count)
    return tf.math.divide_no_nan(known, count)


def supervised_loss(
    labels: tf.Tensor, logits: tf.Tensor, shares: tf.Tensor | None = None
) -> tf.Tensor:
    """Mean softmax cross-entropy over the labelled images of a batch.

    Args:
      labels: (n,) integer classes; -1 marks an image without a label.
      logits: (n, classes).
      shares: what each image counts, (n,): `label_shares` where these images
        are a part of a batch, `is_labelled` for the sum over the images.

    Returns:
      A float32 scalar; 0 where the batch holds no label.
    """
    shares = label_shares(labels) if shares is None else shares
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.maximum(labels, 0), logits=tf.cast(logits, tf.float32)
    )
    return tf.reduce_sum(losses * shares)


def accuracy(
    labels: tf.Tensor, logits: tf.Tensor, shares: tf.Tensor | None = None
) -> tf.Tensor:
    """Share of the labelled images whose highest logit is their class.

    Takes what `supervised_loss` takes.
    """
    shares = label_shares(labels) if shares is None else shares
    predicted = tf.argmax(logits, axis=1, output_type=labels.dtype)
    hits = tf.cast(tf.equal(predicted, labels), tf.float32)
    return tf.reduce_sum(hits * shares)
