"""TFRecord shards with one `tf.train.Example` per image, read by index.

| feature | holds |
|---|---|
| `image/encoded` | the bytes of an image file |
| `image/class/label` | int64, a class from 0; -1 or missing: unlabelled |
| `image/class/text` | the class's name; may be missing |

A shard belongs to the split that a word of its name or of its folder stands
for, such as `flowers_val-00000-of-00010.tfrecord`; where no name has such a
word, all belong to `train`. Shards must not be compressed.
"""

import collections
import dataclasses
import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from tf_simclr.data.sources.image_set import MAX_CLASSES, UNLABELLED, ImageSet
from tf_simclr.data.sources.pixels import RecordPixels
from tf_simclr.data.sources.registry import is_shard
from tf_simclr.data.sources.source import Source, Stamp, stamp
from tf_simclr.data.sources.split_names import in_order, split_words
from tf_simclr.data.sources.splits import number_classes
from tf_simclr.errors import UserError, at_most
from tf_simclr.files import replacing

ENCODED = "image/encoded"
LABEL = "image/class/label"
TEXT = "image/class/text"
# Around an example's bytes: its length and a checksum, another checksum.
_BEFORE, _AFTER = 12, 4
_GZIP_MAGIC = b"\x1f\x8b"
_ZLIB_MAGIC = b"\x78"
# Names in a message; the rest is counted.
_SHOWN = 4

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
    """Contents of some shards, in order.

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
    paths, stamps = _paths(place)
    shards: dict[str, dict[str, str]] = collections.defaultdict(dict)
    linked = 0
    for path, split in _splits(paths, place).items():
        stamps[path] = stamp(path)
        of_split = shards[split]
        # The first of its paths, if it can be reached by several.
        first = of_split.setdefault(os.path.realpath(path), path)
        linked += first != path
    of_splits = {
        split: list(shards[split].values()) for split in in_order(shards)
    }
    names = shard_names([path for part in of_splits.values() for path in part])
    named = _names_of_features(of_splits)
    found = {
        split: read_examples(part, *named, names)
        for split, part in of_splits.items()
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
    notices = [
        f"shards of {split}: {at_most(_SHOWN, [names[p] for p in paths])}"
        for split, paths in of_splits.items()
    ]
    usual = (ENCODED, LABEL, TEXT)
    if others := [f"'{name}'" for name in named if name not in usual]:
        notices.append(
            f"features of other names are taken: {' and '.join(others)}"
        )
    if not any(images.has_labels for images in splits.values()):
        notices.append(f"no example has a label in '{LABEL}'")
    if linked:
        notices.append(
            f"left out {linked} links to shards that are read already"
        )
    return Source(splits=splits, stamps=stamps, notices=tuple(notices))


# Other names that people give to the features.
_ENCODED_NAMES = (
    ENCODED,
    "image",
    "image_raw",
    "image/data",
    "encoded",
    "jpeg",
)
_LABEL_NAMES = (LABEL, "label", "class", "target", "image/label", "class_id")
_TEXT_NAMES = (TEXT, "class_name", "class/text", "label_name")


def _names_of_features(shards: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of image, label and class name in the first example."""
    paths = [path for part in shards.values() for path in part]
    for path in paths:
        for _, data in _read_shard(path):
            feature = _features(data, f"Example 0 of {path}")
            return [
                next((name for name in names if name in feature), names[0])
                for names in (_ENCODED_NAMES, _LABEL_NAMES, _TEXT_NAMES)
            ]
    return [ENCODED, LABEL, TEXT]


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
            where = f"Example {index} of {shard}"
            feature = _features(data, where)
            if not _bytes(feature, encoded):
                raise UserError(
                    f"{where} must hold an image file's bytes in '{encoded}'."
                    f" Received: {', '.join(sorted(feature)) or 'no feature'}"
                )
            value = _integer(feature, label, where)
            if not UNLABELLED <= value < MAX_CLASSES:
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


