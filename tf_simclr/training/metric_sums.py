"""Sums of metrics that are carried from step to step within the graph."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf


class MetricSums(NamedTuple):
    """Metrics on their way to the next log line.

    The first step with a value that is not finite is the last one counted:
    it can be named exactly though nobody looks before many more steps.

    Attributes:
      step: int64 scalar, the step counted last.
      sums: float32 (n,), the metrics' sums since the last log line.
      last: float32 (n,), the metrics of the step counted last.
      before: float32 (n,), those of the step before it.
      finite: bool scalar, whether all of `last` is finite.
    """

    step: tf.Tensor
    sums: tf.Tensor
    last: tf.Tensor
    before: tf.Tensor
    finite: tf.Tensor


def start_sums(step: int, sums: Sequence[float]) -> MetricSums:
    """Begins after `step` steps with the given sums."""
    zeros = tf.zeros([len(sums)])
    return MetricSums(
        step=tf.constant(step, tf.int64),
        sums=tf.constant(sums, tf.float32),
        last=zeros,
        before=zeros,
        finite=tf.constant(True),
    )


def count_step(summed: MetricSums, metrics: tf.Tensor) -> MetricSums:
    """Counts one more step, unless an earlier one was not finite.

    Args:
      summed: the state before the step.
      metrics: float32 (n,), the step's.
    """
    counted = MetricSums(
        step=summed.step + 1,
        sums=summed.sums + metrics,
        last=metrics,
        before=summed.last,
        finite=tf.reduce_all(tf.math.is_finite(metrics)),
    )
    return MetricSums(
        *(
            tf.where(summed.finite, new, old)
            for new, old in zip(counted, summed, strict=True)
        )
    )


def without_sums(summed: MetricSums) -> MetricSums:
    """The same, once its sums have been logged."""
    return summed._replace(sums=tf.zeros_like(summed.sums))


def means(
    summed: MetricSums,
    names: Sequence[str],
    since: int,
    counted_by: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """The metrics' means over the steps after `since`, or over what they count.

    Args:
      summed: what the steps summed up.
      names: of the metrics.
      since: the step before the first one.
      counted_by: {metric: the one that counts it}, for metrics of some images
        or some steps only: steps hand over a sum and how many it is of. Such a
        metric is left out where there was nothing to measure; the count
        always is.
    """
    counted_by = counted_by or {}
    sums = named(summed.sums, names)
    steps = dict.fromkeys(names, int(summed.step) - since)
    steps |= {name: sums[count] for name, count in counted_by.items()}
    return {
        name: sums[name] / steps[name]
        for name in names
        if name not in counted_by.values() and steps[name] > 0
    }


def named(values: tf.Tensor, names: Sequence[str]) -> dict[str, float]:
    """{name: value} of a vector (n,)."""
    return dict(zip(names, map(float, values.numpy()), strict=True))


def in_order(
    values: Mapping[str, float],
    names: Sequence[str],
    counted_by: Mapping[str, str] | None = None,
) -> list[float]:
    """The values of `names`, 0 where there is none.

    Args:
      values: sums of metrics.
      names: of the metrics.
      counted_by: as in `means`. Without its count, as earlier versions counted
        something else, a sum begins anew.
    """
    uncounted = {
        name
        for name, count in (counted_by or {}).items()
        if count not in values
    }
    return [
        0.0 if name in uncounted else values.get(name, 0.0) for name in names
    ]
