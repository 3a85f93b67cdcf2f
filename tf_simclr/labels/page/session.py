"""The work that the page does: images in their order, labels, guesses."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.errors import UserError
from tf_simclr.labels.guide import Background, Guide
from tf_simclr.labels.label_book import Conflict, Entry, LabelBook

# Images shown beside one, and together with one as a grid.
NEIGHBOURS, GROUP = 6, 24
# Images that one request may change.
_MOST_IMAGES = 1000


@dataclasses.dataclass(frozen=True)
class ToLabel:
    """An image that was chosen to be labelled.

    Attributes:
      place: in the data set.
      cluster: number of its cluster; -1 for none.
      reason: it was chosen for.
    """

    place: int
    cluster: int
    reason: str


class Refused(Exception):
    """A request that the present state does not allow.

    Attributes:
      answer: for the page, with the present state of the images concerned.
    """

    def __init__(self, answer: dict[str, Any]):
        super().__init__(answer["error"])
        self.answer = answer


class Session:
    """Answers the page's requests; safe to use in threads.

    Args:
      images: the data set.
      to_label: what to label, in order.
      book: where labels go.
      guide: where guesses come from.
      offered: classes that are offered from the start.
    """

    def __init__(
        self,
        images: ImageSet,
        to_label: Sequence[ToLabel],
        book: LabelBook,
        guide: Guide,
        offered: Iterable[str] = (),
    ):
        self._images, self._book, self._guide = images, book, guide
        self._to_label = {each.place: each for each in to_label}
        self._clusters: dict[int, list[int]] = {}
        for each in to_label:
            self._clusters.setdefault(each.cluster, []).append(each.place)
        self._places = {name: n for n, name in enumerate(images.ids)}
        names = images.class_names
        self._own = {
            place: names[label]
            for place, label in enumerate(images.labels.tolist())
            if label != UNLABELLED
        }
        # {place: state} of the images to label: counting thousands anew would
        # take longer than storing a label.
        self._done: dict[int, str] = {}
        self._note(self._to_label)
        self._offered = tuple(offered)
        self._workers = [
            Background(lambda work=work: work(self.labels()))
            for work in (guide.update, guide.estimate)
        ]
        self._ask()

    def __len__(self) -> int:
        return len(self._images)

    def labels(self) -> dict[int, str]:
        """{place: class}: labels of the data set, and those given here."""
        found = dict(self._own)
        for name in self._book.excluded():
            found.pop(self._places.get(name, -1), None)
        for name, label in self._book.labels().items():
            # Images of other rounds may have left the data set.
            if name in self._places:
                found[self._places[name]] = label
        return found

    def wait(self, seconds: float) -> bool:
        """Waits until guesses and estimate hold for the present labels."""
        return all(worker.wait(seconds) for worker in self._workers)

    def close(self) -> None:
        """Lets no more guesses begin."""
        for worker in self._workers:
            worker.close()

    def counts(self) -> tuple[int, int, int]:
        """Images to label that have a label, that were excluded, and all."""
        states = list(self._done.values())
        labelled, excluded = map(states.count, ("labelled", "excluded"))
        return labelled, excluded, len(self._to_label)

    def state(self) -> dict[str, Any]:
        """All that the page needs to begin with."""
        images = [self._image(place) for place in self._to_label]
        return {"images": images, "news": self.news()}

    def news(self) -> dict[str, Any]:
        """State that any event may have changed."""
        labelled, excluded, total = self.counts()
        classes = dict.fromkeys(self._offered, 0) | self._book.classes()
        return {
            "events": self._book.events,
            "last": self._book.last,
            "serial": self._guide.guesses.serial,
            "labelled": labelled,
            "excluded": excluded,
            "total": total,
            # No object, in which a class could be called __proto__.
            "classes": list(classes.items()),
            "estimates": [
                dataclasses.asdict(each) for each in self._guide.estimates
            ],
        }

    def look(self, place: int) -> dict[str, Any]:
        """One image with its guess and its neighbours."""
        near = self._guide.similar(self._checked(place), NEIGHBOURS)
        guess = self._guide.guess(place)
        return {
            "image": self._image(place),
            "guess": guess and {"class": guess[0], "confidence": guess[1]},
            "neighbours": [self._image(other) for other in near],
            "news": self.news(),
        }

    def group(self, place: int) -> dict[str, Any]:
        """An image with others to be labelled alike: of those to label the
        ones of its cluster, then those that are most like it."""
        chosen = self._to_label.get(self._checked(place))
        found = {place: None}
        if chosen is not None and chosen.cluster >= 0:
            found |= dict.fromkeys(self._clusters[chosen.cluster][:GROUP])
        found |= dict.fromkeys(self._guide.similar(place, GROUP))
        images = [self._image(other) for other in list(found)[:GROUP]]
        return {"images": images, "news": self.news()}

    def label(self, images: Any, name: Any) -> dict[str, Any]:
        """Gives images a class: [{index, version}, ...] as the page sends.

        Raises:
          Refused: another version is the present one.
          UserError: no such images, or no such name.
        """
        name = _text(name)
        versions = self._versions(images)
        return self._change(lambda: self._book.label(versions, name), versions)

    def exclude(self, images: Any) -> dict[str, Any]:
        """Marks images as of no class; else as `label`."""
        versions = self._versions(images)
        return self._change(lambda: self._book.exclude(versions), versions)

    def undo(self, event: Any) -> dict[str, Any]:
        """Takes an event back; else as `label`."""
        found: list[str] = []

        def change() -> int:
            number, ids = self._book.undo(_whole(event))
            found.extend(ids)
            return number

        return self._change(change, found)

    def add_class(self, name: Any) -> dict[str, Any]:
        """Offers a new class.

        Raises:
          UserError: no such name can be.
        """
        found = self._book.add_class(_text(name))
        return {"class": found, "news": self.news()}

    def _change(
        self, change: Callable[[], int], ids: Iterable[str]
    ) -> dict[str, Any]:
        try:
            number = change()
        except Conflict as conflict:
            raise Refused(
                {
                    "error": "This was changed meanwhile, in another tab:"
                    " nothing was overwritten.",
                    **self._answer(conflict.ids),
                }
            ) from conflict
        self._ask()
        return {"event": number, **self._answer(ids)}

    def _answer(self, ids: Iterable[str]) -> dict[str, Any]:
        places = [self._places[name] for name in ids if name in self._places]
        self._note(places)
        images = [self._image(place) for place in places]
        return {"images": images, "news": self.news()}

    def _note(self, places: Iterable[int]) -> None:
        for place in places:
            if place not in self._to_label:
                continue
            entry = self._entry(place)
            if entry.excluded:
                self._done[place] = "excluded"
            elif entry.label is not None:
                self._done[place] = "labelled"
            else:
                self._done[place] = "open"

    def _ask(self) -> None:
        for worker in self._workers:
            worker.ask()

    def _image(self, place: int) -> dict[str, Any]:
        entry, chosen = self._entry(place), self._to_label.get(place)
        return {
            "index": place,
            "id": self._images.ids[place],
            "label": entry.label,
            "excluded": entry.excluded,
            "version": entry.version,
            "cluster": -1 if chosen is None else chosen.cluster,
            "reason": "" if chosen is None else chosen.reason,
        }

    def _entry(self, place: int) -> Entry:
        return self._book.entry(self._images.ids[place])

    def _versions(self, images: Any) -> dict[str, int]:
        if not isinstance(images, list) or not images:
            raise UserError("A request names the images that it is about.")
        if len(images) > _MOST_IMAGES:
            raise UserError(
                f"A request changes at most {_MOST_IMAGES} images. Received:"
                f" {len(images)}"
            )
        found = {}
        for each in images:
            if not isinstance(each, Mapping):
                raise UserError(f"This is no image. Received: {each!a:.60}")
            place = self._checked(_whole(each.get("index")))
            found[self._images.ids[place]] = _whole(each.get("version"))
        return found

    def _checked(self, place: int) -> int:
        if not 0 <= place < len(self._images):
            raise UserError(f"There is no image of this number: {place}")
        return place


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"This is no number of an image: {value!a:.60}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"This is no name of a class: {value!a:.60}")
    return value
