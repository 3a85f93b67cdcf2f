"""Adam with one kernel per variable."""

import tensorflow as tf
import tf_keras as keras


class Adam(keras.optimizers.Adam):
    """Keras's Adam, whose update TensorFlow does in one operation.

    Keras writes it as a dozen operations on each variable; in a network of many
    small variables they cost more than the numbers do. The equations (arXiv
    1412.6980, section 2, last paragraph) and the slots are the same.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Updates one variable by its dense gradient."""
        dtype = variable.dtype
        index = self._index_dict[self._var_key(variable)]
        step = tf.cast(self.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, dtype), step),
            lr=tf.cast(self.learning_rate, dtype),
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=gradient,
        )
