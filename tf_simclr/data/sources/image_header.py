"""Format and size of an image file, from its first bytes."""

import dataclasses
import re
import struct

# So far into a file, and from its end, parts of it are looked for.
SEARCHED = 2**13
# Where the header of a PNG file says the kind of its colors; the kinds without
# transparency, unless a block in front of the pixels adds it.
PNG_KIND = 25
PNG_OPAQUE = (b"\0", b"\2")
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """Format and size that a file's header gives.

    Attributes:
      format: JPEG, PNG, GIF, BMP or WebP.
      width, height: of the image; of the whole canvas for an animation; 0
        where the header is damaged.
      pixels: how many a decoder holds at once.
      unread: why no decoder here reads it; empty for all usual kinds.
    """

    format: str
    width: int
    height: int
    pixels: int
    unread: str = ""


def read_header(data: bytes) -> ImageHeader | None:
    """Reads the header of an image file; None for any other file."""
    for name, magic, read in (
        ("JPEG", rb"\xff\xd8\xff", _jpeg),
        ("PNG", rb"\x89PNG\r\n\x1a\n", _png),
        ("GIF", rb"GIF8", _gif),
        ("BMP", rb"BM", _bmp),
        ("WebP", rb"RIFF.{4}WEBP", _webp),
    ):
        if re.match(magic, data, re.DOTALL):
            try:
                width, height, pixels = read(data)
            except (struct.error, IndexError, ValueError):
                width = height = pixels = 0
            unread = _unread_jpeg(data) if name == "JPEG" and pixels else ""
            return ImageHeader(name, width, height, pixels, unread)
    return None


def is_simple(data: bytes) -> bool:
    """True for JPEG files, and PNG files without an EXIF block.

    TensorFlow decodes these as they are: `decode.is_plain`, which takes a call
    of TensorFlow, is True for them and for some others.
    """
    if data.startswith(_PNG):
        ends = data[:SEARCHED], data[max(len(data) - SEARCHED, 0) :]
        return not any(b"eXIf" in end for end in ends)
    return data.startswith(_JPEG)


def is_opaque(data: bytes) -> bool:
    """True for JPEG files, and PNG files without any kind of transparency.

    `decode.may_be_transparent` is False for them and for some others.
    """
    if data.startswith(_PNG):
        kind = data[PNG_KIND : PNG_KIND + 1]
        return kind in PNG_OPAQUE and b"tRNS" not in data[:SEARCHED]
    return data.startswith(_JPEG)


_Size = tuple[int, int, int]
# JPEG's start-of-frame markers, which hold the size.
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Sequential and progressive frames with Huffman codes (ITU-T T.81, B.1).
_HUFFMAN = (0xC0, 0xC1, 0xC2)
# Markers without a length: TEM, RST0-7 and SOI.
_BARE = {0x01, *range(0xD0, 0xD9)}
_FILL, _SCAN = 0xFF, 0xDA


def _jpeg(data: bytes) -> _Size:
    at = _start_of_frame(data)
    height, width = struct.unpack_from(">HH", data, at + 5)
    return width, height, width * height


def _unread_jpeg(data: bytes) -> str:
    """The reason that a JPEG is not read, where it is none of the usual
    kinds."""
    at = _start_of_frame(data)
    way = "convert it to PNG, or to a JPEG of 8 bits"
    if data[at + 4] != 8:
        return f"is a JPEG of {data[at + 4]} bits, which are not read: {way}"
    if data[at + 1] not in _HUFFMAN:
        return f"is a lossless or arithmetic JPEG, which is not read: {way}"
    return ""


def _start_of_frame(data: bytes) -> int:
    """Position of the frame's marker."""
    at = 2
    while True:
        # Decoders skip what stands between two segments.
        at = data.index(b"\xff", at) + 1
        marker = data[at]
        if marker == _FILL:
            continue
        at += 1
        if marker in _START_OF_FRAME:
            return at - 2
        if marker == _SCAN:
            raise ValueError("no start of frame")
        if marker not in _BARE and marker:
            at += struct.unpack_from(">H", data, at)[0]


def _png(data: bytes) -> _Size:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height, width * height


_GIF_EXTENSION, _GIF_IMAGE = 0x21, 0x2C


def _gif(data: bytes) -> _Size:
    """Decoders hold all frames of an animation, so their areas are added."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _gif_colors(flags)
    pixels = width * height
    while at < len(data):
        block = data[at]
        at += 1
        if block == _GIF_IMAGE:
            size = struct.unpack_from("<4xHHB", data, at)
            pixels += size[0] * size[1]
            at += 9 + _gif_colors(size[2]) + 1
        elif block == _GIF_EXTENSION:
            at += 1
        else:
            break
        while at < len(data) and data[at]:
            at += data[at] + 1
        at += 1
    return width, height, pixels


def _gif_colors(flags: int) -> int:
    """Bytes of the color table that these flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _bmp(data: bytes) -> _Size:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = map(abs, struct.unpack_from("<ii", data, 18))
    return width, height, width * height


def _webp(data: bytes) -> _Size:
    chunk = data[12:16]
    if chunk == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif chunk == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (
            value & 0x3FFF for value in struct.unpack_from("<HH", data, 26)
        )
    return width, height, width * height
