"""Guesses while labelling: a class for each image, and how far to trust it."""

import dataclasses
import math
import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tf_simclr.labels.graph import NEIGHBOURS, neighbour_graph
from tf_simclr.labels.neighbours import nearest_neighbours, unit_rows
from tf_simclr.labels.spreading import leave_one_out, spread_labels
from tf_simclr.progress import Counter, say

# A graph of more images takes minutes to build, and seconds for each guess.
MOST_IMAGES = 50_000
# The estimate is made anew after so many labels, or this share of them, up to
# so many, and up to so many labels times images: minutes.
_EVERY, _SHARE, _MOST_LABELS, _MOST_WORK = 5, 0.05, 2000, 5e7
_Z = 1.959964  # 95 %


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Accuracy of the guesses, from the labels alone.

    Attributes:
      labels: how many there were.
      accuracy: share of labelled images whose class the others tell.
      low, high: Wilson's 95 % interval.
    """

    labels: int
    accuracy: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Guesses:
    """A class for each image of the graph.

    Attributes:
      serial: counts the changes.
      class_names: C names; none before two classes have a label.
      classes: int (n,), indices into them.
      confidences: float32 (n,), of these classes.
    """

    serial: int
    class_names: tuple[str, ...]
    classes: np.ndarray
    confidences: np.ndarray


class Guide:
    """Carries the labels of a person to the other images.

    Args:
      features: (N, d), any floating type.
      wanted: places of the images that must be among those of the graph.
      seed: of the sample that a graph of more than `most` images is of.
      most: images of the graph, but for those wanted.
    """

    def __init__(
        self,
        features: np.ndarray,
        wanted: Sequence[int],
        *,
        seed: int = 0,
        most: int = MOST_IMAGES,
    ):
        self.places = np.arange(len(features))
        if len(features) > most:
            rng = np.random.default_rng(seed)
            sample = rng.choice(len(features), most, replace=False)
            self.places = np.union1d(sample, np.asarray(wanted, int))
            say(
                f"Guesses go by {len(self.places):,} of {len(features):,}"
                " images: those to label and a sample."
            )
        self._rows = unit_rows(features[self.places])
        counter = Counter(len(self.places), "images compared")
        near = nearest_neighbours(self._rows, NEIGHBOURS, done=counter.add)
        self._graph = neighbour_graph(near)
        self.estimates: list[Estimate] = []
        nothing = np.zeros(0, int)
        self._guesses = Guesses(0, (), nothing, nothing)

    @property
    def guesses(self) -> Guesses:
        """The latest."""
        return self._guesses

    def guess(self, place: int) -> tuple[str, float] | None:
        """The class of an image and its confidence; None without any."""
        found, row = self._guesses, self._row(place)
        if row is None or not found.class_names:
            return None
        name = found.class_names[found.classes[row]]
        return name, float(found.confidences[row])

    def similar(self, place: int, count: int) -> list[int]:
        """Places of the images of the graph that are most like one of them,
        the nearest first; none for an image that is not among them."""
        row = self._row(place)
        if row is None:
            return []
        cosines = self._rows @ self._rows[row]
        cosines[row] = -np.inf
        count = min(count, len(cosines) - 1)
        if count < 1:
            return []
        best = np.argpartition(-cosines, count - 1)[:count]
        best = best[np.argsort(-cosines[best], kind="stable")]
        return self.places[best].tolist()

    def update(self, labels: Mapping[int, str]) -> None:
        """Guesses anew.

        Args:
          labels: {place: class} of all images that have one.
        """
        serial = self._guesses.serial + 1
        places, classes, names = self._seeds(labels)
        if len(names) < 2:
            nothing = np.zeros(0, int)
            self._guesses = Guesses(serial, (), nothing, nothing)
            return
        found = spread_labels(self._graph, places, classes, len(names))
        self._guesses = Guesses(
            serial, names, found.argmax(axis=1), found.max(axis=1)
        )

    def estimate(self, labels: Mapping[int, str]) -> None:
        """Estimates the accuracy anew where enough labels have come.

        Args:
          labels: {place: class} of all images that have one.
        """
        places, classes, names = self._seeds(labels)
        count = len(places)
        # Labels that were taken back take their estimates with them.
        kept = [x for x in self.estimates if x.labels <= count]
        if len(names) > 1 and self._due(count, kept):
            left = leave_one_out(self._graph, places, classes, len(names))
            right = int(np.sum(left.argmax(axis=1) == classes))
            kept.append(_estimate(right, count))
        self.estimates = kept

    def _seeds(
        self, labels: Mapping[int, str]
    ) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Labelled rows (n,), their classes (n,), and the classes' names."""
        places = np.fromiter(labels, int, len(labels))
        rows = np.searchsorted(self.places, places)
        rows = np.minimum(rows, len(self.places) - 1)
        within = self.places[rows] == places
        given = np.array(list(labels.values()), object)[within]
        names = tuple(sorted(set(given)))
        numbers = {name: number for number, name in enumerate(names)}
        classes = np.fromiter(
            (numbers[name] for name in given), int, len(given)
        )
        return rows[within], classes, names

    def _row(self, place: int) -> int | None:
        row = int(np.searchsorted(self.places, place))
        found = row < len(self.places) and self.places[row] == place
        return row if found else None

    def _due(self, count: int, before: Sequence[Estimate]) -> bool:
        too_much = count * len(self.places) > _MOST_WORK
        if count < _EVERY or count > _MOST_LABELS or too_much:
            return False
        last = before[-1].labels if before else 0
        return count - last >= max(_EVERY, _SHARE * count)


class Background:
    """Runs a task in a thread, again whenever asked to.

    Args:
      work: called in a thread of its own; asked several times meanwhile, it
        is called once.
    """

    def __init__(self, work: Callable[[], None]):
        self._work = work
        self._wanted, self._closed = threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Asks for the task to be run again soon."""
        self._idle.clear()
        self._wanted.set()

    def wait(self, seconds: float) -> bool:
        """Waits until nothing is left to do; True if that was reached in
        time."""
        return self._idle.wait(seconds)

    def close(self) -> None:
        """Lets no more work begin."""
        self._closed.set()
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            if self._closed.is_set():
                return
            self._wanted.clear()
            self._work()
            if not self._wanted.is_set():
                self._idle.set()


def _estimate(right: int, count: int) -> Estimate:
    """With Wilson's interval (JASA 1927)."""
    share, squared = right / count, _Z**2 / count
    middle = (share + squared / 2) / (1 + squared)
    half = _Z * math.sqrt(share * (1 - share) / count + squared / 4 / count)
    half /= 1 + squared
    # Rounding puts the ends within, where all or none are right.
    low = min(max(middle - half, 0.0), share)
    high = max(min(middle + half, 1.0), share)
    return Estimate(count, share, low, high)
