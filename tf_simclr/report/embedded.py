"""Pictures inside a page, without any file beside it."""

import base64
import html

import numpy as np
import tensorflow as tf

# Up to this size pixels are kept as they are, and shown as squares.
_PIXELS = 64


def picture(image: np.ndarray, caption: str) -> str:
    """An `img` element that holds its own data.

    Args:
      image: float (h, w, 3) in [0, 1].
      caption: for those who cannot see it.
    """
    pixels = tf.image.convert_image_dtype(image, tf.uint8, saturate=True)
    if max(pixels.shape[:2]) <= _PIXELS:
        kind, data, style = "png", tf.io.encode_png(pixels), ' class="pixels"'
    else:
        kind, data, style = "jpeg", tf.io.encode_jpeg(pixels, quality=88), ""
    encoded = base64.b64encode(data.numpy()).decode("ascii")
    return (
        f'<img{style} alt="{html.escape(caption)}"'
        f' src="data:image/{kind};base64,{encoded}">'
    )
