"""Survey of all images of a data set, beside bad ones."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from tf_simclr.data.augment.framing import WHOLE_IMAGE_SIZE, Framing
from tf_simclr.data.decoding import Decoding, bits_of
from tf_simclr.data.sources.look import Look

# Longer by shorter side, above which the center says little of an image; and
# sides by those of the views, above which most pixels are never looked at.
_LONG, _LARGE = 2, 4


@dataclasses.dataclass(frozen=True)
class Survey:
    """The images of a source, counted.

    Attributes:
      deep: images of 16 bits.
      highest: the largest value among them.
      transparent: images with transparent pixels.
      sides: {shorter side in pixels: number of images}.
      aspects: {longer side by shorter side, in tenths: number of images}.
      warned: images that can be read, but about which decoders complain.
    """

    deep: int = 0
    highest: int = 0
    transparent: int = 0
    sides: Mapping[int, int] = dataclasses.field(default_factory=dict)
    aspects: Mapping[int, int] = dataclasses.field(default_factory=dict)
    warned: int = 0

    @classmethod
    def of(cls, looks: Iterable[Look]) -> Self:
        """Counts the images that can be read."""
        good = [look for look in looks if not look.why]
        deep = [look.highest for look in good if look.highest >= 0]
        sides = [(look.height, look.width) for look in good]
        return cls(
            deep=len(deep),
            highest=max(deep, default=0),
            transparent=sum(look.transparent for look in good),
            sides=dict(collections.Counter(map(min, sides))),
            aspects=dict(
                collections.Counter(
                    round(10 * max(size) / max(min(size), 1)) for size in sides
                )
            ),
        )

    @classmethod
    def of_arrays(cls, arrays: Iterable[np.ndarray]) -> Self:
        """Counts the images (N, ...) of integers wider than a byte."""
        deep = [
            array
            for array in arrays
            if np.issubdtype(array.dtype, np.integer)
            and array.dtype != np.uint8
            and array.size
        ]
        highest = max((int(array.max()) for array in deep), default=0)
        return cls(deep=sum(map(len, deep)), highest=min(highest, 2**16 - 1))

    def __add__(self, other: "Survey") -> "Survey":
        """Both together."""
        return Survey(
            self.deep + other.deep,
            max(self.highest, other.highest),
            self.transparent + other.transparent,
            _sum(self.sides, other.sides),
            _sum(self.aspects, other.aspects),
            self.warned + other.warned,
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """A survey as `dataclasses.asdict` stores it."""
        numbers = {
            name: {int(key): count for key, count in values[name].items()}
            for name in ("sides", "aspects")
        }
        return cls(**{**values, **numbers})

    def decoding(self, alpha: str, bit_depth: str) -> Decoding:
        """The decoding that suits the images.

        Args:
          alpha: of the flag.
          bit_depth: of the flag; auto goes by the largest value.
        """
        if bit_depth != "auto":
            return Decoding(alpha, int(bit_depth))
        return Decoding(alpha, bits_of(self.highest) if self.deep else 16)

    def notices(self, how: Decoding) -> list[str]:
        """Notices about transparency and 16-bit values."""
        found = []
        if self.transparent and how.alpha != "ignore":
            found.append(
                f"transparent images are laid on {how.alpha} (--alpha):"
                f" {self.transparent}"
            )
        elif self.transparent:
            found.append(
                "the transparency of images is ignored (--alpha=white lays"
                f" them on white): {self.transparent}"
            )
        if self.deep:
            found.append(
                f"images of 16 bits, with values up to {self.highest:,}, are"
                f" read as {how.bits} bits (--bit_depth): {self.deep}"
            )
        if self.highest >= 2**how.bits:
            found.append(
                f"values above {2**how.bits - 1:,} are read as white, as"
                f" --bit_depth={how.bits} says"
            )
        return found

    @classmethod
    def of_size(cls, height: int, width: int, count: int) -> Self:
        """Counts images of one size."""
        one = cls.of([Look("", height, width)])
        return dataclasses.replace(
            one,
            sides=dict.fromkeys(one.sides, count),
            aspects=dict.fromkeys(one.aspects, count),
        )

    def size_notices(self, framing: Framing, image_size: int) -> list[str]:
        """Notices about pixels that are lost of large or long images.

        Args:
          framing: how evaluation sees them.
          image_size: side of the views.
        """
        found = []
        aspect, side = self.median_aspect(), self.median_side()
        cuts = framing.crop == "center" and image_size > WHOLE_IMAGE_SIZE
        if cuts and aspect > _LONG:
            found.append(
                f"half of the images are {aspect:g} times as long as wide, or"
                " more, and evaluation sees their center alone:"
                " --eval_crop=whole or --eval_crop=pad shows all of them"
            )
        if not framing.antialias and side > _LARGE * image_size:
            found.append(
                f"half of the images have sides of {side:g} pixels or more,"
                f" for views of {image_size}: --antialias lets all of their"
                " pixels count, and decodes JPEG files faster"
            )
        return found

    def median_side(self) -> float:
        """The median of the shorter sides, in pixels; 0 without images."""
        return _median(self.sides)

    def median_aspect(self) -> float:
        """The median of longer by shorter side; 0 without images."""
        return _median(self.aspects) / 10


def _sum(first: Mapping[int, int], second: Mapping[int, int]) -> dict[int, int]:
    total = collections.Counter(first)
    total.update(second)
    return dict(total)


def _median(counts: Mapping[int, int]) -> float:
    if not counts:
        return 0.0
    values = sorted(counts)
    reached = np.cumsum([counts[value] for value in values])
    return float(values[int(np.searchsorted(reached, reached[-1] / 2))])
