"""Labels that a person typed into the tables of a folder, not on its page.

`to_label.csv` has an empty column for them, and `labels.csv` can be edited.
Both files are written anew, so that their labels go into the journal first.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping

from tf_simclr.data.label_table import labels_in, places_of
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.errors import UserError, at_most
from tf_simclr.labels.label_book import (
    JOURNAL_FILE,
    LABELS_FILE,
    TO_LABEL_FILE,
    Entry,
    LabelBook,
    open_book,
    read_entries,
)
from tf_simclr.progress import say

# Names in a message; the rest is counted.
_SHOWN = 4


def has_label_rows(table: str) -> bool:
    """True for a table that gives at least one image a class.

    Raises:
      UserError: it cannot be read, or an image has two classes.
    """
    return os.path.exists(table) and bool(labels_in(table))


def keep_typed_labels(folder: str, images: ImageSet) -> None:
    """Takes typed labels into the journal of a folder, if there are any.

    Args:
      folder: of `to_label.csv`; need not exist.
      images: that can be labelled.

    Raises:
      UserError: a table labels an image that is not there, or the page has
        the folder open.
    """
    known = set(read_entries(folder))
    if not os.path.exists(os.path.join(folder, JOURNAL_FILE)):
        # A table of one's own stays as it is.
        known |= _typed(folder, LABELS_FILE, images).keys()
    if _untaken(folder, images, known):
        with book_with_typed_labels(folder, images):
            pass


@contextlib.contextmanager
def book_with_typed_labels(
    folder: str, images: ImageSet
) -> Iterator[LabelBook]:
    """Opens the book of a folder, as `open_book`, once it has the typed labels.

    Labels that the book has already stay as they are.

    Args:
      folder: exists.
      images: that can be labelled.

    Raises:
      UserError: as `open_book`, or a table labels an image that is not there.
    """
    known = read_entries(folder)
    # Read before the book writes its tables.
    new = _untaken(folder, images, set(known))
    listed = _typed(folder, TO_LABEL_FILE, images)
    with open_book(folder) as book:
        for label in dict.fromkeys(new.values()):
            names = [name for name in new if new[name] == label]
            book.label(dict.fromkeys(names, 0), label)
        if new:
            say(f"{folder}: {len(new)} labels typed into its tables are kept")
        _say_contradictions(folder, listed, known)
        yield book


def _say_contradictions(
    folder: str, listed: Mapping[str, str], known: Mapping[str, Entry]
) -> None:
    other = [x for x in listed if x in known and known[x].label != listed[x]]
    if other:
        say(
            f"{os.path.join(folder, TO_LABEL_FILE)} calls {len(other)} images"
            " otherwise than they were labelled before, which counts:"
            f" {at_most(_SHOWN, other)}; --mode=label changes labels"
        )


def _untaken(folder: str, images: ImageSet, known: set[str]) -> dict[str, str]:
    """{id: class} of typed labels of images that are not among the known."""
    typed = {
        **_typed(folder, TO_LABEL_FILE, images),
        **_typed(folder, LABELS_FILE, images),
    }
    return {name: typed[name] for name in typed if name not in known}


def _typed(folder: str, file: str, images: ImageSet) -> dict[str, str]:
    """{id: class} of the rows of a table that have a class."""
    path = os.path.join(folder, file)
    if not os.path.exists(path):
        return {}
    table = labels_in(path)
    places = places_of(images, table)
    unknown = [name for name in table if name not in places]
    if unknown:
        raise UserError(
            f"{path} names images that are not among those of --dataset:"
            f" {at_most(_SHOWN, unknown)}."
        )
    return {images.ids[places[name]]: table[name] for name in places}
