"""Images as a browser shows them."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_simclr.data.decode import decode_image
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels

# Longest side of the large picture and of the small ones.
LARGE, SMALL = 800, 240
# Up to this side a picture keeps every pixel; larger ones are JPEG files.
_EXACT = 64
_QUALITY = 88


class Pictures:
    """Encodes images of a data set, decoded as training does.

    Args:
      images: the data set.
    """

    def __init__(self, images: ImageSet):
        self._pixels = pixels = images.pixels
        if isinstance(pixels, ArrayPixels):
            return

        @tf.function(
            input_signature=[tf.TensorSpec((), tf.int64)], autograph=False
        )
        def decode(place: tf.Tensor) -> tf.Tensor:
            return decode_image(pixels.encoded(place), pixels.how)

        self._decode = decode

    def encoded(self, place: int, side: int) -> tuple[bytes, str]:
        """One image, shrunk to at most `side` pixels, and its media type.

        Raises:
          tf.errors.OpError: the image cannot be read.
        """
        image = Image.fromarray(self._array(place))
        # Shrinks, never enlarges.
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        if max(image.size) <= _EXACT:
            image.save(file, "PNG")
            return file.getvalue(), "image/png"
        image.save(file, "JPEG", quality=_QUALITY)
        return file.getvalue(), "image/jpeg"

    def _array(self, place: int) -> np.ndarray:
        """uint8 (H, W, 3)."""
        if isinstance(self._pixels, ArrayPixels):
            return self._pixels.array[place]
        return self._decode(tf.constant(place, tf.int64)).numpy()
