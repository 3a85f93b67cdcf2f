"""The labels that a person gave: a journal, and tables made from it.

`labels.jsonl` is the truth: one line per event, on the disk before the event
counts. `labels.csv` and `excluded.csv` are made from it. Importing this module
imports no TensorFlow.
"""

import contextlib
import dataclasses
import datetime
import json
import os
import threading
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tf_simclr.errors import UserError
from tf_simclr.files import naming, write_csv
from tf_simclr.training.lock import locked

JOURNAL_FILE = "labels.jsonl"
LABELS_FILE = "labels.csv"
EXCLUDED_FILE = "excluded.csv"
# The images that were suggested; its column `label` is for a person.
TO_LABEL_FILE = "to_label.csv"
# The sub-folder of a pipeline that holds all of them.
LABELS_FOLDER = "labels"
# The columns of `labels.csv`.
LABEL_TITLES = ("path", "label", "time")
# Seconds from an event to tables that hold it, and as many times as long as
# they took to write: those of 10,000 labels take longer than a click may.
_DELAY, _RESTS = 0.5, 20
# Longer names fit nowhere; folders have 255 bytes.
_LONGEST_NAME = 250


@dataclasses.dataclass(frozen=True)
class Entry:
    """The state of one image.

    Attributes:
      label: its class; None without one.
      excluded: True where it belongs to none of the classes.
      version: number of the last event that changed it; 0 for none.
      time: of the event that gave it this label, in ISO 8601.
    """

    label: str | None = None
    excluded: bool = False
    version: int = 0
    time: str = dataclasses.field(default="", compare=False)


class Conflict(Exception):
    """An event that is based on an older state than the present one.

    Attributes:
      ids: of the images that have changed since.
    """

    def __init__(self, ids: Sequence[str]):
        super().__init__("changed meanwhile")
        self.ids = tuple(ids)


