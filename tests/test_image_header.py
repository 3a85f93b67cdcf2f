"""Sizes of images from their files' headers."""

import io

import numpy as np
import pictures
import pytest
from PIL import Image

from tf_simclr.data.sources.image_header import ImageHeader, read_header

_PIXELS = np.zeros((7, 300, 3), np.uint8)


@pytest.mark.parametrize(
    "kind, options",
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "comment": b"\xff\xc0 no frame"}),
        ("PNG", {}),
        ("BMP", {}),
        ("WebP", {"lossless": True}),
        ("WebP", {"quality": 50}),
        ("WebP", {"exif": b"Exif\0\0MM"}),
    ],
)
def test_sizes(kind, options):
    data = pictures.encode(_PIXELS, kind, **options)
    assert read_header(data) == ImageHeader(kind, 300, 7, 2100)


def test_what_may_stand_between_two_segments():
    data = pictures.encode(_PIXELS, "JPEG")
    # Fill bytes, and bytes that belong nowhere.
    for between in (b"\xff\xff", b"stray"):
        header = read_header(data[:2] + b"\xff\xfe\0\2" + between + data[2:])
        assert header == ImageHeader("JPEG", 300, 7, 2100)


def test_every_frame_of_an_animation_counts():
    frames = [Image.fromarray(pictures.tile(n, 20, 30)) for n in range(4)]
    target = io.BytesIO()
    frames[0].save(target, "GIF", save_all=True, append_images=frames[1:])
    header = read_header(target.getvalue())
    assert (header.format, header.width, header.height) == ("GIF", 30, 20)
    # The canvas and four frames, which may be smaller than it.
    assert 4 * 600 < header.pixels <= 5 * 600


@pytest.mark.parametrize(
    "data", [b"", b"text", b"RIFF\0\0\0\0WAVE", b"\x89PNG", b"\xff\xd8"]
)
def test_other_files(data):
    assert read_header(data) is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WebP", "GIF"])
def test_headers_that_are_cut_off(kind):
    data = pictures.encode(_PIXELS, kind)
    for length in range(len(data)):
        header = read_header(data[:length])
        assert header is None or header.pixels in (0, 2100, 4200)
    for data in pictures.mutated(300):
        read_header(data)
