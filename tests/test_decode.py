"""Image files of every kind, against another decoder."""

import io

import numpy as np
import pictures
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tf_simclr.data.decode import decode_image, decode_window, read_geometry
from tf_simclr.data.orientation import exif_orientation, stored_boxes

PHOTO = pictures.tile(1, 40, 60)
GRAY = PHOTO[..., 0]
RGBA = np.concatenate([PHOTO, GRAY[..., None]], axis=2)


def pillow(image: Image.Image, kind: str, **options) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def converted(mode: str, kind: str, **options) -> bytes:
    return pillow(Image.fromarray(PHOTO).convert(mode), kind, **options)


def rotated(orientation: int, kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return pictures.encode(PHOTO, kind, exif=exif)


def animated_webp(pixels: np.ndarray) -> bytes:
    return pillow(
        Image.fromarray(pixels),
        "WEBP",
        save_all=True,
        append_images=[Image.fromarray(pixels[::-1])],
    )


def other_byte_order(encoded: bytes) -> bytes:
    """The same EXIF block, written by a little-endian camera."""
    ours = b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0"
    theirs = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"
    assert encoded.count(ours) == 1
    return encoded.replace(ours, theirs)


FILES = {
    "jpeg": pictures.encode(PHOTO, "JPEG"),
    "jpeg progressive": pictures.encode(PHOTO, "JPEG", progressive=True),
    "jpeg gray": pictures.encode(GRAY, "JPEG"),
    "jpeg cmyk": converted("CMYK", "JPEG"),
    **{f"jpeg turned {turn}": rotated(turn) for turn in range(1, 9)},
    "jpeg turned, little-endian": other_byte_order(rotated(6)),
    "png": pictures.encode(PHOTO, "PNG"),
    "png gray": pictures.encode(GRAY, "PNG"),
    "png palette": converted("P", "PNG"),
    "png one bit": converted("1", "PNG"),
    "png alpha": pictures.encode(RGBA, "PNG"),
    "gif": pictures.encode(PHOTO, "GIF"),
    "gif animation": pillow(
        Image.fromarray(PHOTO),
        "GIF",
        save_all=True,
        append_images=[Image.fromarray(PHOTO[::-1])],
    ),
    "bmp": pictures.encode(PHOTO, "BMP"),
    "bmp gray": pictures.encode(GRAY, "BMP"),
    "bmp palette": converted("P", "BMP"),
    "bmp alpha": pictures.encode(RGBA, "BMP"),
    "webp": pictures.encode(PHOTO, "WEBP"),
    "webp alpha": pictures.encode(RGBA, "WEBP"),
    "webp lossless": pictures.encode(PHOTO, "WEBP", lossless=True),
    "webp lossless alpha": pictures.encode(RGBA, "WEBP", lossless=True),
}


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def whole(encoded):
    return decode_image(encoded), read_geometry(encoded)


@tf.function(
    input_signature=[
        tf.TensorSpec([], tf.string),
        tf.TensorSpec([4], tf.int32),
    ]
)
def part(encoded, window):
    geometry = read_geometry(encoded)
    stored = stored_boxes(window[None], geometry[None, :2], geometry[2:])[0]
    return decode_window(encoded, stored, geometry[2])


@pytest.mark.parametrize("name", FILES)
def test_pixels_equal_pillows(name):
    encoded = FILES[name]
    found, geometry = whole(encoded)
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded)))
    expected = np.array(image.convert("RGB"))
    assert found.dtype == tf.uint8
    assert geometry[:2].numpy().tolist() == list(expected.shape[:2])
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("name", FILES)
def test_windows_are_parts(name):
    window = (3, 5, 20, 17)
    found = part(FILES[name], window).numpy().astype(int)
    expected = whole(FILES[name])[0].numpy()[3:23, 5:22]
    assert found.shape == expected.shape
    # Colors of a JPEG's window may differ by a trace at its edge.
    limit = 4 if name.startswith("jpeg") else 0
    assert np.max(np.abs(found - expected)) <= limit


def test_sixteen_bits_keep_the_upper_eight():
    deep = (np.arange(40 * 60).reshape(40, 60) * 27).astype(np.uint16)
    found, _ = whole(pictures.encode(deep, "PNG"))
    assert np.array_equal(found[..., 0], deep >> 8)


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"BM",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"words",
        FILES["png"][:200],
        FILES["jpeg"][:400],
        FILES["bmp gray"][:30] + b"\1" + FILES["bmp gray"][31:],
        animated_webp(PHOTO),
        animated_webp(RGBA),
    ],
    ids=[
        "empty",
        "bmp start",
        "jpeg start",
        "png start",
        "text",
        "cut png",
        "cut jpeg",
        "packed bmp",
        "animated webp",
        "animated webp alpha",
    ],
)
def test_damage_is_an_error(encoded):
    with pytest.raises(tf.errors.InvalidArgumentError):
        whole(encoded)


def test_odd_notes_count_as_upright():
    for note in (b"", b"MM", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff"):
        found = exif_orientation(b"\xff\xd8\xff\xe1\0\x10Exif\0\0" + note)
        assert found == 1, note
    assert exif_orientation(rotated(6)) == 6
    wrong = rotated(6).replace(b"\0\3\0\0\0\1\0\6", b"\0\3\0\0\0\1\0\x09")
    assert exif_orientation(wrong) == 1
