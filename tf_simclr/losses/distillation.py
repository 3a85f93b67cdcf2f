"""Distillation: the student matches the teacher's softened classes."""

import tensorflow as tf


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
