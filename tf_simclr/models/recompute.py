"""Layers that are computed twice instead of being remembered."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tf_simclr.models.batch_norm import keeping_statistics


def recomputed(
    function: Callable[[tf.Tensor], tf.Tensor], inputs: tf.Tensor
) -> tf.Tensor:
    """function(inputs), of which only `inputs` is kept for the gradient.

    When the gradient arrives the function is computed again, and batch norm
    then leaves its moving statistics alone (arXiv 1604.06174).

    Args:
      function: calls layers whose variables exist; what it computes depends
        on its input and on those variables alone.
      inputs: a float tensor.
    """

    @tf.custom_gradient
    def once(inputs: tf.Tensor):
        def gradient(
            upstream: tf.Tensor, variables: Sequence[tf.Variable] | None = None
        ):
            variables = list(variables or [])
            with keeping_statistics(), tf.GradientTape() as tape:
                again = _after(upstream, inputs)
                tape.watch(again)
                outputs = function(again)
            by_inputs, *by_variables = tape.gradient(
                outputs, [again, *variables], output_gradients=upstream
            )
            return by_inputs, by_variables

        return function(inputs), gradient

    return once(inputs)


def _after(first: tf.Tensor, then: tf.Tensor) -> tf.Tensor:
    """`then`, which compilers must not know before `first` is known.

    Otherwise they would find that the same layers are computed twice, compute
    them once and remember the results. XLA ignores control dependencies, so a
    zero that seems to depend on the data is added.
    """
    element = tf.cast(tf.reshape(first, [-1])[0], tf.bool)
    zero = tf.where(element == element, 0.0, float("nan"))
    return then + tf.cast(zero, then.dtype)
