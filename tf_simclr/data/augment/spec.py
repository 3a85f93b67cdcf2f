"""Views of an image in a batch: their number, drawing and making."""

import dataclasses

import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.augment.color import from_planes, to_planes
from tf_simclr.data.augment.compiled import Finish, can_compile, compiled_finish
from tf_simclr.data.augment.keys import view_keys
from tf_simclr.data.augment.make import (
    draw,
    draw_boxes,
    finish,
    make_views,
    move,
)


@dataclasses.dataclass(frozen=True)
class WorkLimits:
    """Limits beyond which views are made in another way; no pixel depends on
    it.

    Attributes:
      compile_pixels: compiling pays from about so many pixels of views.
      share: images of a batch in memory that are worked on together: few
        enough for the caches, and many enough to keep all threads busy.
      window: what is decoded of a file is resized before it leaves the host
        where it is longer than this many views.
    """

    compile_pixels: int = 2**26
    share: int = 128
    window: float = 2.5


@dataclasses.dataclass(frozen=True)
class ViewSpec:
    """The views of every image of a batch.

    Attributes:
      augment: which parts of the augmentation are on, and how strong.
      image_size: S, the side of a view.
      seed: the run's seed.
      names: one name for each view of an image.
      limits: how they are made.
      by_view: the augmentation of each view, where they differ; empty: all
        are made as `augment` says.
    """

    augment: AugmentConfig
    image_size: int
    seed: int
    names: tuple[str, ...]
    limits: WorkLimits = WorkLimits()
    by_view: tuple[AugmentConfig, ...] = ()

    @property
    def augments(self) -> tuple[AugmentConfig, ...]:
        """The augmentation of each view."""
        return self.by_view or (self.augment,) * len(self.names)

    @property
    def lends_blur(self) -> bool:
        """True if a batch's first image may lend all others its blur's
        width."""
        return any(a.blur_sigma == "per_batch" for a in self.augments)

    def boxes(
        self,
        epochs: tf.Tensor,
        ids: tf.Tensor,
        heights: tf.Tensor,
        widths: tf.Tensor,
    ) -> tf.Tensor:
        """Draws the boxes that the views of each image are cropped to.

        Args:
          epochs: int64 (B,), the pass over the data an image belongs to.
          ids: int64 (B,), which image of the data set each one is.
          heights, widths: (B,), the images' sizes in pixels.

        Returns:
          float32 (B, V, 4): y, x, height, width, for V views.
        """
        boxes = [
            draw_boxes(keys, heights, widths, augment.crop_min_area)
            for keys, augment in self._keyed(epochs, ids)
        ]
        return tf.stack(boxes, axis=1)

    def draws(self, epochs: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """Draws a batch's other random numbers: float32 (B, V, N)."""
        draws = [draw(keys, a) for keys, a in self._keyed(epochs, ids)]
        # Of a view with fewer parts, zeros follow that nothing reads.
        widest = max(each.shape[1] for each in draws)
        draws = [
            tf.pad(each, [[0, 0], [0, widest - each.shape[1]]])
            if each.shape[1] < widest
            else each
            for each in draws
        ]
        return tf.stack(draws, axis=1)

    def make(
        self, images: tf.Tensor, boxes: tf.Tensor, draws: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Makes the views of a batch in batched operations.

        Args:
          images: (B, H, W, 3), uint8 or float32 in [0, 1].
          boxes: float32 (B, V, 4).
          draws: float32 (B, V, N).

        Returns:
          {name: float32 (B, S, S, 3) in [0, 1]}.
        """
        planes = to_planes(images)
        made = {}
        for view, name in enumerate(self.names):
            views = make_views(
                planes,
                boxes[:, view],
                draws[:, view],
                self.augments[view],
                self.image_size,
            )
            made[name] = tf.ensure_shape(
                views, (*boxes.shape[:1], *views.shape[1:])
            )
        return made

    def compiles(self, images: int) -> bool:
        """True if XLA finishes the views of a run of so many images."""
        pixels = images * len(self.names) * self.image_size**2
        return pixels >= self.limits.compile_pixels and can_compile()

    def finishes(self, *, compiles: bool, of_crops: bool) -> list[Finish]:
        """For each view all that follows the crop.

        Args:
          compiles: whether XLA compiles it, as `compiles` says. A run that
            resumes must take the same way.
          of_crops: whether the function takes resized crops, or planes that
            `place` has moved already.

        Returns:
          Functions of crops float32 (B, S, S, 3), white being 255, or planes
          float32 (B, 3, S, S), white being 1, B known, and draws (B, N). They
          return views float32 (B, S, S, 3) in [0, 1].
        """
        made: dict[AugmentConfig, Finish] = {}
        for config in self.augments:
            if config not in made:
                made[config] = _finish(config, compiles, of_crops=of_crops)
        return [made[config] for config in self.augments]

    def _keyed(
        self, epochs: tf.Tensor, ids: tf.Tensor
    ) -> list[tuple[tf.Tensor, AugmentConfig]]:
        """The keys (B,) of each view, and how it is made."""
        return [
            (view_keys(self.seed, epochs, ids, view), augment)
            for view, augment in enumerate(self.augments)
        ]


def _finish(config: AugmentConfig, compiles: bool, *, of_crops: bool) -> Finish:
    """All that follows the crop of a view."""
    if compiles and of_crops and not config.has_affine:
        return compiled_finish(config, of_crops=True)

    def in_operations(planes: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        return from_planes(finish(planes, draws, config))

    def move_and_finish(crops: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        planes = move(to_planes(crops / 255), draws, config)
        return finish_planes(planes, draws)

    finish_planes = in_operations
    if compiles:
        finish_planes = compiled_finish(config, of_crops=False)
    return move_and_finish if of_crops else finish_planes
