"""Losses of classifiers: labels, a teacher's classes, weight decay."""

from collections.abc import Sequence

import tensorflow as tf

LABELLED = "labelled_images"
"""The metric that counts the labelled images of a batch. Figures of these
images are handed over as sums, so that a log line shows their mean over images
and not over batches, which hold more of them or fewer, or none."""


def is_labelled(labels: tf.Tensor) -> tf.Tensor:
    """1 for images with a label and 0 for others: float32, in the labels'
    shape."""
    return tf.cast(labels >= 0, tf.float32)


def label_shares(labels: tf.Tensor) -> tf.Tensor:
    """Weights of the images in a mean over the labelled ones.

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
    """Share of the labelled images whose highest logit is their class: scalar.

    Takes what `supervised_loss` takes.
    """
    shares = label_shares(labels) if shares is None else shares
    predicted = tf.argmax(logits, axis=1, output_type=labels.dtype)
    hits = tf.cast(tf.equal(predicted, labels), tf.float32)
    return tf.reduce_sum(hits * shares)


def distillation_loss(
    teacher_logits: tf.Tensor,
    student_logits: tf.Tensor,
    temperature: float = 1.0,
    squared_temperature: bool = False,
    shares: tf.Tensor | None = None,
) -> tf.Tensor:
    """Cross-entropy of softened distributions (paper, equation 2).

    -mean_x sum_y P_teacher(y | x; T) log P_student(y | x; T), where
    P(y | x; T) = softmax(logits / T).

    Args:
      teacher_logits: (n, classes); no gradient flows into them.
      student_logits: (n, classes).
      temperature: T, above 0.
      squared_temperature: multiplies the loss by T^2, which keeps the
        gradient's size as T grows (Hinton et al., 2015); the original
        release's notebook does so, the paper's equation does not.
      shares: what each image counts, (n,), where these images are a part of a
        batch; None: 1 / n.

    Returns:
      A float32 scalar.
    """
    teacher = tf.cast(tf.stop_gradient(teacher_logits), tf.float32)
    student = tf.cast(student_logits, tf.float32)
    losses = tf.nn.softmax_cross_entropy_with_logits(
        labels=tf.nn.softmax(teacher / temperature),
        logits=student / temperature,
    )
    if shares is None:
        loss = tf.reduce_mean(losses)
    else:
        loss = tf.reduce_sum(losses * shares)
    return loss * temperature**2 if squared_temperature else loss


def l2_loss(variables: Sequence[tf.Variable], weight_decay: float) -> tf.Tensor:
    """weight_decay / 2 times the sum of squares, a scalar; 0 without
    variables."""
    if not variables or not weight_decay:
        return tf.constant(0.0)
    return weight_decay * tf.add_n([tf.nn.l2_loss(v) for v in variables])


def has_top_5(num_classes: int) -> bool:
    """True if five different guesses can all be wrong."""
    return num_classes > 5
