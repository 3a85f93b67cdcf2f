"""TFRecord shards with one `tf.train.Example` per image, read by index.

| feature | holds |
|---|---|
| `image/encoded` | the bytes of an image file |
| `image/class/label` | int64, a class from 0; -1 or missing: unlabelled |
| `image/class/text` | the class's name; may be missing |

A shard whose name starts with `train`, `val`, `validation` or `test` belongs
to that split, any other to `train`. Shards must not be compressed.
"""

import collections
import dataclasses
import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.data.sources.pixels import RecordPixels
from tf_simclr.data.sources.registry import is_shard
from tf_simclr.data.sources.source import Source, stamp
from tf_simclr.data.sources.splits import SPLIT_NAMES, number_classes
from tf_simclr.errors import UserError
from tf_simclr.files import replacing

ENCODED = "image/encoded"
LABEL = "image/class/label"
TEXT = "image/class/text"
# Around an example's bytes: its length and a checksum, another checksum.
_BEFORE, _AFTER = 12, 4
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_CLASSES = 2**20

# (bytes of the image file, class or -1, name of the class or '')
Record = tuple[bytes, int, str]


def write_shard(path: str, records: Iterable[Record]) -> None:
    """Writes images as one shard that `list_records` reads."""
    with (
        replacing(path) as temporary,
        tf.io.TFRecordWriter(temporary) as writer,
    ):
        for encoded, label, text in records:
            values = {ENCODED: [encoded], TEXT: [text.encode()]}
            feature = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=v))
                for name, v in values.items()
                if v[0]
            }
            feature[LABEL] = tf.train.Feature(
                int64_list=tf.train.Int64List(value=[label])
            )
            features = tf.train.Features(feature=feature)
            example = tf.train.Example(features=features)
            writer.write(example.SerializeToString())


@dataclasses.dataclass(frozen=True)
class Examples:
    """What some shards hold, in order.

    Attributes:
      pixels: where the images lie.
      ids: shard's name, from `shard_names`, and number within it.
      labels: int32, -1 where unknown.
      texts: names of the classes, '' where unknown.
    """

    pixels: RecordPixels
    ids: tuple[str, ...]
    labels: np.ndarray
    texts: tuple[str, ...]


def list_records(place: str) -> Source:
    """Lists the images in the shards of a folder, or of a glob pattern.

    Reads every shard once from end to end.

    Raises:
      UserError: no shard, a shard that is damaged or compressed, or examples
        without the features above.
    """
    stamps = {}
    if os.path.isdir(place):
        root = os.path.abspath(place)
        stamps[root] = stamp(root)
        names = sorted(os.listdir(root))
        paths = [os.path.join(root, name) for name in names if is_shard(name)]
    else:
        paths = [os.path.abspath(path) for path in sorted(glob.glob(place))]
    shards: dict[str, dict[str, str]] = collections.defaultdict(dict)
    linked = 0
    for path in filter(os.path.isfile, paths):
        stamps[path] = stamp(path)
        of_split = shards[_split_of(os.path.basename(path))]
        # The first of its paths, if it can be reached by several.
        first = of_split.setdefault(os.path.realpath(path), path)
        linked += first != path
    kept = [path for found in shards.values() for path in found.values()]
    names = shard_names(kept)
    found = {
        split: read_examples(
            list(shards[split].values()), ENCODED, LABEL, TEXT, names
        )
        for split in sorted(shards, key=list(SPLIT_NAMES.values()).index)
    }
    found = {split: e for split, e in found.items() if e.ids}
    if not found:
        raise UserError(
            f"There is no image in the TFRecord shards {place}. Received:"
            f" {len(paths)} shards"
        )
    class_names, labels = _classes(found, place)
    splits = {
        split: ImageSet(
            name=split,
            pixels=examples.pixels,
            labels=labels[split],
            class_names=class_names,
            ids=examples.ids,
        )
        for split, examples in found.items()
    }
    notices = []
    if linked:
        notices.append(
            f"left out {linked} links to shards that are read already"
        )
    return Source(splits=splits, stamps=stamps, notices=tuple(notices))


