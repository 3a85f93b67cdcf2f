"""Learning rate: batch scaling, linear warm-up, cosine decay."""

import dataclasses
import math

import tensorflow as tf
import tf_keras as keras

from tf_simclr.config.optimizer import OptimizerConfig


def warmup_cosine(
    step: tf.Tensor, peak: float, warmup_steps: int, total_steps: int
) -> tf.Tensor:
    """Linear warm-up to `peak`, then a cosine to 0 without restarts.

    Args:
      step: scalar or tensor, counted from 0.
      peak: learning rate after the warm-up.
      warmup_steps: length of the warm-up; 0 starts at the peak.
      total_steps: step at which the cosine reaches 0.

    Returns:
      float32, of the shape of `step`.
    """
    step = tf.cast(step, tf.float32)
    decay_steps = max(total_steps - warmup_steps, 1)
    progress = tf.clip_by_value((step - warmup_steps) / decay_steps, 0.0, 1.0)
    decayed = peak * 0.5 * (1.0 + tf.cos(math.pi * progress))
    warming = peak * step / max(warmup_steps, 1)
    return tf.where(step < warmup_steps, warming, decayed)


class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """`warmup_cosine` as a Keras schedule."""

    def __init__(self, peak: float, warmup_steps: int, total_steps: int):
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        return warmup_cosine(
            step, self.peak, self.warmup_steps, self.total_steps
        )

    def get_config(self) -> dict:
        """The arguments that make it again."""
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
        }


@dataclasses.dataclass(frozen=True)
class SchedulePlan:
    """The schedule of a run, with the sum that led to its peak.

    Attributes:
      peak: learning rate after scaling.
      equation: how the peak comes about, for the log.
      warmup_steps: length of the warm-up.
      total_steps: number of steps to train for.
    """

    peak: float
    equation: str
    warmup_steps: int
    total_steps: int

    def schedule(self) -> WarmupCosine:
        """The learning rate of each step."""
        return WarmupCosine(self.peak, self.warmup_steps, self.total_steps)

    @property
    def notice(self) -> str:
        """A sentence about a warm-up as long as the run; '' for a shorter
        one."""
        # Steps count from 0: one that ends at the last step leaves no decay.
        if not 0 < self.warmup_steps >= self.total_steps - 1:
            return ""
        return (
            f"the warm-up of {self.warmup_steps} steps is as long as the run of"
            f" {self.total_steps} steps, in which the learning rate only rises:"
            " give a shorter --warmup_epochs"
        )


def plan_schedule(
    optimizer: OptimizerConfig,
    num_examples: int,
    train_epochs: int,
    train_steps: int = 0,
) -> SchedulePlan:
    """Steps and peak learning rate, by the original release's formulas.

    Args:
      optimizer: learning rate, its scaling, batch size and warm-up.
      num_examples: images in the training set.
      train_epochs: epochs to train for.
      train_steps: overrides `train_epochs` where above 0.
    """
    batch = optimizer.train_batch_size
    rate = optimizer.learning_rate
    peak, equation = {
        "linear": (rate * batch / 256.0, f"{rate:g} x {batch}/256 (linear)"),
        "sqrt": (rate * math.sqrt(batch), f"{rate:g} x sqrt({batch})"),
        "none": (rate, f"{rate:g} (not scaled)"),
    }[optimizer.learning_rate_scaling]
    total = train_steps or num_examples * train_epochs // batch + 1
    warmup = int(round(optimizer.warmup_epochs * num_examples // batch))
    return SchedulePlan(peak, f"{peak:.4g} = {equation}", warmup, total)
