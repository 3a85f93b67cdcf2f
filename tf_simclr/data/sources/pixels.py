"""Places of a split's pixels: in memory, in files, in record shards.

All kinds have a length, `take(indices)`, and `size`: (height, width) where
all images are known to have the same, else None. Those outside memory have
`encoded(index)`, the bytes of one image file as a scalar string tensor, for
use within `tf.data`, of a format that `decode.py` reads; and `how` they are to
be decoded.
"""

import dataclasses
import functools
import os

import numpy as np
import tensorflow as tf

from tf_simclr.data.decoding import AS_ORIGINAL, Decoding
from tf_simclr.data.transcode import plain

Size = tuple[int, int]


def on_host(values: np.ndarray | list[str]) -> tf.Tensor:
    """A tensor in the host's memory, of the values' shape.

    Outside the graph of whoever asks: a million paths are no constant.
    """
    with tf.init_scope(), tf.device("CPU:0"):
        return tf.constant(values)


@dataclasses.dataclass(frozen=True)
class ArrayPixels:
    """Decoded images of one size.

    Attributes:
      array: uint8 (N, H, W, 3).
      how: they were decoded.
    """

    array: np.ndarray
    how: Decoding = AS_ORIGINAL

    def __len__(self) -> int:
        return len(self.array)

    @property
    def size(self) -> Size:
        """(height, width) of every image."""
        height, width = self.array.shape[1:3]
        return int(height), int(width)

    def take(self, indices: np.ndarray) -> "ArrayPixels":
        """The images at `indices` (n,), in that order."""
        return dataclasses.replace(self, array=self.array[indices])


@dataclasses.dataclass(frozen=True)
class FilePixels:
    """One image file per image.

    Attributes:
      root: the folder that relative names start from.
      names: one path per image, often the tuple that also serves as ids.
      how: the files are decoded.
    """

    root: str
    names: tuple[str, ...]
    how: Decoding = AS_ORIGINAL

    def __len__(self) -> int:
        return len(self.names)

    @property
    def size(self) -> None:
        """Unknown: files may differ."""
        return None

    def path(self, index: int) -> str:
        """The path of one image."""
        return os.path.join(self.root, self.names[index])

    def take(self, indices: np.ndarray) -> "FilePixels":
        """The images at `indices` (n,), in that order."""
        names = tuple(self.names[index] for index in indices)
        return dataclasses.replace(self, names=names)

    def encoded(self, index: tf.Tensor) -> tf.Tensor:
        """The bytes of one image: integer scalar -> string scalar."""
        return plain(self.stored(index))

    def stored(self, index: tf.Tensor) -> tf.Tensor:
        """The bytes of one file, of whatever format: integer scalar -> string
        scalar."""
        return tf.io.read_file(tf.gather(self._paths, index))

    @functools.cached_property
    def _paths(self) -> tf.Tensor:
        root = os.path.join(self.root, "")
        # os.path.join, of a million names in a fraction of the time.
        paths = [n if os.path.isabs(n) else root + n for n in self.names]
        return on_host(paths)


@dataclasses.dataclass(frozen=True)
class RecordPixels:
    """One `tf.train.Example` per image, in uncompressed TFRecord shards.

    Attributes:
      shards: paths of the shards.
      shard: int32 (N,), the shard that holds each image.
      offset: int64 (N,), where the example's bytes start in it.
      length: int64 (N,), how many there are.
      feature: the example's feature that holds the image file's bytes.
      how: these are decoded.
    """

    shards: tuple[str, ...]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    feature: str
    how: Decoding = AS_ORIGINAL

    def __len__(self) -> int:
        return len(self.shard)

    @property
    def size(self) -> None:
        """Unknown: images may differ."""
        return None

    def take(self, indices: np.ndarray) -> "RecordPixels":
        """The images at `indices` (n,), in that order."""
        return dataclasses.replace(
            self,
            shard=self.shard[indices],
            offset=self.offset[indices],
            length=self.length[indices],
        )

    def encoded(self, index: tf.Tensor) -> tf.Tensor:
        """The bytes of one image: integer scalar -> string scalar."""
        return plain(self.stored(index))

    def stored(self, index: tf.Tensor) -> tf.Tensor:
        """The bytes of one image as they are stored, of whatever format:
        integer scalar -> string scalar."""
        # No TensorFlow op reads at an offset without opening the file anew
        # for each example, at ten times the cost.
        example = tf.numpy_function(self._read, [index], tf.string)
        example = tf.ensure_shape(example, [])
        parsed = tf.io.parse_single_example(
            example, {self.feature: tf.io.FixedLenFeature([], tf.string)}
        )
        return parsed[self.feature]

    def _read(self, index: np.ndarray) -> bytes:
        # Datasets have more shards than a process may hold open.
        with open(self.shards[self.shard[index]], "rb") as shard:
            shard.seek(self.offset[index])
            return shard.read(self.length[index])


Pixels = ArrayPixels | FilePixels | RecordPixels
