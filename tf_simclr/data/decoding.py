"""Treatment of transparency and of 16-bit values in decoding."""

import dataclasses

# What `--alpha` takes, and the gray value that each stands for.
BACKGROUNDS = {"white": 255, "black": 0, "ignore": None}
# What `--bit_depth` takes beside "auto". Cameras and microscopes store 10 to
# 14 bits in files of 16.
DEPTHS = (8, 10, 12, 14, 16)
# What `--eval_crop` takes.
EVAL_CROPS = ("center", "whole", "pad")


@dataclasses.dataclass(frozen=True)
class Decoding:
    """The way pixels are read. The defaults are the original release's.

    Attributes:
      alpha: what lies behind transparent pixels, white or black; ignore takes
        colors as they are stored, however transparent.
      bits: how many bits of a 16-bit value are used: 2 ** bits - 1 is white.
    """

    alpha: str = "ignore"
    bits: int = 16

    @property
    def background(self) -> int | None:
        """The gray value behind transparent pixels; None ignores these."""
        return BACKGROUNDS[self.alpha]


AS_ORIGINAL = Decoding()


def bits_of(highest: int) -> int:
    """The depth of a data set whose largest 16-bit value is `highest`."""
    return next(bits for bits in DEPTHS if highest < 2**bits)
