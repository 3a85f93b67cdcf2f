"""The processes that train together, where there are several."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from tf_simclr.training.stop import TrainingFailed

# What TensorFlow says to the others when a process has gone.
_SIGNS = ("Collective ops is aborted", "coordination service")
_KINDS = (tf.errors.UnavailableError, tf.errors.AbortedError)


class WorkerLost(TrainingFailed):
    """Another process of the cluster has gone, and training with it."""


class Workers:
    """The processes of a strategy; all of them call the same in one order.

    Args:
      strategy: the devices; of other kinds than several workers' there is
        one process, and all of this is free.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy = strategy
        self._several = isinstance(
            strategy, tf.distribute.MultiWorkerMirroredStrategy
        )

    def maximum(self, *values: float) -> tuple[float, ...]:
        """The largest of each value over all processes, in each of them.

        Raises:
          WorkerLost: one of them has gone.
        """
        if not self._several:
            return values
        with self.watched():
            gathered = self._gather(tf.constant([values], tf.float64))
        return tuple(map(float, gathered.numpy().max(axis=0)))

    def check_same(self, step: int) -> None:
        """Makes sure that all processes have restored the same step.

        Raises:
          TrainingFailed: they have not.
        """
        last, first = self.maximum(step, -step)
        if last != -first:
            raise TrainingFailed(
                f"The workers would continue from different steps,"
                f" {-first:.0f} to {last:.0f} (here {step}): --model_dir must"
                " be a directory that all machines share."
            )

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Tells the loss of another process from other errors.

        Raises:
          WorkerLost: in their place.
        """
        try:
            yield
        except WorkerLost:
            raise
        except (tf.errors.OpError, TrainingFailed) as error:
            # A checkpoint's that could not be saved has an error behind it.
            cause = error
            if isinstance(error, TrainingFailed):
                cause = error.__cause__
            lost = isinstance(cause, _KINDS) or any(
                sign in str(cause) for sign in _SIGNS
            )
            if not self._several or not lost:
                raise
            raise WorkerLost(
                "Another worker of TF_CONFIG has gone: repeat the same command"
                " on every machine, and all continue from the last checkpoint."
                f" Received: {str(cause).splitlines()[0][:200]}"
            ) from error

    def _gather(self, values: tf.Tensor) -> tf.Tensor:
        """(1, n) of this process -> (replicas, n) of all."""
        strategy = self._strategy
        everywhere = strategy.experimental_distribute_values_from_function(
            lambda _: values
        )
        return strategy.gather(everywhere, axis=0)
