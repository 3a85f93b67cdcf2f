"""A folder of object storage, worked on in a local copy.

What a run writes is copied to the storage in the order in which it was
written, and files that grow up to the length that they had when the order was
made: what a killed process leaves there is what a run, killed a little
earlier, would have left on a disk. An index of all files is written last, so
that a listing which lags matters to nobody.
"""

import dataclasses
import json
import os
import threading
import uuid
import zlib
from collections.abc import Mapping

from tf_simclr.errors import StorageFailed
from tf_simclr.files import read_json, write_json
from tf_simclr.manifests import is_manifest
from tf_simclr.progress import complain, say
from tf_simclr.storage import objects
from tf_simclr.storage.addresses import check_inside
from tf_simclr.storage.lease import LEASE_FILE, RENEWED_EVERY, Lease

INDEX_FILE = ".index.json"
# The local file that says which index the copy had last.
_STATE_FILE = ".copied.json"
# What is written between two checkpoints is copied so often, in seconds.
COPIED_EVERY = 30.0
# How often the local files are looked at, in seconds.
_LOOKED_AT_EVERY = 2.0
_CHUNK = 2**23


@dataclasses.dataclass(frozen=True)
class _File:
    """A local file as it was when it was looked at."""

    inode: int
    size: int
    changed: int

    @classmethod
    def at(cls, path: str) -> "_File":
        found = os.stat(path)
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)


_NOWHERE = _File(0, 0, 0)


class Mirror:
    """A local copy of a folder, and its way there and back.

    Args:
      address: of the folder, SCHEME://PLACE.
      folder: the local copy.
    """

    def __init__(self, address: str, folder: str):
        self.address, self.folder = address, folder
        # {name: (the local file when it was copied, [bytes, CRC-32])}
        self._copied: dict[str, tuple[_File, list[int]]] = {}
        # What the storage's index names, by {name: [bytes, CRC-32]}.
        self._indexed: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    def fetch(self) -> int:
        """Makes the local copy what the storage holds.

        A copy that has the storage's index, or whose storage is empty, is left
        as it is: it may hold what was not yet copied.

        Returns:
          The number of files that were copied.

        Raises:
          StorageFailed: an object cannot be read.
        """
        os.makedirs(self.folder, exist_ok=True)
        index, state = self._index(), self._state()
        if index is None:
            index = {"files": dict.fromkeys(self._listed())}
        elif index["generation"] == state.get("generation"):
            self._know(index["files"])
            self._indexed = index["files"]
            for name in index["files"].keys() - self._files().keys():
                # Removed here, and not yet there.
                self._copied[name] = _NOWHERE, index["files"][name]
            return 0
        check_inside(index["files"], self.address)
        if not index["files"]:
            if not state:
                return 0
            # It has been emptied since: a new run begins.
            self._clear({})
            return 0
        self._clear(index["files"])
        count = 0
        for name, mark in index["files"].items():
            path = os.path.join(self.folder, name)
            if mark is not None and _mark(path) == mark:
                continue
            if objects.download(f"{self.address}/{name}", path) is not None:
                count += 1
        self._know(index["files"])
        write_json(
            os.path.join(self.folder, _STATE_FILE),
            {"generation": index.get("generation")},
        )
        return count

    def send(self) -> int:
        """Copies changed files to the storage.

        Returns:
          The number of files that were copied.

        Raises:
          StorageFailed: an object cannot be written.
        """
        with self._lock:
            count = 0
            while True:
                more, whole = self._send_once()
                count += more
                if whole:
                    return count

    def has_new_checkpoint(self) -> bool:
        """True if a checkpoint is whole that the storage does not have."""
        return any(
            is_manifest(os.path.basename(name)) and name not in self._copied
            for name in self._files()
        )

    def has_changed(self) -> bool:
        """True if a file is not as it was copied last, or has gone."""
        files = self._files()
        known = {name: file for name, (file, _) in self._copied.items()}
        return files != known

    def _send_once(self) -> tuple[int, bool]:
        """Copies what has changed; returns how many files that were, and
        False if one was replaced in the meantime."""
        files = self._files()
        count = 0
        for name, file in sorted(files.items(), key=lambda x: x[1].changed):
            if name in self._copied and self._copied[name][0] == file:
                continue
            path = os.path.join(self.folder, name)
            try:
                now = _File.at(path)
                if now.inode != file.inode or now.size < file.size:
                    return count, False
                checksum = objects.upload(
                    path, f"{self.address}/{name}", file.size
                )
            except FileNotFoundError:
                return count, False
            self._copied[name] = file, [file.size, checksum]
            count += 1
        gone = self._copied.keys() - files.keys()
        marks = {
            name: mark
            for name, (_, mark) in self._copied.items()
            if name not in gone
        }
        # An attempt before this one may have copied files and ended early.
        if marks == self._indexed and not gone:
            return count, True
        if not os.path.isdir(self.folder):
            raise StorageFailed(
                f"The local copy of {self.address} has gone ({self.folder}):"
                " the storage keeps what it holds."
            )
        for name in gone:
            del self._copied[name]
        generation = uuid.uuid4().hex
        index = {"generation": generation, "files": marks}
        objects.write(
            f"{self.address}/{INDEX_FILE}", json.dumps(index).encode()
        )
        write_json(
            os.path.join(self.folder, _STATE_FILE), {"generation": generation}
        )
        self._indexed = marks
        # After the index, which names them no more.
        for name in gone:
            objects.remove(f"{self.address}/{name}")
        return count, True

    def _index(self) -> dict | None:
        content = objects.read(f"{self.address}/{INDEX_FILE}")
        if content is None:
            return None
        try:
            found = json.loads(content)
            return {"generation": found["generation"], "files": found["files"]}
        except (ValueError, KeyError, TypeError) as error:
            raise StorageFailed(
                f"{self.address}/{INDEX_FILE} is damaged: remove it, and all"
                " files that lie there are taken."
            ) from error

    def _state(self) -> dict:
        path = os.path.join(self.folder, _STATE_FILE)
        return read_json(path) if os.path.exists(path) else {}

    def _listed(self) -> list[str]:
        if not objects.is_folder(self.address):
            return []
        names = objects.names_below(self.address)
        return [name for name in names if not _is_ours(name)]

    def _know(self, marks: Mapping[str, list[int] | None]) -> None:
        """Records the local files that equal the storage's as copied."""
        self._copied = {}
        for name, file in self._files().items():
            mark = _mark(os.path.join(self.folder, name))
            if name in marks and marks[name] in (None, mark):
                self._copied[name] = file, mark

    def _clear(self, wanted: Mapping[str, object]) -> None:
        """Removes local files that the storage does not have."""
        for name in self._files().keys() - wanted.keys():
            os.remove(os.path.join(self.folder, name))

    def _files(self) -> dict[str, _File]:
        """{name: file} of all local files that are whole."""
        found = {}
        for folder, folders, names in os.walk(self.folder):
            folders[:] = [x for x in folders if not x.startswith(".")]
            for name in names:
                if name.startswith("."):
                    continue
                path = os.path.join(folder, name)
                try:
                    file = _File.at(path)
                except FileNotFoundError:
                    continue
                found[os.path.relpath(path, self.folder)] = file
        return found


