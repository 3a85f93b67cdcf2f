"""What every source yields: the images of one split, with their labels."""

import dataclasses
import re

import numpy as np

from tf_simclr.data.sources.pixels import Pixels
from tf_simclr.errors import UserError

UNLABELLED = -1


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """The images of one split.

    Attributes:
      name: the split's name.
      pixels: where the images lie.
      labels: int32 (N,); -1 marks an image without a label.
      class_names: one name per class; empty without labels.
      ids: one string per image, unique within the dataset.
    """

    name: str
    pixels: Pixels
    labels: np.ndarray
    class_names: tuple[str, ...]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def has_labels(self) -> bool:
        """Whether any image has a label."""
        return bool(np.any(self.labels != UNLABELLED))

    def with_labels(self, labels: np.ndarray) -> "ImageSet":
        """The same images with other labels."""
        return dataclasses.replace(self, labels=labels)

    def take(self, indices: np.ndarray) -> "ImageSet":
        """The images at `indices`, in that order."""
        return dataclasses.replace(
            self,
            pixels=self.pixels.take(indices),
            labels=self.labels[indices],
            ids=tuple(self.ids[index] for index in indices),
        )


def to_rgb_bytes(images: np.ndarray, where: str) -> np.ndarray:
    """Brings an image array to uint8 (N, H, W, 3).

    Args:
      images: (N, H, W) or (N, H, W, 1 or 3), uint8, or floats in [0, 1].
      where: names the array in error messages.

    Raises:
      UserError: another shape, dtype or range.
    """
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise UserError(
            f"{where} must be images of shape (N, height, width) or (N,"
            " height, width, 1 or 3 channels). Received: shape"
            f" {tuple(images.shape)}"
        )
    if not len(images):
        raise UserError(f"{where} holds no image.")
    if np.issubdtype(images.dtype, np.floating):
        low, high = float(images.min()), float(images.max())
        if not (low >= 0.0 and high <= 1.0):
            raise UserError(
                f"{where} holds floats outside [0, 1]: store uint8, or divide"
                f" by 255. Received: {low:g} to {high:g}"
            )
        images = np.round(images * 255.0).astype(np.uint8)
    if images.dtype != np.uint8:
        raise UserError(
            f"{where} must be uint8, or floats in [0, 1]. Received:"
            f" {images.dtype}"
        )
    if images.shape[-1] == 1:
        images = np.repeat(images, 3, axis=-1)
    return images


def parse_split(text: str) -> tuple[str, str]:
    """Splits `train[:80%]` into the split's name and the slice."""
    match = re.fullmatch(r"([^\[\]]+)(?:\[([^\[\]]*)\])?", text)
    if not match:
        raise UserError(
            "A split is written as NAME, NAME[:80%] or NAME[1000:2000]."
            f" Received: {text}"
        )
    return match.group(1), match.group(2) or ""


def slice_bounds(text: str, count: int, split: str) -> tuple[int, int]:
    """First and last + 1 index of a slice such as `:80%` or `1000:`."""
    if not text:
        return 0, count
    match = re.fullmatch(r"(\d+%?)?:(\d+%?)?", text)
    if not match:
        raise UserError(
            "A split is written as NAME, NAME[:80%] or NAME[1000:2000]."
            f" Received: {split}"
        )

    def position(bound: str | None, default: int) -> int:
        if bound is None:
            return default
        if bound.endswith("%"):
            return round(count * int(bound[:-1]) / 100)
        return int(bound)

    start, stop = position(match[1], 0), position(match[2], count)
    if not 0 <= start < stop <= count:
        raise UserError(
            f"The split {split} is empty or reaches beyond the {count} images"
            " there are."
        )
    return start, stop


def pick_split(
    splits: dict[str, ImageSet], wanted: str, dataset: str
) -> ImageSet:
    """The split, or part of one, that a flag names.

    'validation', the original's default for --eval_split, stands for 'test'
    where a dataset has only that.

    Raises:
      UserError: there is no such split; the message lists those there are.
    """
    name, part = parse_split(wanted)
    if name not in splits and name == "validation" and "test" in splits:
        name = "test"
    if name not in splits:
        raise UserError(
            f"The dataset {dataset} has no split '{name}'; it has"
            f" {', '.join(splits)}. Received: {wanted}"
        )
    chosen = splits[name]
    start, stop = slice_bounds(part, len(chosen), wanted)
    if (start, stop) == (0, len(chosen)):
        return chosen
    return chosen.take(np.arange(start, stop))
