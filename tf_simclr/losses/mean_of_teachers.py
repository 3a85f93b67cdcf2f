"""The mean of several teachers' answers to an image."""

import math
from collections.abc import Sequence

import tensorflow as tf

# Below it a probability counts as this much.
_LEAST = 1e-6


def mean_of_teachers(
    answers: Sequence[tf.Tensor], temperature: float
) -> tf.Tensor:
    """Logits whose softened distribution is the mean of the teachers'.

    softmax(found / T) = mean_k softmax(answers[k] / T): at the temperature T of
    the distillation, where an answer that is sure outweighs one that is not
    (Hinton et al., 2015, section 3: an ensemble's arithmetic mean).

    Args:
      answers: at least one tensor of logits (n, classes), in one order of the
        classes.
      temperature: T, above 0.

    Returns:
      (n, classes), float32 where there are several.
    """
    if len(answers) == 1:
        return answers[0]
    each = [
        tf.nn.log_softmax(tf.cast(logits, tf.float32) / temperature)
        for logits in answers
    ]
    total = tf.reduce_logsumexp(tf.stack(each), axis=0)
    return temperature * (total - math.log(len(each)))


def logits_of(probabilities: tf.Tensor) -> tf.Tensor:
    """float32 (n, classes): logits with these probabilities."""
    return tf.math.log(tf.maximum(probabilities, _LEAST))