def _is_ours(name: str) -> bool:
    return name in (INDEX_FILE, LEASE_FILE)


def _mark(path: str) -> list[int] | None:
    """[bytes, CRC-32] of a file; None without it."""
    if not os.path.isfile(path):
        return None
    checksum, size = 0, 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            checksum = zlib.crc32(chunk, checksum)
            size += len(chunk)
    return [size, checksum]


class KeptUp:
    """Keeps a mirror's storage up to date in a thread of its own.

    Checkpoints are copied within seconds, all else every `COPIED_EVERY`. Where
    the storage fails, training goes on, and a later attempt copies what is
    missing.

    As a context it begins with the local copy, and ends with all that is left
    to copy and without the lease.

    Args:
      mirror: what to keep up.
      lease: held by this process, and renewed here.
      copied_every: seconds.
    """

    def __init__(
        self, mirror: Mirror, lease: Lease, copied_every: float = COPIED_EVERY
    ):
        self._mirror, self._lease = mirror, lease
        self._copied_every = copied_every
        self._ended = threading.Event()
        # Apart, since to copy a large file may take longer than a lease lasts.
        self._copies = threading.Thread(target=self._copy, daemon=True)
        self._renewals = threading.Thread(target=self._renew, daemon=True)
        self._released = threading.Event()
        self._lost: StorageFailed | None = None
        # Nothing is sent from a copy that is not.
        self._complete = False

    def __enter__(self) -> int:
        """Makes the local copy; returns the number of files copied for it.

        Raises:
          StorageFailed: an object cannot be read.
        """
        self._renewals.start()
        self._copies.start()
        try:
            count = self._mirror.fetch()
        except BaseException:
            self._end()
            self._end_renewals()
            self._lease.release()
            raise
        self._complete = True
        return count

    def _end(self) -> None:
        self._ended.set()
        self._copies.join()

    def _end_renewals(self) -> None:
        self._released.set()
        self._renewals.join()

    def __exit__(self, kind, error, trace) -> None:
        """Copies what is left, and ends the lease.

        Raises:
          StorageFailed: something could not be copied, which only is told
            where another error ends the run.
        """
        self._end()
        try:
            if self._lost is not None:
                raise self._lost
            self._lease.renew()
            count = self._mirror.send()
            self._end_renewals()
            self._lease.release()
            if count:
                say(f"Copied to {self._mirror.address}")
        except StorageFailed as failed:
            sentence = (
                f"{failed} What was not copied lies in {self._mirror.folder};"
                " the same command on this machine goes on from there."
            )
            if error is None:
                raise StorageFailed(sentence) from failed
            complain(StorageFailed(sentence))
        finally:
            self._end_renewals()

    def _renew(self) -> None:
        while not self._released.wait(RENEWED_EVERY):
            try:
                self._lease.renew()
            except StorageFailed as error:
                complain(error)
                if not self._still_ours():
                    self._lost = error
                    return

    def _copy(self) -> None:
        since_copy = 0.0
        while not self._ended.wait(_LOOKED_AT_EVERY):
            since_copy += _LOOKED_AT_EVERY
            if not self._complete or self._lost is not None:
                continue
            due = since_copy >= self._copied_every
            try:
                if self._mirror.has_new_checkpoint() or (
                    due and self._mirror.has_changed()
                ):
                    since_copy = 0.0
                    self._mirror.send()
            except StorageFailed as error:
                complain(error)

    def _still_ours(self) -> bool:
        """False if another process is known to hold the lease."""
        try:
            return self._lease.is_held()
        except StorageFailed:
            return True
