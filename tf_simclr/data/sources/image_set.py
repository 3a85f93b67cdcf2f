"""Images of one split with their labels, as every source gives them."""

import dataclasses
import hashlib
from collections.abc import Iterable

import numpy as np

from tf_simclr.data.augment.framing import ORIGINAL_FRAMING, Framing
from tf_simclr.data.decoding import Decoding
from tf_simclr.data.sources.pixels import (
    ArrayPixels,
    FilePixels,
    Pixels,
    RecordPixels,
)
from tf_simclr.errors import UserError


def id_hashes(ids: Iterable[str], salt: str) -> np.ndarray:
    """One number per id, which depends on the id and the salt alone.

    What is drawn by them stays drawn when other images come or go, or lie in
    another order.

    Args:
      ids: of the images.
      salt: separates one use, or one seed, from another.

    Returns:
      uint64 (N,).
    """
    key = salt.encode()
    digests = [
        hashlib.blake2b(name.encode(), digest_size=8, key=key).digest()
        for name in ids
    ]
    return np.frombuffer(b"".join(digests), "<u8")


UNLABELLED = -1
# Whoever numbers more has other numbers in mind.
MAX_CLASSES = 2**20


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """The images of one split.

    Attributes:
      name: the split's name.
      pixels: where the images lie.
      labels: int32 (N,); -1 marks an image without a label.
      class_names: one name per class; empty without labels.
      ids: one string per image, unique within the dataset.
      first_equal: int64 (N,), for each image the place of the first one that
        is the same; None where each is taken for another.
      framing: what evaluation sees of an image, and how it is shrunk.
      groups: for each image the name of the group that it belongs to; None
        without --group_by.
      hashes: int8 (N, 63), see `perceptual_hash`; None where nobody looked at
        the images, or where they are in memory.
      digests: uint64 (N,), of the bytes of each image file, 0 where it cannot
        be read; None as `hashes`.
    """

    name: str
    pixels: Pixels
    labels: np.ndarray
    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    first_equal: np.ndarray | None = None
    framing: Framing = ORIGINAL_FRAMING
    groups: tuple[str, ...] | None = None
    hashes: np.ndarray | None = None
    digests: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def has_labels(self) -> bool:
        """True if any image has a label."""
        return bool(np.any(self.labels != UNLABELLED))

    def with_labels(self, labels: np.ndarray) -> "ImageSet":
        """Images with other labels: int32 (N,), -1 where unknown."""
        return dataclasses.replace(self, labels=labels)

    def renamed(self, name: str) -> "ImageSet":
        """The images under the name of another split."""
        return dataclasses.replace(self, name=name)

    def shown(self, how: Decoding, framing: Framing) -> "ImageSet":
        """The images with this decoding and framing."""
        pixels = self.pixels
        if not isinstance(pixels, ArrayPixels):
            pixels = dataclasses.replace(pixels, how=how)
        return dataclasses.replace(self, pixels=pixels, framing=framing)

    def evenly(self, count: int) -> "ImageSet":
        """At most `count` images, evenly from all."""
        count = min(count, len(self))
        return self.take(np.arange(count) * len(self) // max(count, 1))

    def take(self, indices: np.ndarray) -> "ImageSet":
        """The images at `indices` (n,), in that order."""
        first_equal, groups = self.first_equal, self.groups
        if first_equal is not None:
            _, first, inverse = np.unique(
                first_equal[indices], return_index=True, return_inverse=True
            )
            first_equal = first[inverse]
        return dataclasses.replace(
            self,
            pixels=self.pixels.take(indices),
            labels=self.labels[indices],
            ids=tuple(self.ids[index] for index in indices),
            first_equal=first_equal,
            groups=groups and tuple(groups[index] for index in indices),
            hashes=None if self.hashes is None else self.hashes[indices],
            digests=None if self.digests is None else self.digests[indices],
        )


def image_set_of_array(images: np.ndarray) -> ImageSet:
    """Images of an array, without labels; their ids are their rows' numbers.

    Args:
      images: (N, H, W, 3) or (H, W, 3), uint8 or floats in [0, 1].

    Raises:
      UserError: another shape, dtype or range.
    """
    array = np.asarray(images)
    if array.ndim == 3 and array.shape[-1] == 3:
        array = array[np.newaxis]
    pixels = ArrayPixels(to_rgb_bytes(array, "The array of images"))
    labels = np.full(len(array), UNLABELLED, np.int32)
    ids = tuple(map(str, range(len(array))))
    return ImageSet("images", pixels, labels, (), ids)


def to_rgb_bytes(
    images: np.ndarray, where: str, bits: int | None = None
) -> np.ndarray:
    """Brings an image array to uint8 (N, H, W, 3).

    Args:
      images: (N, H, W) or (N, H, W, 1 or 3): uint8, floats in [0, 1], or,
        with `bits`, other integers from 0 to 65,535.
      where: names the array in error messages.
      bits: how many bits of wider integers are used, which follows from all
        images of a data set; None refuses them.

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
    if not images.size:
        raise UserError(
            f"{where} holds no image. Received: shape {tuple(images.shape)}"
        )
    if np.issubdtype(images.dtype, np.floating):
        low, high = float(images.min()), float(images.max())
        if not (low >= 0.0 and high <= 1.0):
            raise UserError(
                f"{where} holds floats outside [0, 1]: store uint8, or divide"
                f" by 255. Received: {low:g} to {high:g}"
            )
        images = np.round(images * 255.0).astype(np.uint8)
    elif bits and np.issubdtype(images.dtype, np.integer):
        images = _upper_bits(images, where, bits)
    if images.dtype != np.uint8:
        raise UserError(
            f"{where} must be uint8, or floats in [0, 1]. Received:"
            f" {images.dtype}"
        )
    if images.shape[-1] == 1:
        images = np.repeat(images, 3, axis=-1)
    return images


def _upper_bits(images: np.ndarray, where: str, bits: int) -> np.ndarray:
    if images.dtype == np.uint8:
        return images
    low, high = int(images.min()), int(images.max())
    if low < 0 or high >= 2**16:
        raise UserError(
            f"{where} holds integers that are no values of pixels: store 8 or"
            f" 16 bits. Received: {low} to {high}"
        )
    shifted = images.astype(np.uint16) >> (bits - 8)
    return np.minimum(shifted, 255).astype(np.uint8)


# In front of the ids of images that joined.
PREFIX = "unlabeled_dataset/"


def join_unlabelled(
    images: ImageSet, more: Iterable[ImageSet], prefix: str = PREFIX
) -> ImageSet:
    """`images`, followed by all of `more` without labels.

    Args:
      images: those that keep their labels.
      more: images that join.
      prefix: in front of their ids; '' where these are unique already.

    Raises:
      UserError: one lies in memory and the other in files, or the sizes of
        images in memory differ.
    """
    more = list(more)
    taken = set(images.ids)
    while any(prefix + name in taken for extra in more for name in extra.ids):
        # A folder of the data set itself has this name.
        prefix += PREFIX
    for extra in more:
        names = tuple(prefix + name for name in extra.ids)
        groups = images.groups
        images = dataclasses.replace(
            images,
            pixels=_join(images.pixels, extra.pixels),
            labels=np.concatenate(
                [images.labels, np.full(len(extra), UNLABELLED, np.int32)]
            ),
            ids=(*images.ids, *names),
            first_equal=None,
            # Those of another data set are groups of their own.
            groups=groups and (*groups, *(extra.groups or names)),
            hashes=_join_tables(images.hashes, extra.hashes),
            digests=_join_tables(images.digests, extra.digests),
        )
    return images


def _join_tables(
    first: np.ndarray | None, second: np.ndarray | None
) -> np.ndarray | None:
    if first is None or second is None:
        return None
    return np.concatenate([first, second])


def _join(first: Pixels, second: Pixels) -> Pixels:
    match first, second:
        case ArrayPixels(), ArrayPixels() if first.size == second.size:
            return dataclasses.replace(
                first, array=np.concatenate([first.array, second.array])
            )
        case ArrayPixels(), ArrayPixels():
            raise UserError(
                "--dataset and --unlabeled_dataset hold images of different"
                f" sizes (height, width): {first.size} and {second.size}."
            )
        case FilePixels(), FilePixels():
            paths = (second.path(index) for index in range(len(second)))
            return dataclasses.replace(first, names=(*first.names, *paths))
        case RecordPixels(), RecordPixels() if first.feature == second.feature:
            return dataclasses.replace(
                first,
                shards=first.shards + second.shards,
                shard=np.concatenate(
                    [first.shard, second.shard + len(first.shards)]
                ),
                offset=np.concatenate([first.offset, second.offset]),
                length=np.concatenate([first.length, second.length]),
            )
    raise UserError(
        "--dataset and --unlabeled_dataset must both be folders or lists of"
        " image files, or both TFRecord shards, or both be held in memory"
        " (.npz, IDX files, digits)."
    )
