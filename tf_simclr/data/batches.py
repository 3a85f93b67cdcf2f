"""Batches of views and labels, as `tf.data` datasets."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.array_batches import (
    Batch,
    array_batches,
    decoded_images,
    is_batched,
    share_loader,
    share_size,
    unmade_array_batches,
)
from tf_simclr.data.augment.policy import evaluation_image, evaluation_view
from tf_simclr.data.augment.spec import ViewSpec, WorkLimits
from tf_simclr.data.file_batches import file_batches, unmade_file_batches
from tf_simclr.data.order import (
    Locate,
    batches_of,
    both_kinds,
    every_class,
    every_image,
)
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.threads import with_threads

# Batches made ahead of the step that takes them.
_AHEAD = 2

# Nothing in these pipelines needs AutoGraph, whose reading of every function's
# source takes longer than tracing does.
_without_autograph = tf.autograph.experimental.do_not_convert


@dataclasses.dataclass(frozen=True)
class TrainingBatches:
    """The endless, resumable stream of training batches.

    Attributes:
      images: what to train on.
      augment: how views are made, and where.
      image_size: side of a view.
      seed: keys order and augmentation.
      contrastive: whether a batch holds two views (`view1`, `view2`) or one
        (`image`); both kinds hold `label`, and `index`, which tells equal
        images apart from different ones.
      limits: how views are made.
      balanced: whether classes come equally often, instead of images.
      unlabeled_ratio: unlabelled images for each labelled one, which then come
        as in `both_kinds`; 0: all images come equally often.
      by_view: {name of a view: how it is made}, where views are made in
        different ways; empty: as `contrastive` says.
    """

    images: ImageSet
    augment: AugmentConfig
    image_size: int
    seed: int
    contrastive: bool
    limits: WorkLimits = WorkLimits()
    balanced: bool = False
    unlabeled_ratio: int = 0
    by_view: Mapping[str, AugmentConfig] = dataclasses.field(
        default_factory=dict
    )
    _loaders: dict[tuple[int, bool], Callable] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @_without_autograph
    def dataset(
        self,
        batch_size: int,
        start_step: int | tf.Tensor,
        stop_step: int | tf.Tensor,
        in_all: int | None = None,
    ) -> tf.data.Dataset:
        """The host's part of the steps start_step ... stop_step - 1.

        `views` turns it into what a step takes. It depends on seed, step and
        batch size alone.

        Args:
          batch_size: images per batch.
          start_step, stop_step: int64 tensors where a graph decides them.
          in_all: steps of the whole run, which decide how views are made (see
            `ViewSpec.finish`); None: `stop_step`.

        Returns:
          A data set of dicts: finished views float32 (batch_size, S, S, 3), or
          what the device makes them from; `label` int32 (batch_size,), and
          `index` int64 (batch_size,).
        """
        images, spec = self.images, self._spec
        total = batch_size * (stop_step if in_all is None else in_all)
        on_device = self.augment.augment_on == "device"
        if is_batched(images, self.image_size):
            steps = start_step, stop_step
            if on_device:
                batches = unmade_array_batches(
                    images, self._locate(), spec, batch_size, *steps
                )
            else:
                load = self._loader(share_size(spec, batch_size), total)
                batches = array_batches(
                    load, self._locate(), spec, batch_size, *steps
                )
        else:
            order = batches_of(
                self._locate(),
                batch_size,
                start_step * batch_size,
                stop_step * batch_size,
            )
            if on_device:
                batches = unmade_file_batches(images, spec, order, batch_size)
            else:
                batches = file_batches(images, spec, order, batch_size, total)
        return with_threads(batches.prefetch(_AHEAD))

    def views(self, batch: Batch) -> Batch:
        """The views of a batch of `dataset`, or of a part of one, for use
        within the step.

        Returns:
          Views float32 (batch_size, image_size, image_size, 3) in [0, 1],
          `label` int32 (batch_size,), -1 where unknown, and `index` int64
          (batch_size,).
        """
        if self.augment.augment_on != "device":
            return batch
        spec = self._spec
        made = spec.make(batch["images"], batch["boxes"], batch["draws"])
        return {**made, "label": batch["label"], "index": batch["index"]}

    def sample(self, count: int, batch_size: int, steps: int) -> Batch:
        """The finished views of the first images that a run trains on.

        Args:
          count: how many images.
          batch_size, steps: of the run, whose traced functions are used again
            where that costs nothing.

        Returns:
          As `views`, of at most `count` images.
        """
        count, size = min(count, len(self.images)), 0
        if is_batched(self.images, self.image_size):
            size = share_size(self._spec, batch_size)
        if self.augment.augment_on != "device" and (
            count <= size <= self.limits.share
        ):
            load = self._loader(size, batch_size * steps)
            places = self._locate()(tf.range(size, dtype=tf.int64))
            # TensorFlow would warn that each run of a process has its own.
            batch = load.get_concrete_function()(*places)
        else:
            batch = self.views(next(iter(self.dataset(count, 0, 1))))
        return {name: value[:count] for name, value in batch.items()}

    def _locate(self) -> Locate:
        if self.unlabeled_ratio:
            return both_kinds(
                self.images.labels,
                self.seed,
                self.unlabeled_ratio,
                self.balanced,
            )
        if self.balanced:
            return every_class(self.images.labels, self.seed)
        return every_image(len(self.images), self.seed)

    def _loader(self, share: int, total: int) -> Callable:
        key = share, self._spec.compiles(total)
        if key not in self._loaders:
            self._loaders[key] = share_loader(
                self.images, self._spec, share, total
            )
        return self._loaders[key]

    @property
    def view_names(self) -> tuple[str, ...]:
        """The views of an image."""
        if self.by_view:
            return tuple(self.by_view)
        return ("view1", "view2") if self.contrastive else ("image",)

    @property
    def _spec(self) -> ViewSpec:
        return ViewSpec(
            self.augment,
            self.image_size,
            self.seed,
            self.view_names,
            self.limits,
            tuple(self.by_view.values()),
        )


@_without_autograph
def evaluation_batches(
    images: ImageSet,
    batch_size: int,
    image_size: int,
    indices: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Every image once, in order, without augmentation; the last batch may
    be smaller.

    Args:
      images: the split.
      batch_size: images at a time.
      image_size: side of the view.
      indices: which images instead, in which order; one may come again.

    Yields:
      `image` float32 (n, image_size, image_size, 3), `label` int32 (n,).
    """
    if indices is not None:
        images = images.take(indices)
    if is_batched(images, image_size):
        batches = (
            tf.data.Dataset.from_tensor_slices(
                {"image": images.pixels.array, "label": images.labels}
            )
            .batch(batch_size)
            .map(
                lambda batch: {
                    **batch,
                    "image": evaluation_view(
                        batch["image"], image_size, images.framing
                    ),
                },
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        )
    else:
        views = decoded_images(images, image_size).map(
            lambda image: evaluation_image(image, image_size, images.framing),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        labels = tf.data.Dataset.from_tensor_slices(images.labels)
        batches = tf.data.Dataset.zip({"image": views, "label": labels}).batch(
            batch_size
        )
    return with_threads(batches.prefetch(_AHEAD))
