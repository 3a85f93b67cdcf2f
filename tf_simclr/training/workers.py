"""The processes that train together, where there are several.

All workers do the same in the same order, so that none waits in vain for
another: each trains, evaluates, saves and exports. But only the chief does it
in `model_dir`. The others work in a folder of their own, which begins as a
picture of `model_dir` and is thrown away in the end.
"""

import contextlib
import dataclasses
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.keras_compat import is_lost_worker
from tf_simclr.progress import say
from tf_simclr.signals import Interrupted, TrainingFailed
from tf_simclr.training.devices import make_strategy

# What TensorFlow raises in the others when a process has gone, mostly.
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
            lost = isinstance(cause, _KINDS) or is_lost_worker(cause)
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


_NOTES = (".json", ".jsonl")
_CHECKPOINTS = "checkpoints"
# Files of checkpoints above this size are not copied but linked to.
_LARGE = 2**20


def run_on_workers(function: Callable[[Config], Any], config: Config) -> Any:
    """Calls a mode, on this process or as one of the workers of TF_CONFIG.

    Devices are set up first: TensorFlow wants it before anything else.

    Raises:
      WorkerLost: another process has gone.
    """
    cluster = config.cluster if config.works_together else None
    if cluster is None:
        if config.works_together:
            make_strategy(config)
        return function(config)
    say(
        f"Worker {cluster.index} of {len(cluster.addresses)}"
        f"{', the chief' if cluster.is_chief else ''}; waiting for the others."
    )
    workers = Workers(make_strategy(config))
    with workers.watched(), contextlib.ExitStack() as stack:
        if not cluster.is_chief:
            config = stack.enter_context(_apart(config, cluster.index))
        # Nobody writes before all have looked, or leaves before all are done.
        workers.maximum(0)
        try:
            result = function(config)
        except Interrupted:
            # All are: whoever waits for the chief would miss it.
            workers.maximum(0)
            raise
        workers.maximum(0)
    return result


@contextlib.contextmanager
def _apart(config: Config, index: int) -> Iterator[Config]:
    """The run in a folder of this worker's own."""
    model_dir = os.path.abspath(config.run.model_dir)
    folder = os.path.join(
        tempfile.gettempdir(),
        f"tf_simclr-worker{index}-{zlib.crc32(model_dir.encode()):08x}",
    )
    # What a worker left that was killed.
    shutil.rmtree(folder, ignore_errors=True)
    try:
        picture(model_dir, folder)
        yield dataclasses.replace(
            config,
            run=dataclasses.replace(config.run, model_dir=folder),
            train=dataclasses.replace(config.train, keep_checkpoint_max=1),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def picture(source: str, target: str) -> None:
    """Makes `target` look like the run or pipeline in `source`.

    It holds what a run reads again: notes and checkpoints, the large files of
    which are links.
    """
    os.makedirs(target)
    for folder, _, names in os.walk(source):
        copy = os.path.join(target, os.path.relpath(folder, source))
        of_checkpoints = os.path.basename(folder) == _CHECKPOINTS
        for name in names:
            path = os.path.join(folder, name)
            if not of_checkpoints and not name.endswith(_NOTES):
                continue
            os.makedirs(copy, exist_ok=True)
            if of_checkpoints and os.path.getsize(path) > _LARGE:
                os.symlink(path, os.path.join(copy, name))
            else:
                shutil.copy(path, copy)
