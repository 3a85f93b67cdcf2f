"""Softmax cross-entropy on labels."""

import tensorflow as tf

HAS_LABELS = "has_labels"
"""The metric that is 1 where a batch holds a label, else 0: cross-entropy and
accuracy are 0 there."""


def label_shares(labels: tf.Tensor) -> tf.Tensor:
    """What each image counts in a mean over the labelled ones.

    Args:
      labels: integer classes of a whole batch, of any shape; -1 marks an
        image without a label.

    Returns:
      float32 of that shape, which adds up to 1; 0 where there is no label.
    """
    known = tf.cast(labels >= 0, tf.float32)
    return tf.math.divide_no_nan(known, tf.reduce_sum(known))


def supervised_loss(
    labels: tf.Tensor, logits: tf.Tensor, shares: tf.Tensor | None = None
) -> tf.Tensor:
    """Mean softmax cross-entropy over the labelled images of a batch.

    Args:
      labels: (n,) integer classes; -1 marks an image without a label.
      logits: (n, classes).
      shares: what each image counts, (n,), where these images are a part of a
        batch (`label_shares`).

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
