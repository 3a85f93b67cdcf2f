"""Listed sources, kept in memory and in the folders of runs."""

import dataclasses
import os
from collections.abc import Callable, Sequence

from tf_simclr.data.sources.index import index_file, read_index, write_index
from tf_simclr.data.sources.scan import scan_source
from tf_simclr.data.sources.source import Source
from tf_simclr.process import cache

# Sources that this process keeps: a data set and its unlabelled companion.
_KEPT = 2


@dataclasses.dataclass
class _Known:
    source: Source
    built: bool
    stored_in: set[str]


_known: dict[str, _Known] = cache()


def listed_source(
    key: str,
    build: Callable[[], Source],
    folders: Sequence[str],
    *,
    scan: bool,
    refresh: bool = False,
) -> Source:
    """The source that `key` describes: known, read from an index, or built.

    Nothing is written; see `store_index`.

    Args:
      key: says what is listed, and how.
      build: lists it.
      folders: where an index may lie.
      scan: whether every image must have been looked at.
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
        known = _Known(build(), True, set())
    if scan and not known.source.scanned:
        known = _Known(scan_source(known.source), True, set())
    _known[key] = known
    for oldest in list(_known)[:-_KEPT]:
        del _known[oldest]
    return known.source


def store_index(key: str, folder: str, folders: Sequence[str]) -> None:
    """Writes the index of a source to `folder`, unless one of `folders` has
    it, or the images themselves are in memory.

    Args:
      key: as given to `listed_source` before.
      folder: where to write it; is made where it is missing.
      folders: where a later run will look for it.
    """
    known = _known.get(key)
    if known is None or known.source.in_memory:
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
            return _Known(source, False, {folder})
    return None
