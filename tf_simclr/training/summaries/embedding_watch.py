"""Whether a network still tells images apart while it pretrains."""

import numpy as np
import tensorflow as tf

from tf_simclr.evaluation.embeddings import (
    COLLAPSED_RANK,
    COLLAPSED_STD,
    Spread,
    similarities,
    spread,
)
from tf_simclr.optimizers.schedule import SchedulePlan
from tf_simclr.training.progress import say

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

    def write(self, step: int, first: np.ndarray, second: np.ndarray) -> None:
        """Writes with the default writer.

        Args:
          step: which the embeddings are of.
          first, second: (n, d), of both views of the same images.
        """
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            return
        for name, values in similarities(first, second)._asdict().items():
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
    """The line that tells of a collapse."""
    return (
        f"Collapse at step {step}: the embeddings have a standard deviation of"
        f" {measured.std:.3f} (1: spread evenly; alarm below {COLLAPSED_STD:g})"
        f" and an effective rank of {measured.effective_rank:.1f} out of"
        f" {measured.possible_rank} (alarm below {COLLAPSED_RANK:g}). Lower"
        " --learning_rate, or lengthen --warmup_epochs."
    )
