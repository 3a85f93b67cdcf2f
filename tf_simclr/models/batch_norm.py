"""Batch normalisation that is fused where exact and global where asked."""

import contextlib
import contextvars
from collections.abc import Iterable, Iterator

import tensorflow as tf
import tf_keras as keras

# As in the original release (and the ResNet reference code before it).
EPSILON = 1e-5
# oneDNN's fast kernels take bfloat16 channels by sixteen; its other one is many
# times slower than float32.
_BFLOAT16_LANES = 16

# Replicas are traced in threads of their own, so the switch is one per thread.
_statistics_move = contextvars.ContextVar("statistics_move", default=True)


@contextlib.contextmanager
def keeping_statistics() -> Iterator[None]:
    """Inside, batch norm in training leaves its moving statistics alone.

    For a pass over images that have moved them already, or will do so.
    """
    token = _statistics_move.set(False)
    try:
        yield
    finally:
        _statistics_move.reset(token)


class BatchNorm(keras.layers.Layer):
    """Batch normalisation over the last axis, statistics in float32.

    Differs from Keras's own layer in two points. The fused kernel's variance
    carries Bessel's correction, which is taken out before it enters the
    moving average, so that fused and plain statistics are the same numbers.
    And with `synchronized`, the moments of the global batch are formed in
    float32 whatever the precision, from the deviations around the global mean
    instead of a difference of squares.

    While `trainable` is False the layer stays in inference mode, as Keras's
    layer does: a frozen encoder keeps its statistics. The attribute
    `updates_while_frozen` lifts that.

    Args:
      momentum: decay of the moving statistics, in [0, 1].
      center: whether to add a learned shift (beta).
      zero_init: whether the scale (gamma) starts at zero instead of one.
      synchronized: whether the moments are those of all replicas' images.
    """

    def __init__(
        self,
        momentum: float = 0.9,
        center: bool = True,
        zero_init: bool = False,
        synchronized: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.center = center
        self.zero_init = zero_init
        self.synchronized = synchronized
        self.updates_while_frozen = False

    def build(self, input_shape: tf.TensorShape) -> None:
        """Makes scale, shift and moving statistics, (C,) each, float32."""
        channels = input_shape[-1]

        def weight(name: str, initializer: str, **kwargs) -> tf.Variable:
            return self.add_weight(
                name,
                shape=(channels,),
                dtype=tf.float32,
                initializer=initializer,
                experimental_autocast=False,
                **kwargs,
            )

        # Synchronised, they are the same on all replicas; a mean of them
        # would round.
        aggregation = tf.VariableAggregation.MEAN
        if self.synchronized:
            aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA
        statistic = {
            "trainable": False,
            "synchronization": tf.VariableSynchronization.ON_READ,
            "aggregation": aggregation,
        }
        self.gamma = weight("gamma", "zeros" if self.zero_init else "ones")
        self.beta = weight("beta", "zeros") if self.center else None
        self.moving_mean = weight("moving_mean", "zeros", **statistic)
        self.moving_variance = weight("moving_variance", "ones", **statistic)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalises (N, ..., C) in the dtype of `inputs`."""
        training = training and (self.trainable or self.updates_while_frozen)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        local = not self.synchronized or replicas == 1
        if inputs.shape.rank == 4 and (local or not training):
            return self._fused(inputs, training)
        return self._plain(inputs, training, local)

    def _shift(self) -> tf.Tensor:
        if self.beta is None:
            return tf.zeros_like(self.moving_mean)
        return tf.convert_to_tensor(self.beta)

    def _fused(self, inputs: tf.Tensor, training: bool) -> tf.Tensor:
        if inputs.dtype == tf.bfloat16 and inputs.shape[-1] % _BFLOAT16_LANES:
            outputs = self._fused(tf.cast(inputs, tf.float32), training)
            return tf.cast(outputs, inputs.dtype)
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            self.gamma,
            self._shift(),
            mean=None if training else self.moving_mean,
            variance=None if training else self.moving_variance,
            epsilon=EPSILON,
            is_training=training,
        )
        if training:
            count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
            self._update(mean, variance * (count - 1.0) / count)
        return outputs

    def _plain(
        self, inputs: tf.Tensor, training: bool, local: bool
    ) -> tf.Tensor:
        values = tf.cast(inputs, tf.float32)
        if training:
            axes = list(range(inputs.shape.rank - 1))
            mean = self._mean_over_replicas(tf.reduce_mean(values, axes), local)
            deviation = tf.square(values - mean)
            variance = self._mean_over_replicas(
                tf.reduce_mean(deviation, axes), local
            )
            self._update(mean, variance)
        else:
            mean, variance = self.moving_mean, self.moving_variance
        scale = self.gamma * tf.math.rsqrt(variance + EPSILON)
        outputs = (values - mean) * scale + self._shift()
        return tf.cast(outputs, inputs.dtype)

    @staticmethod
    def _mean_over_replicas(value: tf.Tensor, local: bool) -> tf.Tensor:
        if local:
            return value
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, value)

    def _update(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        if not _statistics_move.get():
            return
        for moving, value in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            moving.assign(
                self.momentum * moving + (1.0 - self.momentum) * value
            )

    def get_config(self) -> dict:
        """The arguments that make it again."""
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "center": self.center,
            "zero_init": self.zero_init,
            "synchronized": self.synchronized,
        }


def settle_statistics(
    modules: Iterable[tf.Module], strategy: tf.distribute.Strategy
) -> None:
    """Gives all replicas the same moving statistics: the mean of theirs.

    Without synchronisation each replica averages the moments of its own
    images. What is evaluated, saved or exported is the mean over replicas;
    continuing from it changes nothing in training, nor in later means.

    Args:
      modules: whose batch norms, frozen ones included.
      strategy: the devices, called across the replicas.
    """
    if strategy.num_replicas_in_sync == 1:
        return
    with strategy.scope():
        for module in modules:
            for layer in module.submodules:
                if isinstance(layer, BatchNorm) and not layer.synchronized:
                    for moving in (layer.moving_mean, layer.moving_variance):
                        moving.assign(tf.convert_to_tensor(moving))
