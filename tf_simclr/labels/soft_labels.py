"""`propagated.npz`: soft labels of images, carried along a graph."""

import dataclasses
import hashlib
import zipfile
from collections.abc import Callable
from typing import Self

import numpy as np

from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.files import write_npz
from tf_simclr.labels.approximate_neighbours import neighbours_by
from tf_simclr.labels.distributions import entropies
from tf_simclr.labels.graph import NEIGHBOURS, neighbour_graph
from tf_simclr.labels.propagation import PROPAGATIONS

PROPAGATED_FILE = "propagated.npz"


@dataclasses.dataclass(frozen=True)
class SoftLabels:
    """The distributions of N images over C classes.

    Attributes:
      probabilities: float32 (N, C).
    """

    probabilities: np.ndarray

    @classmethod
    def of_features(
        cls,
        images: ImageSet,
        features: np.ndarray,
        num_classes: int,
        propagation: str = "spreading",
        done: Callable[[int], None] | None = None,
        search: str = "exact",
    ) -> Self:
        """Carries the labels of some images to all.

        Args:
          images: N, some of them with labels.
          features: (N, d).
          num_classes: C.
          propagation: a name of `PROPAGATIONS`.
          done: called with the number of images that were compared.
          search: of neighbours: 'exact' or 'approximate'.
        """
        near = neighbours_by(search, features, NEIGHBOURS, done)
        graph = neighbour_graph(near)
        places = np.flatnonzero(images.labels != UNLABELLED)
        labels = images.labels[places]
        carry = PROPAGATIONS[propagation]
        return cls(carry(graph, places, labels, num_classes))

    @classmethod
    def read(cls, path: str, images: ImageSet) -> Self | None:
        """Reads a file; None if it holds none of these images and labels."""
        try:
            with (
                open(path, "rb") as file,
                np.load(file, allow_pickle=False) as archive,
            ):
                if str(archive["of"]) != _digest(images):
                    return None
                return cls(archive["probabilities"])
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
                "of": np.array(_digest(images)),
            },
        )


def _digest(images: ImageSet) -> str:
    digest = hashlib.blake2b("\0".join(images.ids).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(images.labels, "<i4").tobytes())
    return digest.hexdigest()
