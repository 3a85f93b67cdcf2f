"""Softmax cross-entropy on labels."""

import tensorflow as tf


def supervised_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Mean softmax cross-entropy over the labelled images of a batch.

    Args:
      labels: (n,) integer classes; -1 marks an image without a label.
      logits: (n, classes).

    Returns:
      A float32 scalar; 0 where the batch holds no label.
    """
    known = tf.cast(labels >= 0, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.maximum(labels, 0), logits=tf.cast(logits, tf.float32)
    )
    return tf.math.divide_no_nan(
        tf.reduce_sum(losses * known), tf.reduce_sum(known)
    )


def accuracy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Share of the labelled images whose highest logit is their class."""
    known = tf.cast(labels >= 0, tf.float32)
    predicted = tf.argmax(logits, axis=1, output_type=labels.dtype)
    hits = tf.cast(tf.equal(predicted, labels), tf.float32) * known
    return tf.math.divide_no_nan(tf.reduce_sum(hits), tf.reduce_sum(known))
