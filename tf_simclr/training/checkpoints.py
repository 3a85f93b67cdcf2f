"""Saving and restoring the state of a run."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tf_simclr.training.run_dir import RunDirectory


class Checkpoints:
    """The checkpoints of a run: network, optimizer and step.

    Args:
      run_dir: where they lie.
      network, optimizer: what they hold; both with all variables built.
      keep: how many of the latest to keep.
      state: what else they hold, by name.
    """

    def __init__(
        self,
        run_dir: RunDirectory,
        network: tf.Module,
        optimizer: tf.Module,
        keep: int,
        state: Mapping[str, Any] | None = None,
    ):
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._checkpoint = tf.train.Checkpoint(
            network=network,
            optimizer=optimizer,
            step=self.step,
            **(state or {}),
        )
        self._manager = tf.train.CheckpointManager(
            self._checkpoint,
            directory=run_dir.checkpoints,
            max_to_keep=keep,
            checkpoint_name="ckpt",
        )

    def restore_latest(self) -> int:
        """Restores the latest checkpoint; returns its step, or 0."""
        latest = self._manager.latest_checkpoint
        if latest is None:
            return 0
        status = self._checkpoint.restore(latest)
        status.assert_existing_objects_matched()
        return int(self.step.numpy())

    def save(self, step: int) -> str:
        """Saves the state as `ckpt-STEP`; returns its prefix."""
        self.step.assign(step)
        return self._manager.save(checkpoint_number=step)
