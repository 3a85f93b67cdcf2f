"""Losses on unlabelled images, whose labels are the network's own."""

import tensorflow as tf

# Of logarithms and quotients, as in FreeMatch's code.
_EPSILON = 1e-12


def pseudo_label_loss(
    logits: tf.Tensor, classes: tf.Tensor, counted: tf.Tensor
) -> tf.Tensor:
    """Cross-entropy with the classes that weak views were given (FixMatch,
    arXiv 2001.07685, equation 4).

    Args:
      logits: (n, classes) of strong views.
      classes: integer (n,).
      counted: float32 (n,), what each image counts, 0 where the network was
        not sure; 1 / n for the mean of the paper.

    Returns:
      A float32 scalar.
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=classes, logits=tf.cast(logits, tf.float32)
    )
    return tf.reduce_sum(losses * counted)


def class_thresholds(level: tf.Tensor, likely: tf.Tensor) -> tf.Tensor:
    """The least confidence of each class (FreeMatch, arXiv 2205.07246,
    equation 8).

    Args:
      level: scalar, how sure the network has been on average.
      likely: (classes,), how probable each class has been on average.

    Returns:
      float32 (classes,): `level`, less for classes that are less probable.
    """
    return level * likely / tf.reduce_max(likely)


def aligned(
    probabilities: tf.Tensor, likely: tf.Tensor, wanted: tf.Tensor
) -> tf.Tensor:
    """Distributions with classes as frequent as they should be (ReMixMatch,
    arXiv 1911.09785, section 3.1).

    Args:
      probabilities: (n, classes), rows sum to 1.
      likely: (classes,), the average of such rows so far.
      wanted: (classes,), what that average should be.

    Returns:
      float32 (n, classes), rows sum to 1.
    """
    scaled = probabilities * wanted / tf.maximum(likely, _EPSILON)
    return scaled / tf.reduce_sum(scaled, axis=1, keepdims=True)


def fairness_loss(
    likely: tf.Tensor,
    histogram: tf.Tensor,
    batch_likely: tf.Tensor,
    batch_histogram: tf.Tensor,
) -> tf.Tensor:
    """Minus the cross-entropy of two distributions of classes, each divided
    by how often the class was predicted (FreeMatch, equation 11).

    Args:
      likely: (classes,), the average distribution of weak views so far.
      histogram: (classes,), the share of each class among their labels so far.
      batch_likely: (classes,), the mean distribution of the batch's strong
        views of which the network was sure; gradients reach this one.
      batch_histogram: (classes,), the share of each class among those views'
        predictions.

    Returns:
      A float32 scalar, at most 0; 0 of a batch without such a view.
    """
    expected = _shares(tf.math.divide_no_nan(likely, histogram))
    found = _shares(tf.math.divide_no_nan(batch_likely, batch_histogram))
    any_sure = tf.cast(tf.reduce_sum(batch_histogram) > 0, tf.float32)
    logs = tf.math.log(found + _EPSILON)
    return any_sure * tf.reduce_sum(expected * logs)


def _shares(values: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(values, tf.reduce_sum(values))
