"""A listed source, on disk and in memory: a million files are listed once.

An index is an `.npz` file in a run's folder. Names are kept as one block of
bytes, which loads in a fraction of a second.
"""

import dataclasses
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import FilePixels, RecordPixels
from tf_simclr.data.sources.scan import scan_source
from tf_simclr.data.sources.source import Source
from tf_simclr.data.sources.survey import Survey
from tf_simclr.errors import UserError
from tf_simclr.files import write_npz
from tf_simclr.process import cache

# Part of every index: those of another layout are not read.
_VERSION = 3
_PREFIX = "index-"
_RECORD_ARRAYS = ("shard", "offset", "length")
# What a scan adds to images.
_FOUND_ARRAYS = ("hashes", "digests")


def is_index_name(name: str) -> bool:
    """True if a file of this name is an index."""
    # A million names take seconds to match, and hardly any begins so.
    return name.startswith(_PREFIX) and bool(
        re.fullmatch(rf"{_PREFIX}[0-9a-f]{{8}}\.npz", name)
    )


def index_file(folder: str, key: str) -> str:
    """Path of the index in `folder` of the source that `key` describes."""
    digest = hashlib.blake2b(key.encode(), digest_size=4).hexdigest()
    return os.path.join(folder, f"{_PREFIX}{digest}.npz")


def write_index(path: str, key: str, source: Source) -> None:
    """Writes a source of image files or record shards.

    Args:
      path: from `index_file`.
      key: says what was listed, and how.
      source: not of arrays, whose pixels an index does not hold.
    """
    head: dict[str, Any] = {
        "version": _VERSION,
        "key": key,
        "notices": source.notices,
        "bad": dict(source.bad),
        "scanned": source.scanned,
        "survey": dataclasses.asdict(source.survey),
        "splits": [],
    }
    arrays = {
        "stamped": _pack(source.stamps),
        "stamps": np.array(list(source.stamps.values()), np.int64),
    }
    for number, images in enumerate(source.splits.values()):
        pixels = images.pixels
        entry = {"name": images.name, "class_names": images.class_names}
        if isinstance(pixels, FilePixels):
            entry |= {"root": pixels.root}
        else:
            entry |= {"shards": pixels.shards, "feature": pixels.feature}
            for name in _RECORD_ARRAYS:
                arrays[f"{number}-{name}"] = getattr(pixels, name)
        head["splits"].append(entry)
        arrays[f"{number}-ids"] = _pack(images.ids)
        arrays[f"{number}-labels"] = images.labels
        for name in _FOUND_ARRAYS:
            if getattr(images, name) is not None:
                arrays[f"{number}-{name}"] = getattr(images, name)
    arrays["head"] = _pack([json.dumps(head)])
    write_npz(path, arrays)


def read_index(path: str, key: str) -> Source | None:
    """The source that `write_index` wrote, if it still is as it was.

    Returns:
      None where there is no index, or none of `key`, or it is out of date.
    """
    try:
        # Given a path, NumPy leaves a damaged file open.
        with (
            open(path, "rb") as file,
            np.load(file, allow_pickle=False) as archive,
        ):
            arrays = {name: archive[name] for name in archive.files}
        head = json.loads(_unpack(arrays["head"])[0])
        if (head["version"], head["key"]) != (_VERSION, key):
            return None
        source = _source(head, arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    except UserError:
        # Of version 0.1.0, whose ids were not always unique.
        return None
    return source if source.is_fresh() else None


def _source(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> Source:
    splits = {}
    for number, entry in enumerate(head["splits"]):
        ids = _unpack(arrays[f"{number}-ids"])
        if "root" in entry:
            pixels = FilePixels(entry["root"], ids)
        else:
            pixels = RecordPixels(
                tuple(entry["shards"]),
                *(arrays[f"{number}-{name}"] for name in _RECORD_ARRAYS),
                entry["feature"],
            )
        splits[entry["name"]] = ImageSet(
            name=entry["name"],
            pixels=pixels,
            labels=arrays[f"{number}-labels"],
            class_names=tuple(entry["class_names"]),
            ids=ids,
            # Missing in those of earlier versions.
            **{name: arrays.get(f"{number}-{name}") for name in _FOUND_ARRAYS},
        )
    stamps = zip(
        _unpack(arrays["stamped"]), arrays["stamps"].tolist(), strict=True
    )
    return Source(
        splits=splits,
        notices=tuple(head["notices"]),
        stamps={path: tuple(values) for path, values in stamps},
        bad=head["bad"],
        scanned=head["scanned"],
        survey=Survey.from_json(head["survey"]),
    )


def _pack(names: Iterable[str]) -> np.ndarray:
    """Strings as one block of bytes; none of them may be empty."""
    return np.frombuffer("\0".join(names).encode(), np.uint8)


def _unpack(block: np.ndarray) -> tuple[str, ...]:
    return tuple(block.tobytes().decode().split("\0")) if len(block) else ()


# Sources that this process keeps: a data set and its unlabelled companion.
_KEPT = 2


@dataclasses.dataclass
class _Known:
    source: Source
    built: bool
    # Whether an index of it can be told from one that is out of date.
    stamped: bool
    stored_in: set[str] = dataclasses.field(default_factory=set)


_known: dict[str, _Known] = cache()


def listed_source(
    key: str,
    build: Callable[[], Source],
    folders: Sequence[str],
    *,
    scan: bool,
    hashes: bool = False,
    refresh: bool = False,
) -> Source:
    """The source that `key` describes: known, read from an index, or built.

    Nothing is written; see `store_index`.

    Args:
      key: says what is listed, and how.
      build: lists it.
      folders: where an index may lie.
      scan: whether every image must have been looked at.
      hashes: whether that adds perceptual hashes. An index without them is
        taken as it is: images are not looked at once more for their sake.
      refresh: whether to build it anew, unless this process did already.

    Raises:
      UserError: what `build` raises.
    """
    known = _known.pop(key, None)
    if known and (not known.source.is_fresh() or refresh and not known.built):
        known = None
    if known is None:
        known = _find(key, () if refresh else folders)
    if known is None:
        source = build()
        known = _Known(source, True, bool(source.stamps))
    missing = hashes and known.built and not known.source.hashed
    if scan and (missing or not known.source.scanned):
        source = scan_source(known.source, hashes=hashes)
        known = _Known(source, True, known.stamped)
    _known[key] = known
    for oldest in list(_known)[:-_KEPT]:
        del _known[oldest]
    return known.source


def store_index(key: str, folder: str, folders: Sequence[str]) -> None:
    """Writes the index of a source to `folder`, unless one of `folders` has it.

    A source whose images are in memory, or which was built without stamps,
    has no index.

    Args:
      key: as given to `listed_source` before.
      folder: where to write it; is made where it is missing.
      folders: where a later run will look for it.
    """
    known = _known.get(key)
    if known is None or known.source.in_memory or not known.stamped:
        return
    if known.stored_in & set(folders):
        return
    os.makedirs(folder, exist_ok=True)
    write_index(index_file(folder, key), key, known.source)
    known.stored_in.add(folder)


def _find(key: str, folders: Sequence[str]) -> _Known | None:
    for folder in folders:
        source = read_index(index_file(folder, key), key)
        if source is not None:
            return _Known(source, False, True, {folder})
    return None
