"""Pictures in TensorBoard: views, embeddings and scores."""

import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tf_simclr.data.batches import TrainingBatches
from tf_simclr.evaluation.embeddings import (
    COLLAPSED_RANK,
    COLLAPSED_STD,
    Spread,
    similarities,
    spread,
)
from tf_simclr.metrics import CHANCE, EVALUATION, Chart, chance_charts, chart_of
from tf_simclr.optimizers.schedule import SchedulePlan
from tf_simclr.progress import say

# Images in the grid of augmented views, and the largest side of each: event
# files stay small.
SHOWN = 8
SIDE = 128


def sample_views(
    batches: TrainingBatches, batch_size: int = SHOWN, steps: int = 1
) -> tf.Tensor:
    """The views of the first images that a run trains on.

    Args:
      batches: the training data.
      batch_size, steps: of the run; they change no view.

    Returns:
      float32 (rows, n, s, s, 3) in [0, 1]: one row for each view that an
      image has. n is at most 8, s at most 128.
    """
    batch = batches.sample(SHOWN, batch_size, steps)
    return tf.stack([_shrunk(batch[name]) for name in batches.view_names])


def write_views(batches: TrainingBatches, batch_size: int, steps: int) -> None:
    """Writes a grid of training views, with the default writer.

    One column per image; where it has two views, the second is below the
    first.

    Args:
      batches: the training data.
      batch_size: images that are made together, of the run.
      steps: of the run.
    """
    views = sample_views(batches, batch_size, steps)
    rows = [tf.concat(tf.unstack(row), axis=1) for row in views]
    grid = tf.concat(rows, axis=0)
    tf.summary.image("views", grid[tf.newaxis], step=0)


def _shrunk(images: tf.Tensor) -> tf.Tensor:
    if images.shape[1] <= SIDE:
        return images
    smaller = tf.image.resize(images, [SIDE, SIDE], antialias=True)
    return tf.clip_by_value(smaller, 0.0, 1.0)


# A network that has only started may well look collapsed.
_ALARM_FROM = 0.05


class EmbeddingWatch:
    """Shows similarities and spread of embeddings; says once if they collapse.

    Args:
      plan: the length of the run and of its warm-up, in which it says nothing.
    """

    def __init__(self, plan: SchedulePlan):
        self._alarm_from = max(
            plan.warmup_steps, _ALARM_FROM * plan.total_steps
        )
        self._alarmed = False

    def write(
        self,
        step: int,
        first: np.ndarray,
        second: np.ndarray,
        ids: np.ndarray | None = None,
    ) -> None:
        """Writes with the default writer.

        Args:
          step: which the embeddings are of.
          first, second: (n, d), of both views of the same images.
          ids: equal for equal images, as in `similarities`.
        """
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            return
        found = similarities(first, second, ids)._asdict()
        for name, values in found.items():
            if not len(values):
                continue
            tf.summary.histogram(f"similarity/{name}", values, step)
            tf.summary.scalar(f"similarity/mean_{name}", values.mean(), step)
        measured = spread(first)
        tf.summary.scalar("embedding/std", measured.std, step)
        tf.summary.scalar(
            "embedding/effective_rank", measured.effective_rank, step
        )
        if measured.collapsed and step > self._alarm_from and not self._alarmed:
            self._alarmed = True
            say(collapse_message(step, measured))


def collapse_message(step: int, measured: Spread) -> str:
    """A line that reports collapsed embeddings."""
    return (
        f"Collapse at step {step}: the embeddings have a standard deviation of"
        f" {measured.std:.3f} (1: spread evenly; alarm below {COLLAPSED_STD:g})"
        f" and an effective rank of {measured.effective_rank:.1f} out of"
        f" {measured.possible_rank} (alarm below {COLLAPSED_RANK:g}). Lower"
        " --learning_rate, or lengthen --warmup_epochs."
    )


def write_final_evaluation(
    model_dir: str,
    step: int,
    scores: Mapping[str, float],
    chance: Mapping[str, float],
    pictures: Mapping[str, bytes],
    text: str,
) -> None:
    """Adds scores, pictures and a text to a run's curves.

    Args:
      model_dir: of the run.
      step: which the scores are of.
      scores: by the names of `metrics.jsonl`.
      chance: what a network that knows nothing scores, by these names.
      pictures: {title: PNG}.
      text: markdown that sums the run up; '' for none.
    """
    charts = {
        chart_of(name): value
        for name, value in scores.items()
        if name != "global_step"
    }
    for tag, level in chance_charts(chance).items():
        if tag in {chart.tag for chart in charts}:
            charts[Chart(CHANCE, tag)] = level
    for run in sorted({EVALUATION} | {chart.run for chart in charts}):
        writer = tf.summary.create_file_writer(os.path.join(model_dir, run))
        with writer.as_default(step):
            for chart, value in charts.items():
                if chart.run == run:
                    tf.summary.scalar(chart.tag, value)
            if run == EVALUATION:
                for title, data in pictures.items():
                    image = tf.io.decode_png(data, channels=3)
                    tf.summary.image(title, image[tf.newaxis])
                if text:
                    tf.summary.text("card", text)
        writer.close()
