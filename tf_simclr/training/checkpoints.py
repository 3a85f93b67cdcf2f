"""Saving and restoring the state of a run."""

import contextlib
import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tf_simclr import manifests
from tf_simclr.errors import UserError
from tf_simclr.files import remove_unfinished
from tf_simclr.progress import say
from tf_simclr.signals import TrainingFailed
from tf_simclr.training.best import (
    USUAL_SELECTION,
    Selection,
    record_score,
    write_best,
)
from tf_simclr.training.failures import reason
from tf_simclr.training.run_dir import RunDirectory

# Parts that version 0.1.0 did not save.
_ADDED = ("memory_ids",)


@dataclasses.dataclass(frozen=True)
class Position:
    """The position of a checkpoint in a run.

    Attributes:
      step: steps behind it.
      summed_from: the step after which `sums` begin.
      sums: {metric: its sum over the steps not yet logged}.
    """

    step: int
    summed_from: int
    sums: Mapping[str, float]


class Checkpoints:
    """The checkpoints of a run: network, optimizer, step and what is summed.

    Args:
      run_dir: where they lie.
      network, optimizer: what they hold; both with all variables built.
      keep: how many of the latest to keep, besides the best.
      state: what else they hold, by name.
      selection: how evaluations are compared.
    """

    def __init__(
        self,
        run_dir: RunDirectory,
        network: tf.Module,
        optimizer: tf.Module,
        keep: int,
        state: Mapping[str, Any] | None = None,
        selection: Selection = USUAL_SELECTION,
    ):
        self._run_dir = run_dir
        self._folder = run_dir.checkpoints
        self._network = network
        self._keep = keep
        self._selection = selection
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._parts = {
            "network": network,
            "optimizer": optimizer,
            "step": self._step,
            **(state or {}),
        }
        self._checkpoint = tf.train.Checkpoint(**self._parts)

    def restore(self) -> Position | None:
        """Restores the newest checkpoint that is whole.

        Says which newer ones it passed over, and why.

        Returns:
          Where it stands; None without any checkpoint.

        Raises:
          UserError: there are checkpoints, but none is whole.
        """
        choice = manifests.newest_whole(self._folder)
        kept = ""
        if choice.step is not None:
            kept = f" Going back to ckpt-{choice.step}."
        for why in choice.passed_over:
            say(f"{self._folder}: {why}.{kept}")
        if choice.step is None:
            if self._has_damaged():
                raise UserError(
                    f"No checkpoint in {self._folder} can be used (see above):"
                    " put its files back, or remove the folder to start again."
                )
            return None
        path = manifests.prefix(self._folder, choice.step)
        if not choice.has_manifest:
            say(f"{path} has no manifest, as earlier versions wrote it: taken.")
            manifests.write_manifest(self._folder, choice.step)
        self._read(path)
        manifest = manifests.read_manifest(self._folder, choice.step)
        self._judge(choice.step)
        return Position(manifest.step, manifest.summed_from, manifest.sums)

    def _read(self, path: str) -> None:
        """Reads a checkpoint.

        A part of `_ADDED` that it lacks stays as it is.

        Raises:
          AssertionError: it lacks anything else.
        """
        keys = tf.train.load_checkpoint(path).get_variable_to_shape_map()
        stored = {key.partition("/")[0] for key in keys}
        parts = {
            name: part
            for name, part in self._parts.items()
            if name in stored or name not in _ADDED
        }
        missing = ", ".join(sorted(self._parts.keys() - parts.keys()))
        if missing:
            say(f"{path} was saved without {missing}, which begins anew.")
        status = tf.train.Checkpoint(**parts).read(path)
        status.assert_existing_objects_matched()

    def latest(self) -> str:
        """Words for the last checkpoint, for a message."""
        step = None
        if os.path.isdir(self._folder):
            saved = (m.step for m in manifests.whole(self._folder))
            step = max(saved, default=None)
        if step is None:
            return "no checkpoint had been saved yet"
        path = manifests.prefix(self._folder, step)
        return f"the last checkpoint, {path}, is untouched"

    def finite(self) -> bool:
        """True if all weights are finite."""
        return all(
            bool(tf.reduce_all(tf.math.is_finite(variable)))
            for variable in self._network.variables
            if variable.dtype.is_floating
        )

    def save(
        self,
        at: Position,
        score: Mapping[str, float],
        *,
        planned: bool = True,
    ) -> None:
        """Saves the state as `ckpt-STEP` and reads it back.

        Args:
          at: where the run stands.
          score: the metrics of an evaluation at this step, if there was one.
          planned: whether an undisturbed run saves here, too.

        Raises:
          TrainingFailed: it cannot be written; the ones before are kept.
        """
        self._step.assign(at.step)
        try:
            os.makedirs(self._folder, exist_ok=True)
            manifests.remove_checkpoint(self._folder, at.step)
            path = manifests.prefix(self._folder, at.step)
            _read_back(self._checkpoint.write(path))
            manifests.write_manifest(
                self._folder,
                at.step,
                summed_from=at.summed_from,
                sums=at.sums,
                score=self._selection.comparable(score),
                scored_on=self._selection.scored_on,
                planned=planned,
            )
        except (tf.errors.OpError, OSError) as error:
            with contextlib.suppress(OSError):
                manifests.remove_checkpoint(self._folder, at.step)
            raise TrainingFailed(
                f"The checkpoint of step {at.step} cannot be saved:"
                f" {reason(error)}; {self.latest()}. Make room, then the same"
                " command continues from there."
            ) from error
        self._tidy(at.step)

    def _tidy(self, step: int) -> None:
        """Removes the checkpoints that are not kept at `step`, later ones
        included."""
        manifests.remove_all_but(self._folder, self._judge(step))
        remove_unfinished(self._folder)

    def _judge(self, step: int) -> list[int]:
        """Notes which checkpoints there are at `step` and which is the best;
        returns the steps of those to keep."""
        write_best(self._run_dir)
        kept = manifests.steps_to_keep(self._folder, step, self._keep)
        manifests.write_state_file(self._folder, kept)
        return kept

    def score(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds an evaluation to the checkpoint of `step`, which is there."""
        record_score(self._run_dir, step, metrics, self._selection)
        self._tidy(step)

    def improves(self, score: Mapping[str, float]) -> bool:
        """True if an evaluation is better than that of every checkpoint with a
        score of the same images."""
        new = self._selection.comparable(score)
        if not new or not os.path.isdir(self._folder):
            return bool(new)
        kind = manifests.kind_of_score(new, self._selection.scored_on)
        best = manifests.best_scored(self._folder, kind)
        return best is None or max(new.values()) > max(best.score.values())

    def _has_damaged(self) -> bool:
        return os.path.isdir(self._folder) and bool(
            manifests.manifest_steps(self._folder)
        )


def read_network(run_dir: RunDirectory, step: int, network: tf.Module) -> None:
    """Reads the weights of the checkpoint of `step`, and nothing else of it."""
    path = manifests.prefix(run_dir.checkpoints, step)
    status = tf.train.Checkpoint(network=network).read(path)
    status.assert_existing_objects_matched()


def _read_back(path: str) -> None:
    """Reads all tensors, whose checksums TensorFlow compares then."""
    reader = tf.train.load_checkpoint(path)
    for key in reader.get_variable_to_shape_map():
        reader.get_tensor(key)
