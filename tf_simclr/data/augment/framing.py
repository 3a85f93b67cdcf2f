"""Framing: evaluation's square of an image of any shape and size.

Training's random crops follow the same rule for shrinking.
"""

import dataclasses

import tensorflow as tf

from tf_simclr import keras_compat
from tf_simclr.data.augment.crop import SHOWN

# The scales at which a JPEG file can be decoded, largest first (ITU-T T.81
# leaves out the higher frequencies of each block).
JPEG_SCALES = (8, 4, 2)
# Images up to this size are evaluated whole (CIFAR), larger ones cropped.
WHOLE_IMAGE_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Framing:
    """The part of an image that evaluation sees, and how images are shrunk.

    Attributes:
      crop: center takes the central 87.5 %, the whole of images up to 32
        pixels; whole squeezes all of the image into the square; pad keeps its
        shape and leaves the rest black.
      antialias: whether all pixels count when an image is shrunk. Without,
        as in the original release, each output pixel looks at sixteen.
    """

    crop: str = "center"
    antialias: bool = False

    @property
    def crops_as_original(self) -> bool:
        """True if a box and sixteen pixels for each one give the view."""
        return self.crop != "pad" and not self.antialias

    def resize(
        self, images: tf.Tensor, height: int | tf.Tensor, width: int | tf.Tensor
    ) -> tf.Tensor:
        """Resizes images, bicubic.

        Args:
          images: float32 (N, H, W, C).
          height, width: of the output.

        Returns:
          float32 (N, height, width, C). Not clipped.
        """
        if self.antialias:
            return tf.image.resize(
                images, (height, width), "bicubic", antialias=True
            )
        return keras_compat.resize_bicubic(images, (height, width))

    def padded(self, images: tf.Tensor, size: int) -> tf.Tensor:
        """Fits whole images into squares, their shape kept.

        Args:
          images: float32 (N, H, W, C).
          size: S, the side of the squares.

        Returns:
          float32 (N, S, S, C), 0 beside the images. Not clipped.
        """
        height, width = tf.unstack(tf.shape(images)[1:3])
        longer = tf.maximum(height, width)
        inner = [
            tf.maximum((side * size + longer // 2) // longer, 1)
            for side in (height, width)
        ]
        resized = self.resize(images, *inner)
        before = [(size - side) // 2 for side in inner]
        after = [
            size - side - gap for side, gap in zip(inner, before, strict=True)
        ]
        paddings = [[0, 0], *zip(before, after, strict=True), [0, 0]]
        resized = tf.pad(resized, paddings)
        return tf.ensure_shape(resized, (None, size, size, None))

    def scale(self, side: tf.Tensor, size: int) -> tf.Tensor:
        """Factor by which a JPEG image may be reduced when it is decoded.

        Args:
          side: int32, the shorter side of what will be resized.
          size: the side of the view.

        Returns:
          int32 in the shape of `side`: 1, 2, 4 or 8. What is left is as large
          as the view, at least.
        """
        scale = tf.ones_like(side)
        if not self.antialias:
            return scale
        for factor in reversed(JPEG_SCALES):
            scale = tf.where(side >= factor * size, factor, scale)
        return scale

    def scale_of_image(self, side: tf.Tensor, size: int) -> tf.Tensor:
        """Factor for an image whose central part evaluation shows; else as
        `scale`.

        Args:
          side: int32, the shorter side of the image.
          size: the side of the view.

        Returns:
          int32 in the shape of `side`: 1, 2, 4 or 8.
        """
        shown = tf.cast(tf.cast(side, tf.float32) * SHOWN, tf.int32)
        return self.scale(shown, size)


ORIGINAL_FRAMING = Framing()
