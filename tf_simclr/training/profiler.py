"""Recording a few steps with TensorFlow's profiler."""

import tensorflow as tf

from tf_simclr.config.train import TrainConfig


class StepProfiler:
    """Profiles the steps of `--profile_steps`; does nothing without it.

    Args:
      config: tells which steps.
      folder: the profile goes to `plugins/profile` in it.
    """

    def __init__(self, config: TrainConfig, folder: str):
        self._start, self._stop = config.profiled_steps or (0, 0)
        self._folder = folder
        self._running = False

    def __enter__(self) -> "StepProfiler":
        return self

    def __exit__(self, *_) -> None:
        self._end()

    def room(self, step: int) -> float:
        """Number of steps until the profiler starts or stops."""
        upcoming = [s - step for s in (self._start, self._stop) if s > step]
        return min(upcoming, default=float("inf"))

    def at(self, step: int) -> None:
        """Starts or stops where `step` steps have been taken."""
        if self._start <= step < self._stop:
            if not self._running:
                tf.profiler.experimental.start(self._folder)
                self._running = True
        else:
            self._end()

    def _end(self) -> None:
        if self._running:
            tf.profiler.experimental.stop()
            self._running = False
