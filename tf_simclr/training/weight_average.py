"""An exponential moving average of the weights, shown in place of them."""

import contextlib
from collections.abc import Iterator, Mapping

import tensorflow as tf

from tf_simclr.models.momentum import ema_update


class WeightAverage:
    """The moving average of a network's variables.

    average <- d average + (1 - d) variable after each update, where d is the
    decay, or (1 + t) / (10 + t) at the t-th update as long as that is less:
    the average of a short training is not that of its random start (as
    `tf.train.ExponentialMovingAverage`). Moving statistics of batch norms,
    which are averages already, stay those of the network.

    The network holds the averages and this the weights, so that whoever
    scores, saves or exports it sees the averages; a checkpoint holds them as
    its network. While it trains, they are `exchanged`.

    Args:
      weights: {name: variable}, as `trainable_variables` finds them.
      decay: d, in [0, 1).
      strategy: the devices; the variables were made in its scope.

    Attributes:
      state: what belongs into a checkpoint.
    """

    def __init__(
        self,
        weights: Mapping[str, tf.Variable],
        decay: float,
        strategy: tf.distribute.Strategy,
    ):
        self._decay, self._strategy = decay, strategy
        with strategy.scope():
            self.state = _State(weights)
        self._pairs = [
            (self.state.values[name], weights[name]) for name in weights
        ]

    def update(self) -> None:
        """Takes the weights of one more step into the average; to be called
        across the replicas, in the graph."""
        count = tf.cast(self.state.updates, tf.float32)
        decay = tf.minimum(self._decay, (1.0 + count) / (10.0 + count))
        ema_update(self._pairs, decay, self._strategy)
        self.state.updates.assign_add(1)

    @contextlib.contextmanager
    def exchanged(self) -> Iterator[None]:
        """Within it the network holds its weights and this the averages, or
        the other way round where that was so."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        with self._strategy.scope():
            for average, weight in self._pairs:
                kept = tf.identity(tf.convert_to_tensor(weight))
                weight.assign(tf.convert_to_tensor(average))
                average.assign(kept)


class _State(tf.Module):
    """Averages by the names of the variables, and the number of updates."""

    def __init__(self, weights: Mapping[str, tf.Variable]):
        super().__init__()
        self.values = {
            name: tf.Variable(tf.convert_to_tensor(weight), trainable=False)
            for name, weight in weights.items()
        }
        self.updates = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
