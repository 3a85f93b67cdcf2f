"""Labels that the others contradict."""

import dataclasses
import os

import numpy as np

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.files import write_csv

SUSPICIOUS_FILE = "suspicious_labels.csv"
_TITLES = ("path", "label", "likelier", "probability", "of_its_label")


@dataclasses.dataclass(frozen=True)
class Suspicion:
    """A label that may be wrong.

    Attributes:
      place: of the image.
      label: its class.
      likelier: the class that the others give it.
      probability, of_label: what they give to either.
    """

    place: int
    label: int
    likelier: int
    probability: float
    of_label: float


def suspicious_labels(
    places: np.ndarray, labels: np.ndarray, held_out: np.ndarray
) -> list[Suspicion]:
    """Labels that differ from the classes propagated from the others, the
    surest first.

    Args:
      places: int (n,) of the labelled images.
      labels: int (n,), their classes.
      held_out: float (n, C), the distribution of each without its own label.
    """
    rows = np.arange(len(labels))
    likelier = held_out.argmax(axis=1)
    of_label = held_out[rows, labels]
    # The only label of a class follows from no other.
    counts = np.bincount(labels, minlength=held_out.shape[1])
    doubtful = (likelier != labels) & (counts[labels] > 1)
    margin = held_out[rows, likelier] - of_label
    order = np.flatnonzero(doubtful)
    order = order[np.argsort(-margin[order], kind="stable")]
    return [
        Suspicion(
            int(places[row]),
            int(labels[row]),
            int(likelier[row]),
            float(held_out[row, likelier[row]]),
            float(of_label[row]),
        )
        for row in order
    ]


def write_suspicious(
    path: str, found: list[Suspicion], images: ImageSet
) -> None:
    """Writes one line for each; a file of before goes where there is none.

    Args:
      path: of the CSV file.
      found: places in `images`.
      images: with their classes.
    """
    if not found:
        if os.path.exists(path):
            os.remove(path)
        return
    names = images.class_names
    rows = [
        (
            images.ids[each.place],
            names[each.label],
            names[each.likelier],
            f"{each.probability:.4f}",
            f"{each.of_label:.4f}",
        )
        for each in found
    ]
    write_csv(path, [_TITLES, *rows])
