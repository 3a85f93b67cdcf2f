"""Local copies of what is read from object storage: images, weights, files.

An object is copied once, and again when its size or the time of its last
change is another one.
"""

import collections
import hashlib
import json
import os
import posixpath
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from tf_simclr.data.sources.registry import EXTENSIONS
from tf_simclr.data.sources.table import read_table
from tf_simclr.errors import UserError
from tf_simclr.files import read_json, write_json
from tf_simclr.progress import Counter, say
from tf_simclr.storage import objects
from tf_simclr.storage.addresses import READ, check_inside, local_place
from tf_simclr.storage.mirror import INDEX_FILE

_TABLES = (".csv", ".tsv")
_GIB = 2**30


def copy_images(address: str, flag: str, scratch: str) -> str:
    """Copies a data set; returns its local place.

    Args:
      address: of a folder, an .npz file, a table with the images that it
        names, or shards, as a pattern with *.
      flag: that names it, for messages.
      scratch: the folder of all local copies.

    Raises:
      UserError: there is nothing, or no room for it.
      StorageFailed: an object cannot be read.
    """
    objects.check_scheme(address, flag)
    if "*" in address:
        found = objects.matching(address)
        if not found:
            raise UserError(f"--{flag}: nothing matches {address}.")
        folder = posixpath.dirname(address.partition("*")[0] + "x")
        names = [x.removeprefix(f"{folder}/") for x in found]
        place = _copied(folder, names, scratch, address)
        return os.path.join(place, address.removeprefix(f"{folder}/"))
    place = copy_path(address, flag, scratch)
    if address.casefold().endswith(_TABLES) and os.path.isfile(place):
        folder = posixpath.dirname(address)
        table = read_table(place, EXTENSIONS)
        names = _listed_files(folder, table)
        _copied(folder, names, scratch, f"images of {address}")
    return place


def copy_path(
    address: str,
    flag: str,
    scratch: str,
    wanted: Callable[[str], bool] = lambda name: True,
) -> str:
    """Copies a file, a folder or a checkpoint; returns its local place.

    Args:
      address: of an object, a folder, or the prefix of a checkpoint, which is
        copied with the run that it is of.
      flag: that names it, for messages.
      scratch: the folder of all local copies.
      wanted: from a name in the folder, whether to copy it.

    Raises:
      UserError: there is nothing, or no room for it.
      StorageFailed: an object cannot be read.
    """
    address = address.rstrip("/")
    objects.check_scheme(address, flag)
    folder, name = posixpath.split(address)
    # Before folders: some file systems take a name's beginning for one.
    if objects.is_object(f"{address}.index"):
        run = posixpath.dirname(folder)
        of_run = objects.exists(f"{run}/config.json")
        base = run if of_run else folder
        kept = [
            each
            for each in _names(base)
            if _beside(each, name, checkpoints=of_run)
        ]
        place = _copied(base, kept, scratch, address)
        return os.path.join(place, address.removeprefix(f"{base}/"))
    if objects.is_folder(address):
        names = list(filter(wanted, _names(address)))
        return _copied(address, names, scratch, address)
    if not objects.exists(address):
        raise UserError(
            f"--{flag}: there is no object and no folder of this address."
            f" Received: {address}"
        )
    return os.path.join(_copied(folder, [name], scratch, address), name)


def _beside(each: str, prefix: str, *, checkpoints: bool) -> bool:
    """True for the files of one checkpoint, and small ones of its run."""
    folder, name = posixpath.split(each)
    if folder == ("checkpoints" if checkpoints else ""):
        return name.startswith(f"{prefix}.")
    return not folder


def _names(address: str) -> list[str]:
    """Names of the objects of a folder: by its index, if a run wrote one."""
    content = objects.read(f"{address}/{INDEX_FILE}")
    if content is not None:
        return sorted(json.loads(content)["files"])
    return [
        name
        for name in objects.names_below(address)
        if not posixpath.basename(name).startswith(".")
    ]


def _listed_files(folder: str, table: Iterable) -> list[str]:
    """Names of the objects that a table lists; those that it spells otherwise
    than their storage are looked up there."""
    names = dict.fromkeys(
        posixpath.normpath(path.replace("\\", "/"))
        for _, path, *_ in table
        if path
    )
    inside = [x for x in names if not x.startswith(("/", ".."))]
    there = objects.each(objects.is_object, [f"{folder}/{x}" for x in inside])
    missing = [x for x, found in zip(inside, there, strict=True) if not found]
    by_stem: dict[str, dict[str, str]] = collections.defaultdict(dict)
    for below in {posixpath.dirname(name) for name in missing}:
        place = posixpath.join(folder, below).rstrip("/")
        for name in objects.names_in(place):
            by_stem[below][_plain(name)] = name
            by_stem[below].setdefault(_plain(os.path.splitext(name)[0]), name)
    found = []
    for name in inside:
        below, last = posixpath.split(name)
        last = by_stem[below].get(_plain(last), last)
        found.append(posixpath.join(below, last))
    return found


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _copied(folder: str, names: Sequence[str], scratch: str, what: str) -> str:
    """Copies objects of a folder; returns the folder's local place.

    Args:
      folder: its address.
      names: of the objects, below it.
      scratch: the folder of all local copies.
      what: tells this copy from others of the same folder.
    """
    check_inside(names, folder)
    place = local_place(folder, scratch, READ)
    digest = hashlib.sha256(f"{folder}\n{what}".encode()).hexdigest()[:16]
    record = os.path.join(scratch, "copied", f"{digest}.json")
    os.makedirs(os.path.dirname(record), exist_ok=True)
    before = read_json(record) if os.path.exists(record) else {}
    addresses = [f"{folder}/{name}" for name in names]
    marks = objects.each(objects.signature, addresses)
    now = {
        name: list(mark)
        for name, mark in zip(names, marks, strict=True)
        if mark is not None
    }
    new = [
        name
        for name, mark in now.items()
        if not _is_copy(os.path.join(place, name), mark, before.get(name))
    ]
    for name in before.keys() - now.keys():
        path = os.path.join(place, name)
        if os.path.isfile(path):
            os.remove(path)
    if new:
        _check_room(sum(now[name][0] for name in new), folder, scratch)
        say(f"{folder}: copying {len(new)} of {len(now)} files to {place}")
        _download(folder, new, place)
    write_json(record, now)
    return place


def _is_copy(path: str, mark: list[int], before: list[int] | None) -> bool:
    # Some file systems keep no time: then nothing tells a change.
    return mark == before and mark[1] > 0 and os.path.isfile(path)


def _download(folder: str, names: Sequence[str], place: str) -> None:
    counter = Counter(len(names), "files copied")

    def download(name: str) -> None:
        objects.download(f"{folder}/{name}", os.path.join(place, name))
        counter.add(1)

    objects.each(download, names)


def _check_room(size: int, folder: str, scratch: str) -> None:
    free = shutil.disk_usage(scratch).free
    if size > free:
        raise UserError(
            f"The copies of {folder} need {size / _GIB:.1f} GiB, and"
            f" {scratch} has {free / _GIB:.1f} GiB free: name another place"
            " with --scratch_dir."
        )
