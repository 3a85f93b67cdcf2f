"""Shrunk copies of large images: written once, read by every later run.

Most of the time that a photograph of a camera takes is the decoding of pixels
that its views do not show. A copy keeps what views can use of it.

Copies are known by the content of their files, so that names, data sets and
labels may change. Each shard is a TFRecord file, with a table of what it holds
beside it; the table is written last, and a shard without one does not count.
"""

import contextlib
import dataclasses
import fcntl
import glob
import hashlib
import itertools
import os
import zipfile
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tf_simclr.data.augment.framing import Framing
from tf_simclr.data.decode import decode_for_view
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.data.sources.look import content_digest
from tf_simclr.data.sources.pixels import ArrayPixels, RecordPixels
from tf_simclr.data.sources.records import ENCODED, read_places, write_shard
from tf_simclr.data.threads import with_threads
from tf_simclr.data.transcode import plain
from tf_simclr.errors import DataFailed, UserError
from tf_simclr.files import remove_unfinished, write_npz
from tf_simclr.progress import Counter, say, say_once

# The shorter side of a copy, in sides of the view. ImageNet's photographs, for
# which the crops of Szegedy et al. (2015) were chosen, have 375 to 500 pixels
# for views of 224.
_SIDES = 2
# Of JPEG copies; shrinking has taken away most of what coarser steps spoil.
_QUALITY = 95
# Images of a shard: what a process that is killed has to make again.
_SHARD = 256
_LOCK_FILE = ".lock"
_SHRINKING = Framing(antialias=True)


def side_of_copies(image_size: int) -> int:
    """The shorter side of copies, for views of `image_size` pixels a side."""
    return _SIDES * image_size


def with_shrunk_copies(
    images: ImageSet, folder: str, side: int, shard: int = _SHARD
) -> ImageSet:
    """Images read from shrunk copies, which are made if need be.

    An image whose shorter side has at most `side` pixels is copied as it is.
    Of a larger one all pixels count; a JPEG file becomes a JPEG file
    of quality 95, anything else a PNG file.

    Args:
      images: any images; those in memory stay there.
      folder: holds copies, also of other data sets and for other views.
      side: the shorter one of a copy, in pixels.
      shard: images that are written at a time.

    Raises:
      UserError: nobody looked at the files, by whose content copies are known;
        or the folder cannot be written to.
      DataFailed: a file was changed since it was looked at.
      tf.errors.OpError: an image cannot be read any more.
    """
    if isinstance(images.pixels, ArrayPixels):
        say_once(
            f"--prepare_cache={folder} is not used: the images are in memory."
        )
        return images
    if images.digests is None:
        raise UserError(
            "--prepare_cache knows images by their content, and nobody looked"
            " at it: leave out --noscan_images, or add --refresh_index where"
            " the index of the images was written by an earlier version."
            f" Received: --prepare_cache={folder}"
        )
    how = images.pixels.how
    place = os.path.join(folder, f"{side}px-{how.alpha}-{how.bits}bit")
    try:
        os.makedirs(place, exist_ok=True)
        found = _Copies.in_folder(place)
        missing = found.missing(images.digests)
        if len(missing):
            with _waiting_for(place):
                # Another process may have made them meanwhile.
                found = _Copies.in_folder(place)
                missing = found.missing(images.digests)
                _write(images, missing, place, side, shard)
            found = _Copies.in_folder(place)
    except OSError as error:
        raise UserError(
            f"--prepare_cache={folder} cannot be written to: {error.strerror}."
            f" Received: {error.filename or place}"
        ) from error
    pixels = found.pixels(images)
    return dataclasses.replace(images, pixels=pixels)


def _write(
    images: ImageSet, missing: np.ndarray, place: str, side: int, shard: int
) -> None:
    """Writes copies of the images at `missing` (n,), shard by shard."""
    if not len(missing):
        return
    remove_unfinished(place)
    say(
        f"Shrinking {len(missing):,} of {len(images):,} images to {side} pixels"
        f" in {place}; later runs read them from there."
    )
    counter = Counter(len(missing), "images shrunk")
    copies = _shrunk(images, missing, side)
    for start in range(0, len(missing), shard):
        chosen = missing[start : start + shard]
        digests = images.digests[chosen]
        # By content: whoever does the same work writes the same file, and
        # nobody writes over a file that another run reads.
        name = hashlib.blake2b(digests.tobytes(), digest_size=16).hexdigest()
        path = os.path.join(place, f"copies-{name}")
        part = itertools.islice(copies, len(chosen))
        write_shard(
            f"{path}.tfrecord", ((encoded, UNLABELLED, "") for encoded in part)
        )
        offsets, lengths = read_places(f"{path}.tfrecord")
        write_npz(
            f"{path}.npz",
            {
                "digests": digests,
                "offsets": offsets,
                "lengths": lengths,
                "bytes": np.int64(os.path.getsize(f"{path}.tfrecord")),
            },
        )
        counter.add(len(chosen))


