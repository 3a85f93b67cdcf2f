"""Which views of an image a batch holds, and how they are drawn and made."""

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
    """Where views are better made in another way; no pixel depends on it.

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
    """

    augment: AugmentConfig
    image_size: int
    seed: int
    names: tuple[str, ...]
    limits: WorkLimits = WorkLimits()

    def boxes(
        self,
        epochs: tf.Tensor,
        ids: tf.Tensor,
        heights: tf.Tensor,
        widths: tf.Tensor,
    ) -> tf.Tensor:
        """Where the views of each image are cropped.

        Args:
          epochs: int64 (B,), the pass over the data an image belongs to.
          ids: int64 (B,), which image of the data set each one is.
          heights, widths: (B,), the images' sizes in pixels.

        Returns:
          float32 (B, V, 4): y, x, height, width, for V views.
        """
        min_area = self.augment.crop_min_area
        boxes = [
            draw_boxes(keys, heights, widths, min_area)
            for keys in self._keys(epochs, ids)
        ]
        return tf.stack(boxes, axis=1)

    def draws(self, epochs: tf.Tensor, ids: tf.Tensor) -> tf.Tensor:
        """What else is drawn for the images of a batch: float32 (B, V, N)."""
        draws = [draw(keys, self.augment) for keys in self._keys(epochs, ids)]
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
                self.augment,
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

    def finish(self, images: int, *, of_crops: bool) -> Finish:
        """All that follows the crop, by the way that is fastest.

        Args:
          images: how many there will be in all. The choice depends on it, so
            it must be the same when a run resumes.
          of_crops: whether the function takes resized crops, or planes that
            `place` has moved already.

        Returns:
          A function of crops float32 (B, S, S, 3), white being 255, or planes
          float32 (B, 3, S, S), white being 1, B known, and draws (B, N). It
          returns views float32 (B, S, S, 3) in [0, 1].
        """
        config = self.augment
        compiles = self.compiles(images)
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

    def _keys(self, epochs: tf.Tensor, ids: tf.Tensor) -> list[tf.Tensor]:
        """The keys (B,) of each view."""
        return [
            view_keys(self.seed, epochs, ids, view)
            for view in range(len(self.names))
        ]
