"""`propagated.npz`: soft labels of images, carried along a graph."""

import dataclasses
import hashlib
import zipfile
from collections.abc import Callable
from typing import Self

import numpy as np

from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.files import write_npz
from tf_simclr.labels.graph import neighbour_graph
from tf_simclr.labels.neighbours import nearest_neighbours
from tf_simclr.labels.propagation import entropies, leave_one_out, spread_labels

PROPAGATED_FILE = "propagated.npz"
# Neighbours of an image in the graph.
NEIGHBOURS = 10
# Labels whose reach is worked out one by one.
_MOST_LEFT_OUT = 2000


@dataclasses.dataclass(frozen=True)
class SoftLabels:
    """The distributions of N images over C classes.

    Attributes:
      probabilities: float32 (N, C).
      estimate: share of the labels that the others carry to their image, an
        estimate of the accuracy; NaN where no label could be left out.
    """

    probabilities: np.ndarray
    estimate: float = float("nan")

    @classmethod
    def of_features(
        cls,
        images: ImageSet,
        features: np.ndarray,
        num_classes: int,
        done: Callable[[int], None] | None = None,
    ) -> Self:
        """Carries the labels of some images to all.

        Args:
          images: N, some of them with labels.
          features: (N, d).
          num_classes: C.
          done: called with the number of images that were compared.
        """
        near = nearest_neighbours(features, NEIGHBOURS, done=done)
        graph = neighbour_graph(near)
        places = np.flatnonzero(images.labels != UNLABELLED)
        labels = images.labels[places]
        found = spread_labels(graph, places, labels, num_classes)
        return cls(found, _estimate(graph, places, labels, num_classes))

    @classmethod
    def read(cls, path: str, images: ImageSet) -> Self | None:
        """Those of a file; None if it holds none of these images and labels."""
        try:
            with (
                open(path, "rb") as file,
                np.load(file, allow_pickle=False) as archive,
            ):
                if str(archive["of"]) != _digest(images):
                    return None
                return cls(archive["probabilities"], float(archive["estimate"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def write(self, path: str, images: ImageSet) -> None:
        """Writes ids, probabilities and their entropies, in nats."""
        write_npz(
            path,
            {
                "ids": np.array(images.ids),
                "probabilities": self.probabilities,
                "entropy": entropies(self.probabilities),
                "labels": images.labels,
                "estimate": np.array(self.estimate),
                "of": np.array(_digest(images)),
            },
        )


def _estimate(
    graph: object, places: np.ndarray, labels: np.ndarray, num_classes: int
) -> float:
    """Share of the labels that follow from the others."""
    counts = np.bincount(labels, minlength=num_classes)
    # A class's only label follows from no other.
    if len(places) > _MOST_LEFT_OUT or not np.any(counts[labels] > 1):
        return float("nan")
    found = leave_one_out(graph, places, labels, num_classes)
    return float(np.mean(found.argmax(axis=1) == labels))


def _digest(images: ImageSet) -> str:
    digest = hashlib.blake2b("\0".join(images.ids).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(images.labels, "<i4").tobytes())
    return digest.hexdigest()
