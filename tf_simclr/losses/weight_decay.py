"""Weight decay as a loss term."""

from collections.abc import Sequence

import tensorflow as tf


def l2_loss(variables: Sequence[tf.Variable], weight_decay: float) -> tf.Tensor:
    """weight_decay / 2 times the sum of squares; 0 without variables."""
    if not variables or not weight_decay:
        return tf.constant(0.0)
    return weight_decay * tf.add_n([tf.nn.l2_loss(v) for v in variables])
