"""Batches of several processes: who makes which, and their way to the devices.

A step's batch has one share per replica. Share number n, counted over the
whole run, is a function of the seed and n alone: whoever makes it, it is the
same.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_simclr.data.batches import TrainingBatches
from tf_simclr.data.order import in_order
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import RecordPixels
from tf_simclr.errors import UserError
from tf_simclr.training.devices import device_kinds

# Shares that a process makes at the same time.
_AT_ONCE = 8


def distributed_iterator(
    batches: TrainingBatches,
    batch_size: int,
    strategy: tf.distribute.Strategy,
    ranges: Sequence[tuple[int, int]],
    data_service: str | None = None,
    *,
    num_micro_batches: int = 1,
) -> tf.data.Iterator:
    """The training batches of some steps, on the devices.

    Args:
      batches: the whole run's.
      batch_size: images per step, over all replicas.
      strategy: the devices.
      ranges: (first, last + 1) of the batches' numbers, ascending.
      data_service: `grpc://HOST:PORT` of a tf.data service whose workers make
        the batches; None: each machine makes its own.
      num_micro_batches: parts in which a replica takes its share; above 1,
        what the iterator yields is (num_micro_batches, images of a part, ...).

    Raises:
      UserError: a data service cannot make these batches.
    """
    replicas = strategy.num_replicas_in_sync
    shares = _Shares(
        batches,
        size=batch_size // replicas,
        num_micro_batches=num_micro_batches,
        in_all=ranges[-1][1] * replicas,
    )

    # Views are made without AutoGraph, too (see `make_global_step`).
    @tf.autograph.experimental.do_not_convert
    def per_machine(context: tf.distribute.InputContext) -> tf.data.Dataset:
        if context.num_input_pipelines == 1 and data_service is None:
            first, *others = (
                shares.dataset(start * replicas, stop * replicas)
                for start, stop in ranges
            )
            for other in others:
                first = first.concatenate(other)
            return first if num_micro_batches == 1 else first.prefetch(1)
        turns = _Turns(shares, ranges, context)
        if data_service is None:
            return turns.made_here()
        return turns.made_by(data_service)

    if data_service is None and _is_one_cpu(strategy):
        # Nothing to hand on. What does it starts iterators of its own, whose
        # tuning threads cannot be switched off (see `_with_threads`).
        return iter(per_machine(tf.distribute.InputContext()))
    return iter(strategy.distribute_datasets_from_function(per_machine))


def check_servable(images: ImageSet) -> None:
    """Refuses what only this process can read.

    Raises:
      UserError: images in TFRecord shards, which are read by Python.
    """
    if isinstance(images.pixels, RecordPixels):
        raise UserError(
            "--data_service does not read TFRecord shards: take a folder of"
            " images or a .csv list, or leave it out. Received:"
            f" {len(images)} images in {len(images.pixels.shards)} shards"
        )


def _is_one_cpu(strategy: tf.distribute.Strategy) -> bool:
    # Of several machines, each has its own devices only.
    alone = strategy.num_replicas_in_sync == 1
    return alone and device_kinds(strategy) == {"CPU"}


@dataclasses.dataclass(frozen=True)
class _Shares:
    """Shares of the batches, one replica after another.

    Attributes:
      batches: the whole run's.
      size: images of a share.
      num_micro_batches: in how many parts a share is made and taken.
      in_all: shares of the whole run.
    """

    batches: TrainingBatches
    size: int
    num_micro_batches: int
    in_all: int

    def dataset(
        self, start: int | tf.Tensor, stop: int | tf.Tensor
    ) -> tf.data.Dataset:
        """The shares start ... stop - 1."""
        # Made part by part, so that only the views of a whole batch, and not
        # what leads to them, take its room.
        count = self.num_micro_batches
        parts = self.batches.dataset(
            self.size // count,
            start * count,
            stop * count,
            self.in_all * count,
        )
        if count == 1:
            return parts
        if all(s.shape.is_fully_defined() for s in parts.element_spec.values()):
            return parts.batch(count)
        # Windows of images, as large as the largest of a part.
        return parts.padded_batch(count)


class _Turns:
    """The shares that one machine's replicas take, in their order.

    The last range is taken to have no end: strategies over several machines
    would otherwise ask each other in every step whether there is a next one,
    and a data service would hold its last batches back.

    Args:
      shares: those of all machines.
      ranges: (first, last + 1) of the batches' numbers.
      context: this machine's place among the others.
    """

    def __init__(
        self,
        shares: _Shares,
        ranges: Sequence[tuple[int, int]],
        context: tf.distribute.InputContext,
    ):
        self._shares = shares
        self._replicas = context.num_replicas_in_sync
        self._here = self._replicas // context.num_input_pipelines
        self._first = context.input_pipeline_id * self._here
        starts, stops = np.array(ranges, np.int64).T
        ends = np.cumsum(stops - starts)
        # Of the i-th step of a range, the number is i + its offset.
        self._offsets = starts - (ends - (stops - starts))
        self._ends = ends[:-1]
        # Options of inner datasets do not count: they are given once more.
        self._options = shares.dataset(0, 1).options()

    def made_here(self) -> tf.data.Dataset:
        """Made by this process."""
        shares = tf.data.Dataset.counter().interleave(
            self._share,
            cycle_length=_AT_ONCE,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        endless = tf.data.experimental.assert_cardinality(
            tf.data.INFINITE_CARDINALITY
        )
        return shares.apply(endless).with_options(self._options)

    def made_by(self, data_service: str) -> tf.data.Dataset:
        """Made by the workers of a data service; what gets lost with a worker
        is made by this process."""
        service = tf.data.experimental.service

        def numbered(index: tf.Tensor) -> tf.data.Dataset:
            return self._share(index).map(lambda batch: (index, batch))

        # A range, since the service deals out what can be split.
        shares = tf.data.Dataset.range(tf.int64.max).interleave(
            numbered,
            cycle_length=_AT_ONCE,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=False,
        )
        try:
            arriving = shares.with_options(self._options).apply(
                service.distribute(service.ShardingPolicy.DYNAMIC, data_service)
            )
        except (tf.errors.OpError, ValueError) as error:
            raise UserError(
                "A data service cannot prepare these images (of those held in"
                " memory it takes up to 2 GB): leave --data_service out."
                f" Received: {' '.join(str(error).split())[:300]}"
            ) from error

        def compute(index: tf.Tensor) -> dict[str, tf.Tensor]:
            return self._share(index).get_single_element()

        return in_order(arriving, compute).prefetch(tf.data.AUTOTUNE)

    # Nothing in it is control flow that depends on tensors.
    @tf.autograph.experimental.do_not_convert
    def _share(self, index: tf.Tensor) -> tf.data.Dataset:
        """The index-th share that this machine takes, as a dataset of one."""
        step = index // self._here
        if len(self._ends):
            which = tf.searchsorted(self._ends, [step], side="right")[0]
            step += tf.gather(self._offsets, which)
        else:
            step += self._offsets[0]
        number = step * self._replicas + self._first + index % self._here
        return self._shares.dataset(number, number + 1)
