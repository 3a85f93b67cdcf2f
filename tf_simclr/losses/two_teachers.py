"""Two teachers' answers to one image as those of one."""

import tensorflow as tf

# Below it a probability counts as this much.
_LEAST = 1e-6


def combined_logits(
    logits: tf.Tensor,
    probabilities: tf.Tensor,
    temperature: float,
) -> tf.Tensor:
    """Logits whose softened distribution is the mean of two teachers'.

    softmax(combined / T) = (softmax(logits / T) + p^(1/T) / sum p^(1/T)) / 2:
    at the temperature T of the distillation, where an answer that is sure
    outweighs one that is not.

    Args:
      logits: (n, classes), of a network.
      probabilities: float32 (n, classes), as those of propagated labels.
      temperature: T, above 0.

    Returns:
      float32 (n, classes).
    """
    network = tf.nn.log_softmax(tf.cast(logits, tf.float32) / temperature)
    other = tf.nn.log_softmax(logits_of(probabilities) / temperature)
    both = tf.reduce_logsumexp(tf.stack([network, other]), axis=0)
    return temperature * (both - tf.math.log(2.0))


def logits_of(probabilities: tf.Tensor) -> tf.Tensor:
    """float32 (n, classes): logits with these probabilities."""
    return tf.math.log(tf.maximum(probabilities, _LEAST))