def _shrunk(
    images: ImageSet, indices: np.ndarray, side: int
) -> Iterator[bytes]:
    """The copies of the images at `indices` (n,): image files.

    Raises:
      DataFailed: a file was changed since it was looked at.
    """
    pixels = images.pixels

    def copy(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        stored = pixels.stored(index)
        encoded = plain(stored)
        # Turned upright, with the depth and background that were asked for.
        image = decode_for_view(encoded, pixels.how, _SHRINKING, side)
        size = tf.shape(image)[:2]
        shorter = tf.reduce_min(size)
        shrunk = tf.cond(
            shorter > side,
            lambda: _encoded(
                _resized(image, size * side // shorter),
                tf.io.is_jpeg(encoded),
            ),
            lambda: encoded,
        )
        return shrunk, tf.numpy_function(_digest, [stored], tf.uint64)

    dataset = with_threads(
        tf.data.Dataset.from_tensor_slices(indices)
        .map(copy, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(os.cpu_count() or 1)
    )
    for index, (shrunk, digest) in zip(
        indices, dataset.as_numpy_iterator(), strict=True
    ):
        if digest != images.digests[index]:
            raise DataFailed(
                f"{images.ids[index]} was changed since it was looked at: give"
                " the same command again with --refresh_index."
            )
        yield shrunk


def _digest(data: bytes) -> np.uint64:
    return np.uint64(content_digest(data))


def _resized(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """uint8 (H, W, 3) -> uint8 of `size`, int32 (2,)."""
    height, width = tf.unstack(size)
    values = tf.cast(image, tf.float32)[tf.newaxis]
    values = _SHRINKING.resize(values, height, width)[0]
    return tf.saturate_cast(tf.round(values), tf.uint8)


def _encoded(image: tf.Tensor, is_jpeg: tf.Tensor) -> tf.Tensor:
    return tf.cond(
        is_jpeg,
        lambda: tf.io.encode_jpeg(
            image, "rgb", quality=_QUALITY, chroma_downsampling=False
        ),
        lambda: tf.io.encode_png(image),
    )


@dataclasses.dataclass(frozen=True)
class _Copies:
    """The copies of a folder.

    Attributes:
      shards: paths.
      digests: uint64 (N,), of the files that were copied, in ascending order.
      shard: int32 (N,), the shard that holds each copy.
      offset, length: int64 (N,), its place in it.
    """

    shards: tuple[str, ...]
    digests: np.ndarray
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray

    @classmethod
    def in_folder(cls, place: str) -> "_Copies":
        """The copies in those shards of a folder that are whole."""
        shards, tables = [], []
        for path in sorted(
            glob.glob(os.path.join(glob.escape(place), "*.npz"))
        ):
            shard = path.removesuffix(".npz") + ".tfrecord"
            table = _table(path, shard)
            if table is None:
                say_once(f"{shard} is not whole: its copies are made again.")
                continue
            number = np.full(len(table["digests"]), len(shards), np.int32)
            shards.append(shard)
            tables.append((table, number))
        if not tables:
            none = np.zeros(0, np.int64)
            return cls((), none.astype(np.uint64), none, none, none)
        digests = np.concatenate([table["digests"] for table, _ in tables])
        digests, first = np.unique(digests, return_index=True)
        return cls(
            tuple(shards),
            digests,
            np.concatenate([number for _, number in tables])[first],
            *(
                np.concatenate([table[name] for table, _ in tables])[first]
                for name in ("offsets", "lengths")
            ),
        )

    def missing(self, digests: np.ndarray) -> np.ndarray:
        """Places of one image of each content that has no copy here."""
        places = np.sort(np.unique(digests, return_index=True)[1])
        return places[~np.isin(digests[places], self.digests)]

    def pixels(self, images: ImageSet) -> RecordPixels:
        """The copies of images, all of which are here, in their order."""
        at = np.searchsorted(self.digests, images.digests)
        return RecordPixels(
            self.shards,
            self.shard[at],
            self.offset[at],
            self.length[at],
            ENCODED,
            images.pixels.how,
        )


def _table(path: str, shard: str) -> dict[str, np.ndarray] | None:
    """Table of what a shard holds; None if either is damaged."""
    try:
        with open(path, "rb") as file, np.load(file) as archive:
            table = dict(archive)
        whole = os.path.getsize(shard) == table["bytes"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return table if whole else None


@contextlib.contextmanager
def _waiting_for(place: str) -> Iterator[None]:
    """Holds the folder's lock, once whoever has it is done."""
    with open(os.path.join(place, _LOCK_FILE), "a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another process writes to {place}: waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            # Some network file systems have no locks: the work is done twice.
            pass
        yield
