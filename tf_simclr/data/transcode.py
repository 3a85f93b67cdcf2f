"""Formats that TensorFlow does not decode, by way of Pillow on the host.

They become PNG files of the same pixels: the first frame, turned upright,
with its transparency, and with 16 bits where there were 16. All else then
reads them as it reads any PNG file.
"""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tf_simclr.data.decode import is_plain, traced_of_bytes
from tf_simclr.data.sources.image_header import (
    ImageHeader,
    is_simple,
    read_header,
)
from tf_simclr.process import once_per_process

if TYPE_CHECKING:
    from PIL.Image import Image

# Brands of the ISO container that HEIC images come in (ISO/IEC 23008-12).
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# What Pillow may take a file for. Not all that it knows: some formats run
# other programs, and some take any bytes for an image.
_FORMATS = (
    *("PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "JPEG2000", "PPM"),
    *("TGA", "QOI", "ICO", "PSD"),
)
# Modes of Pillow that hold 16 bits a pixel.
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N")


class Unreadable(ValueError):
    """The reason that a file cannot be read; completes "The file ..."."""


def plain(encoded: tf.Tensor) -> tf.Tensor:
    """The file itself, or a PNG file of the same pixels.

    Args:
      encoded: string scalar, the bytes of an image file of any format.

    Returns:
      string scalar, which `decode_image` reads.

    Raises:
      tf.errors.OpError: no image.
    """
    # Only what needs it leaves the graph: workers of a tf.data service cannot.
    result = tf.cond(
        is_plain(encoded),
        lambda: encoded,
        lambda: tf.numpy_function(
            _converted, [encoded], tf.string, stateful=False
        ),
    )
    return tf.ensure_shape(result, [])


def _converted(data: bytes | np.ndarray) -> bytes:
    # Outside of a graph, TensorFlow hands over an array without axes.
    return as_png(data if isinstance(data, bytes) else data.item())


def plain_bytes(data: bytes) -> bytes:
    """`plain` outside of a graph.

    Raises:
      Unreadable: no image.
    """
    is_as_it_is = is_simple(data) or _is_plain()(tf.constant(data))
    return data if is_as_it_is else as_png(data)


@once_per_process
def _is_plain() -> Callable[[tf.Tensor], tf.Tensor]:
    return traced_of_bytes(is_plain)


def header_of(data: bytes) -> ImageHeader:
    """Format and size of an image file of any format.

    Raises:
      Unreadable: no image, or one of a kind that is not read.
    """
    header = read_header(data)
    if header is not None:
        return header
    with _opened(data) as image:
        width, height = image.size
        return ImageHeader(
            image.format or "image", width, height, width * height
        )


def as_png(data: bytes) -> bytes:
    """A PNG file of the first frame of an image, upright.

    Args:
      data: an image file of a format that Pillow reads.

    Raises:
      Unreadable: says why it cannot be read.
    """
    from PIL import ImageOps

    with _opened(data) as image:
        try:
            image.seek(0)
            shown = _png_mode(ImageOps.exif_transpose(image))
            if image.format == "GIF":
                shown = _black_where_clear(shown)
        except Unreadable:
            raise
        except Exception as error:
            # Pillow's readers raise what they like on damaged files.
            raise Unreadable(
                f"is damaged or cut off ({image.format})"
            ) from error
        file = io.BytesIO()
        shown.save(file, "PNG", compress_level=1)
        return file.getvalue()


def _opened(data: bytes) -> "Image":
    """The image, of which no pixel is read yet.

    Raises:
      Unreadable: Pillow knows no such format.
    """
    from PIL import Image

    formats = _FORMATS
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
        if not _reads_heic():
            raise Unreadable(
                "is a HEIC image, which takes pip install pillow-heif, or"
                " converting it to JPEG"
            )
        formats = ("HEIF",)
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except Exception as error:
        if formats != _FORMATS:
            raise Unreadable("is damaged or cut off (HEIC)") from error
        raise Unreadable("is no image of a known format") from error


def _reads_heic() -> bool:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _png_mode(image: "Image") -> "Image":
    """The image in a mode that PNG files have, without loss.

    Raises:
      Unreadable: its values have no known range.
    """
    if image.mode in _DEEP:
        return image.convert("I;16")
    if image.mode == "I":
        low, high = image.getextrema()
        if low < 0 or high >= 2**16:
            raise Unreadable(
                f"holds integers from {low} to {high}: store 8 or 16 bits"
            )
        return image.convert("I;16")
    if image.mode == "F":
        low, high = image.getextrema()
        if not (low >= 0 and high <= 1):
            raise Unreadable(
                f"holds floating-point numbers from {low:g} to {high:g}: store"
                " them in [0, 1], or integers of 8 or 16 bits"
            )
        return image.point(lambda value: value * 255 + 0.5).convert("L")
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode == "1" else "RGB")


def _black_where_clear(image: "Image") -> "Image":
    """A GIF image as TensorFlow decodes it where transparency is ignored."""
    from PIL import Image

    if image.mode != "RGBA":
        return image
    values = np.array(image)
    values[values[..., 3] == 0] = 0
    return Image.fromarray(values)
