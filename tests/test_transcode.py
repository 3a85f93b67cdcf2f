"""Image files of all formats: what Pillow shows is what is trained on."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from tf_simclr.data.decode import (
    decode_image,
    is_plain,
    may_be_transparent,
)
from tf_simclr.data.decoding import Decoding
from tf_simclr.data.sources.image_header import is_opaque, is_simple
from tf_simclr.data.sources.look import look_at
from tf_simclr.data.transcode import Unreadable, as_png, plain, plain_bytes

_RNG = np.random.default_rng(0)
RGB = Image.fromarray(_RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8))
RGBA = Image.fromarray(_RNG.integers(0, 256, (9, 7, 4), dtype=np.uint8))
CLEAR = RGBA.point(lambda value: 255 * (value > 127))
DEEP = Image.fromarray(_RNG.integers(0, 4096, (9, 7), dtype=np.uint16))
SIDEWAYS = RGB.getexif()
SIDEWAYS[0x0112] = 6


def encode(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


FILES = {
    "tiff": encode(RGB, "TIFF"),
    "tiff, packed": encode(RGB, "TIFF", compression="tiff_lzw"),
    "tiff, cmyk": encode(RGB.convert("CMYK"), "TIFF"),
    "tiff, sideways": encode(RGB, "TIFF", exif=SIDEWAYS),
    "avif": encode(RGB, "AVIF", quality=100),
    "jpeg 2000": encode(RGB, "JPEG2000"),
    "ppm": encode(RGB, "PPM"),
    "tga": encode(RGBA, "TGA"),
    "ico": encode(RGBA, "ICO"),
    "bmp of 1 bit": encode(RGB.convert("1"), "BMP"),
    "bmp of 8 bits": encode(RGB.convert("P"), "BMP"),
    "bmp of 24 bits": encode(RGB, "BMP"),
    "bmp of 32 bits": encode(RGBA.convert("RGB").convert("RGBA"), "BMP"),
    "png": encode(RGB, "PNG"),
    "png, sideways": encode(RGB, "PNG", exif=SIDEWAYS),
    "png, transparent": encode(RGBA, "PNG"),
    "png, gray and transparent": encode(RGBA.convert("LA"), "PNG"),
    "png, one color transparent": encode(
        RGB.convert("P"), "PNG", transparency=3
    ),
    "webp": encode(RGB, "WEBP", lossless=True),
    "webp, sideways": encode(RGB, "WEBP", lossless=True, exif=SIDEWAYS),
    "webp, transparent": encode(RGBA, "WEBP", lossless=True),
    "webp, animated": encode(
        RGB,
        "WEBP",
        lossless=True,
        save_all=True,
        append_images=[ImageOps.invert(RGB)],
    ),
    "gif": encode(RGB.convert("P"), "GIF"),
    "gif, transparent": encode(CLEAR, "GIF"),
    "gif, animated": encode(
        CLEAR, "GIF", save_all=True, append_images=[RGB.convert("P")]
    ),
    "jpeg, sideways": encode(RGB, "JPEG", exif=SIDEWAYS, quality=95),
}
IN_GRAPH = (
    *("bmp of 8 bits", "bmp of 24 bits", "bmp of 32 bits", "png", "webp"),
    *("png, transparent", "png, gray and transparent", "webp, transparent"),
    *("png, one color transparent", "jpeg, sideways", "gif"),
)


def shown(data, background):
    """Pixels as Pillow shows them: int (H, W, 3)."""
    image = Image.open(io.BytesIO(data))
    image.seek(0)
    image = ImageOps.exif_transpose(image).convert("RGBA")
    behind = Image.new("RGBA", image.size, background)
    behind.alpha_composite(image)
    return np.asarray(behind.convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def decoders():
    return {
        alpha: tf.function(
            lambda data, alpha=alpha: decode_image(
                plain(data), Decoding(alpha)
            ),
            input_signature=[tf.TensorSpec([], tf.string)],
        )
        for alpha in ("white", "black")
    }


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("alpha", ["white", "black"])
def test_pixels_are_those_that_pillow_shows(decoders, name, alpha):
    data = FILES[name]
    found = decoders[alpha](tf.constant(data)).numpy().astype(int)
    assert look_at(data).why == ""
    expected = shown(data, alpha)
    assert found.shape == expected.shape
    # JPEG decoders round otherwise; mixtures with the background do, too.
    assert np.abs(found - expected).max() <= (2 if "jpeg," in name else 1)
    assert (look_at(data).height, look_at(data).width) == found.shape[:2]


@pytest.mark.parametrize("name", FILES)
def test_only_what_needs_it_leaves_the_graph(name):
    assert bool(is_plain(tf.constant(FILES[name]))) == (name in IN_GRAPH)
    stays = plain_bytes(FILES[name]) == FILES[name]
    assert stays == (name in IN_GRAPH)


@pytest.mark.parametrize("name", FILES)
def test_what_bytes_say_is_what_the_graph_says(name):
    data = FILES[name]
    if is_simple(data):
        assert is_plain(tf.constant(data))
    if is_opaque(data):
        assert not may_be_transparent(tf.constant(data))
    assert is_simple(data) == (
        name in IN_GRAPH and name.startswith(("png", "jpeg"))
    )


def test_transparency_is_seen_and_can_be_ignored():
    for name, data in FILES.items():
        one_color = "one color" in name and 3 in np.asarray(RGB.convert("P"))
        expected = one_color or name in (
            *("tga", "ico", "png, transparent", "webp, transparent"),
            *("png, gray and transparent", "gif, transparent", "gif, animated"),
        )
        assert look_at(data).transparent == expected, name
    found = decode_image(tf.constant(FILES["png, transparent"])).numpy()
    assert np.array_equal(found, np.asarray(RGBA)[..., :3])
    data = tf.constant(FILES["gif, transparent"])
    found = decode_image(plain(data)).numpy()
    assert np.array_equal(found, decode_image(data).numpy())


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_sixteen_bits_are_scaled(kind, bits):
    data = encode(DEEP, kind)
    assert look_at(data).highest == np.asarray(DEEP).max()
    found = decode_image(plain(tf.constant(data)), Decoding(bits=bits)).numpy()
    expected = np.minimum(np.asarray(DEEP) >> (bits - 8), 255)
    assert np.array_equal(found, np.repeat(expected[..., None], 3, axis=2))


def test_floats_are_read_where_their_range_is_known():
    values = _RNG.random((9, 7), dtype=np.float32)
    data = encode(Image.fromarray(values), "TIFF")
    found = decode_image(plain(tf.constant(data))).numpy()[..., 0]
    assert np.abs(found - values * 255).max() <= 1
    wide = encode(Image.fromarray(values * 900), "TIFF")
    assert "floating-point numbers from" in look_at(wide).why


@pytest.mark.parametrize("place", ["first", "behind a profile", "far behind"])
def test_orientation_anywhere_in_a_jpeg(place):
    """Segments may stand in any order (ITU-T T.81, B.2.4)."""
    data = FILES["jpeg, sideways"]
    start = data.index(b"\xff\xe1")
    end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    profile = b"\xff\xe2" + (60002).to_bytes(2, "big") + b"\0" * 60000
    profiles = {"first": 0, "behind a profile": 1, "far behind": 4}[place]
    # The block of EXIF moves behind color profiles.
    moved = data[:start] + profile * profiles + data[start:]
    assert 4 < end < len(data)
    found = decode_image(tf.constant(moved)).numpy()
    assert found.shape == (7, 9, 3)
    assert look_at(moved).why == ""


def test_what_cannot_be_read_says_why():
    jpeg = bytearray(encode(RGB, "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 4] = 12
    assert look_at(bytes(jpeg)).why.startswith("is a JPEG of 12 bits, which")
    jpeg[frame + 4], jpeg[frame + 1] = 8, 0xC9
    assert "arithmetic JPEG" in look_at(bytes(jpeg)).why
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    assert "HEIC image" in look_at(heic).why or "damaged" in look_at(heic).why
    for name in ("tiff", "avif", "jpeg 2000", "webp, animated"):
        cut = FILES[name][: len(FILES[name]) // 2]
        assert look_at(cut).why, name
        with pytest.raises((Unreadable, tf.errors.OpError)):
            decode_image(plain(tf.constant(cut)))
    with pytest.raises(Unreadable, match="no image of a known format"):
        as_png(b"%PDF-1.7")