def shard_names(shards: Sequence[str]) -> dict[str, str]:
    """{path: name}, unique: that of the file where no other shard has it,
    else the path relative to the folder that holds all shards.

    Args:
      shards: paths, each once.
    """
    counts = collections.Counter(map(os.path.basename, shards))
    if max(counts.values(), default=0) < 2:
        return {path: os.path.basename(path) for path in shards}
    common = os.path.commonpath([os.path.dirname(path) for path in shards])
    return {
        path: os.path.relpath(path, common)
        if counts[os.path.basename(path)] > 1
        else os.path.basename(path)
        for path in shards
    }


def read_examples(
    shards: Sequence[str],
    encoded: str,
    label: str,
    text: str,
    names: Mapping[str, str],
) -> Examples:
    """Reads shards once from end to end; keeps where the images lie.

    Args:
      shards: paths, in order.
      encoded: the feature that holds an image file's bytes.
      label: the feature that holds its class; may be missing.
      text: the feature that holds the class's name; may be missing.
      names: from `shard_names`, of these shards and more.

    Raises:
      UserError: a shard is damaged or compressed, or has other features.
    """
    places, ids, labels, texts = [], [], [], []
    for number, shard in enumerate(shards):
        name = names[shard]
        for index, (offset, data) in enumerate(_read_shard(shard)):
            feature = tf.train.Example.FromString(data).features.feature
            where = f"Example {index} of {shard}"
            if not _bytes(feature, encoded):
                raise UserError(
                    f"{where} must hold an image file's bytes in '{encoded}'."
                    f" Received: {', '.join(sorted(feature)) or 'no feature'}"
                )
            value = _integer(feature, label)
            if not UNLABELLED <= value < _MAX_CLASSES:
                raise UserError(
                    f"{where} must have a class from 0 in '{label}', or -1 for"
                    f" none. Received: {value}"
                )
            places.append((number, offset, len(data)))
            ids.append(f"{name}/{index}")
            labels.append(value)
            texts.append(_bytes(feature, text).decode(errors="replace"))
    shard, offset, length = np.array(places, np.int64).reshape(-1, 3).T
    pixels = RecordPixels(tuple(shards), shard, offset, length, encoded)
    return Examples(
        pixels, tuple(ids), np.array(labels, np.int32), tuple(texts)
    )


def _read_shard(path: str) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of every example."""
    with open(path, "rb") as file:
        if file.read(2) == _GZIP_MAGIC:
            raise UserError(
                f"{path} is compressed, and examples are read by their place:"
                " unpack it, or write it without compression."
            )
    position = 0
    try:
        for data in tf.data.TFRecordDataset(path).as_numpy_iterator():
            yield position + _BEFORE, data
            position += _BEFORE + len(data) + _AFTER
    except tf.errors.OpError as error:
        raise UserError(
            f"{path} is damaged behind byte {position}: it was not written to"
            " the end, or changed later."
        ) from error


def _split_of(name: str) -> str:
    word = re.match(r"[a-z]*", name.casefold())[0]
    return SPLIT_NAMES.get(word, "train")


def _classes(
    found: Mapping[str, Examples], place: str
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Class names and labels: by number where there are numbers."""
    labels = {split: examples.labels for split, examples in found.items()}
    highest = max(int(values.max()) for values in labels.values())
    if highest == UNLABELLED:
        texts = {s: [t or None for t in e.texts] for s, e in found.items()}
        return number_classes(texts, place)
    names = [str(number) for number in range(highest + 1)]
    for examples in found.values():
        for number, text in zip(examples.labels, examples.texts, strict=True):
            if text and number != UNLABELLED:
                names[number] = text
    return tuple(names), labels


def _bytes(feature: Mapping[str, tf.train.Feature], name: str) -> bytes:
    values = feature[name].bytes_list.value if name in feature else ()
    return values[0] if values else b""


def _integer(feature: Mapping[str, tf.train.Feature], name: str) -> int:
    values = feature[name].int64_list.value if name in feature else ()
    return values[0] if values else UNLABELLED