class History:
    """State that a sequence of events leads to."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        # In the order in which they were first used; counts of their images.
        self.classes: dict[str, int] = {}
        self.events = 0
        # Event -> its images as they were before it.
        self._before: dict[int, dict[str, Entry]] = {}

    @property
    def last(self) -> int:
        """The last event that can be undone; 0 for none."""
        return next(reversed(self._before), 0)

    def entry(self, name: str) -> Entry:
        """The state of the image of this id."""
        return self.entries.get(name, _UNTOUCHED)

    def images_of(self, event: int) -> dict[str, Entry]:
        """{id: state before} of an event that can be undone; {} otherwise."""
        return self._before.get(event, {})

    def apply(self, event: Mapping[str, Any]) -> None:
        """Takes in the next event of a journal.

        Raises:
          ValueError, KeyError, TypeError: it is none.
        """
        number = self.events + 1
        if event["event"] != number:
            raise ValueError(f"event {number} is missing")
        moment = str(event.get("at", ""))
        match event["do"]:
            case "label":
                changed = Entry(str(event["class"]), False, number, moment)
                self._change(number, dict.fromkeys(event["images"], changed))
            case "exclude":
                changed = Entry(None, True, number, moment)
                self._change(number, dict.fromkeys(event["images"], changed))
            case "class":
                self.classes.setdefault(str(event["class"]), 0)
            case "undo":
                before = self._before.pop(event["of"])
                for name, entry in before.items():
                    self._set(name, dataclasses.replace(entry, version=number))
            case other:
                raise ValueError(f"unknown event {other!r}")
        self.events = number

    def _change(self, number: int, changes: Mapping[str, Entry]) -> None:
        self._before[number] = {name: self.entry(name) for name in changes}
        for name, entry in changes.items():
            self._set(name, entry)

    def _set(self, name: str, entry: Entry) -> None:
        old = self.entry(name)
        if old.label is not None:
            self.classes[old.label] -= 1
        if entry.label is not None:
            self.classes[entry.label] = self.classes.get(entry.label, 0) + 1
        self.entries[name] = entry


_UNTOUCHED = Entry()


class LabelBook:
    """The labels of a folder, kept by one process; safe to use in threads.

    Args:
      folder: that holds the files; its lock is held by whoever opens a book
        (`open_book`).
    """

    def __init__(self, folder: str):
        self._folder = folder
        self._journal = os.path.join(folder, JOURNAL_FILE)
        self._mutex = threading.RLock()
        self._wanted, self._closed = threading.Event(), threading.Event()
        self._history, self._size = _read(self._journal)
        self._file = open(self._journal, "ab")  # noqa: SIM115
        # What a process left that was killed in the middle of a line.
        self._file.truncate(self._size)
        # Before the first event, a table that is there is somebody else's.
        table = os.path.join(folder, LABELS_FILE)
        if self._history.events or not os.path.exists(table):
            self._write_tables()
        self._writer = threading.Thread(target=self._keep_tables, daemon=True)
        self._writer.start()

    @property
    def events(self) -> int:
        """Number of events so far."""
        return self._history.events

    @property
    def last(self) -> int:
        """The last event that can be undone; 0 for none."""
        with self._mutex:
            return self._history.last

    def entry(self, name: str) -> Entry:
        """The state of the image of this id."""
        return self._history.entry(name)

    def classes(self) -> dict[str, int]:
        """{class: images that have it}, in the order of their first use."""
        with self._mutex:
            return dict(self._history.classes)

    def labels(self) -> dict[str, str]:
        """{id: class} of all images that have one."""
        with self._mutex:
            return _labels(self._history)

    def excluded(self) -> set[str]:
        """Ids of the images that belong to no class."""
        with self._mutex:
            return _excluded(self._history)

    def label(self, versions: Mapping[str, int], name: str) -> int:
        """Gives images a class.

        Args:
          versions: {id: the version that the person saw}.
          name: of the class.

        Returns:
          The number of the event.

        Raises:
          Conflict: another version of an image is the present one; nothing
            was changed.
          UserError: the name cannot be one, see `clean_class_name`.
        """
        name = clean_class_name(name)
        return self._change(versions, {"do": "label", "class": name})

    def exclude(self, versions: Mapping[str, int]) -> int:
        """Marks images as of none of the classes; else as `label`."""
        return self._change(versions, {"do": "exclude"})

    def add_class(self, name: str) -> str:
        """Adds a class that no image has yet; returns its name, as stored.

        Raises:
          UserError: the name cannot be one, see `clean_class_name`.
        """
        name = clean_class_name(name)
        with self._mutex:
            if name not in self._history.classes:
                self._append({"do": "class", "class": name})
        return name

    def undo(self, event: int) -> tuple[int, tuple[str, ...]]:
        """Gives the images of an event the state that they had before it.

        Returns:
          The number of the new event, and the ids of the images.

        Raises:
          Conflict: a later event changed one of them, or there is none to
            undo; nothing was changed.
        """
        with self._mutex:
            ids = tuple(self._history.images_of(event))
            changed = [x for x in ids if self.entry(x).version != event]
            if changed or not ids:
                raise Conflict(changed)
            return self._append({"do": "undo", "of": event}), ids

    def close(self) -> None:
        """Writes the tables and ends the book."""
        self._closed.set()
        self._wanted.set()
        self._writer.join()
        self._write_tables()
        self._file.close()

    def _change(
        self, versions: Mapping[str, int], event: Mapping[str, Any]
    ) -> int:
        with self._mutex:
            changed = [
                name
                for name, version in versions.items()
                if self.entry(name).version != version
            ]
            if changed:
                raise Conflict(changed)
            return self._append({**event, "images": list(versions)})

    def _append(self, event: Mapping[str, Any]) -> int:
        """Writes an event to the disk, then applies it."""
        number = self._history.events + 1
        now = datetime.datetime.now().astimezone().isoformat("T", "seconds")
        event = {"event": number, "at": now, **event}
        line = json.dumps(event, ensure_ascii=False).encode() + b"\n"
        with naming(self._journal):
            try:
                self._file.write(line)
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError:
                self._reopen()
                raise
        self._size += len(line)
        self._history.apply(event)
        self._wanted.set()
        return number

    def _reopen(self) -> None:
        """Removes a line that a full disk cut off and that never counted."""
        with contextlib.suppress(OSError):
            self._file.close()
        os.truncate(self._journal, self._size)
        self._file = open(self._journal, "ab")  # noqa: SIM115

    def _keep_tables(self) -> None:
        delay = _DELAY
        while not self._closed.is_set():
            self._wanted.wait()
            self._closed.wait(delay)
            self._wanted.clear()
            started = time.monotonic()
            # Tried again after the next event, and at the end.
            with contextlib.suppress(OSError):
                self._write_tables()
            delay = max(_DELAY, _RESTS * (time.monotonic() - started))

    def _write_tables(self) -> None:
        with self._mutex:
            entries = dict(self._history.entries)
        labels = [
            (name, entry.label, entry.time)
            for name, entry in entries.items()
            if entry.label is not None
        ]
        excluded = sorted(
            (name, entry.time)
            for name, entry in entries.items()
            if entry.excluded
        )
        for name, rows in (
            (LABELS_FILE, [LABEL_TITLES, *labels]),
            (EXCLUDED_FILE, [("path", "time"), *excluded]),
        ):
            write_csv(os.path.join(self._folder, name), rows)


@contextlib.contextmanager
def open_book(folder: str) -> Iterator[LabelBook]:
    """Opens the book of a folder, for one process at a time.

    Args:
      folder: exists.

    Raises:
      UserError: another process has it open, or it cannot be read.
    """
    with locked(folder):
        book = LabelBook(folder)
        try:
            yield book
        finally:
            book.close()


def read_labels(folder: str) -> dict[str, str]:
    """Reads {id: class} of the images that were labelled in a folder.

    Raises:
      UserError: the journal is damaged.
    """
    return _labels(_read(os.path.join(folder, JOURNAL_FILE))[0])


def read_entries(folder: str) -> dict[str, Entry]:
    """Reads {id: state} of the images that any event was about.

    Raises:
      UserError: the journal is damaged.
    """
    return _read(os.path.join(folder, JOURNAL_FILE))[0].entries


def read_excluded(folder: str) -> set[str]:
    """Reads the ids of the images that were found to be of no class.

    Raises:
      UserError: the journal is damaged.
    """
    return _excluded(_read(os.path.join(folder, JOURNAL_FILE))[0])


def clean_class_name(name: str) -> str:
    """Returns a class name without blanks around it, composed (NFC).

    Raises:
      UserError: it is empty, too long, or has line breaks or control
        characters.
    """
    found = unicodedata.normalize("NFC", name).strip()
    if not found:
        raise UserError("A class needs a name that is not empty.")
    if len(found) > _LONGEST_NAME:
        raise UserError(
            f"A class name has at most {_LONGEST_NAME} characters. Received:"
            f" {len(found)}"
        )
    # Control characters, halves of characters, ends of lines and paragraphs.
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in found):
        raise UserError(
            "A class name is one line without control characters. Received:"
            f" {found!a}"
        )
    return found


def _labels(history: History) -> dict[str, str]:
    entries = history.entries.items()
    return {x: entry.label for x, entry in entries if entry.label is not None}


def _excluded(history: History) -> set[str]:
    return {x for x, entry in history.entries.items() if entry.excluded}


def _read(path: str) -> tuple[History, int]:
    """State after the events of a journal, and the bytes of its whole lines."""
    history = History()
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return history, 0
    # A line without its end was never answered.
    size = data.rfind(b"\n") + 1
    for number, line in enumerate(data[:size].split(b"\n")[:-1], start=1):
        try:
            history.apply(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path} is damaged: line {number} is not one of its events."
                " Take the file from a backup, or remove this line and all that"
                f" follow. Received: {line[:60]!r}"
            ) from error
    return history, size