def read_places(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and lengths, int64 (N,), of the examples of a shard.

    Raises:
      UserError: it is damaged or compressed.
    """
    found = [(offset, len(data)) for offset, data in _read_shard(path)]
    offsets, lengths = np.array(found, np.int64).reshape(-1, 2).T
    return offsets, lengths


def _read_shard(path: str) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of every example."""
    with open(path, "rb") as file:
        start = file.read(12)
        # A record of this length would not fit on any disk.
        compressed = start[:1] == _ZLIB_MAGIC and start[6:8] != b"\0\0"
        if start[:2] == _GZIP_MAGIC or compressed:
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


def _paths(place: str) -> tuple[list[str], dict[str, Stamp]]:
    """The shards of a folder or of a pattern; stamps of their folders."""
    if not os.path.isdir(place):
        found = [os.path.abspath(path) for path in sorted(glob.glob(place))]
        return list(filter(os.path.isfile, found)), {}
    root = os.path.abspath(place)
    found, stamps = [], {}
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(n for n in folders if not n.startswith("."))
        stamps[folder] = stamp(folder)
        found += [
            os.path.join(folder, name)
            for name in sorted(files)
            if is_shard(name) and not name.startswith(".")
        ]
    return list(filter(os.path.isfile, found)), stamps


def _splits(paths: Sequence[str], place: str) -> dict[str, str]:
    """{path: split}, by the words of file and folder.

    Raises:
      UserError: names a shard of no split, or of two.
    """
    common = os.path.commonpath([os.path.dirname(p) for p in paths] or ["/"])
    names = {path: os.path.relpath(path, common) for path in paths}
    found = {path: split_words(name) for path, name in names.items()}
    if not any(found.values()):
        return dict.fromkeys(paths, "train")
    named = [names[path] for path in paths if len(found[path]) == 1]
    strange = [names[path] for path in paths if len(found[path]) != 1]
    if strange:
        raise UserError(
            f"Of the TFRecord shards {place} some are named for one split"
            f" ({at_most(_SHOWN, named) or 'none'}) and others are not"
            f" ({at_most(_SHOWN, strange)}): let each name hold train,"
            " validation or test, or none of them, or choose some with a"
            " pattern such as --dataset='DIR/train-*'."
        )
    return {path: found[path].pop() for path in paths}


def _classes(
    found: Mapping[str, Examples], place: str
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Class names and labels: by number where there are numbers."""
    labels = {
        split: examples.labels.copy() for split, examples in found.items()
    }
    highest = max(int(values.max()) for values in labels.values())
    if highest == UNLABELLED:
        texts = {s: [t or None for t in e.texts] for s, e in found.items()}
        return number_classes(texts, place)
    texts: dict[int, str] = {}
    for examples in found.values():
        for number, text in zip(examples.labels, examples.texts, strict=True):
            if not text or number == UNLABELLED:
                continue
            if texts.setdefault(int(number), text) != text:
                raise UserError(
                    f"In the TFRecord shards {place} class {number} is called"
                    f" '{texts[int(number)]}' and '{text}': one number must"
                    f" have one name in '{TEXT}'."
                )
    numbers = {text: number for number, text in texts.items()}
    for split, examples in found.items():
        for at in np.flatnonzero(labels[split] == UNLABELLED):
            text = examples.texts[at]
            if text and text not in numbers:
                raise UserError(
                    f"{examples.ids[at]} of {place} has the class '{text}' in"
                    f" '{TEXT}' and no number in '{LABEL}', where other"
                    " examples have numbers: number all of them, or none."
                )
            labels[split][at] = numbers.get(text, UNLABELLED)
    names = [texts.get(number, str(number)) for number in range(highest + 1)]
    return tuple(names), labels


def _features(data: bytes, where: str) -> Mapping[str, tf.train.Feature]:
    try:
        return tf.train.Example.FromString(data).features.feature
    except DecodeError as error:
        raise UserError(
            f"{where} is no tf.train.Example: write each image as one, with"
            f" its bytes in '{ENCODED}' and its class in '{LABEL}'."
        ) from error


def _bytes(feature: Mapping[str, tf.train.Feature], name: str) -> bytes:
    values = feature[name].bytes_list.value if name in feature else ()
    return values[0] if values else b""


def _integer(
    feature: Mapping[str, tf.train.Feature], name: str, where: str
) -> int:
    if name not in feature:
        return UNLABELLED
    kind = feature[name].WhichOneof("kind")
    if kind not in ("int64_list", None):
        raise UserError(
            f"{where} must hold its class in '{name}' as int64. Received:"
            f" {kind.removesuffix('_list')}"
        )
    values = feature[name].int64_list.value
    if len(values) > 1:
        raise UserError(
            f"{where} must hold one class in '{name}'. Received:"
            f" {len(values)} of them"
        )
    return values[0] if values else UNLABELLED
