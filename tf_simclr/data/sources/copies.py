"""Images of one split that are the same, and their labels."""

import numpy as np

from tf_simclr.data.same_image import pixel_keys
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.errors import at_most

# Pairs in a notice; the rest is counted.
_SHOWN = 3


def copies_notices(images: ImageSet) -> list[str]:
    """Notices about identical images, first those with different labels.

    Args:
      images: in memory, where their pixels are compared, or with the digests
        of their files; others are not compared.
    """
    first = _first_same(images)
    if first is None:
        return []
    copies = np.flatnonzero(first != np.arange(len(images)))
    if not len(copies):
        return []
    notices = [
        f"copies of another image of '{images.name}': {len(copies)}"
        f" ({_names(images, copies, first)})"
    ]
    # The first one with a label stands for all that are the same.
    labelled = np.flatnonzero(images.labels != UNLABELLED)
    _, where, inverse = np.unique(
        first[labelled], return_index=True, return_inverse=True
    )
    stands = labelled[where][inverse]
    other = images.labels[labelled] != images.labels[stands]
    if other.any():
        both = np.arange(len(images))
        both[labelled] = stands
        wrong = labelled[other]
        notices.append(
            f"copies of an image of '{images.name}' that have another label"
            f" than it: {len(wrong)} ({_names(images, wrong, both)})"
        )
    return notices


def _names(images: ImageSet, places: np.ndarray, first: np.ndarray) -> str:
    def name(place: int) -> str:
        label = int(images.labels[place])
        if label == UNLABELLED:
            return f"'{images.ids[place]}'"
        return f"'{images.ids[place]}' of {images.class_names[label]}"

    pairs = [f"{name(place)} and {name(first[place])}" for place in places]
    return at_most(_SHOWN, pairs)


def _first_same(images: ImageSet) -> np.ndarray | None:
    """int64 (N,): the place of the first image that is the same as each; None
    where nobody knows."""
    if isinstance(images.pixels, ArrayPixels):
        keys = pixel_keys(images.pixels.array)
        places: dict[object, int] = {}
        found = [places.setdefault(key, at) for at, key in enumerate(keys)]
        return np.array(found, np.int64)
    if images.digests is None:
        return None
    known = np.flatnonzero(images.digests)
    first = np.arange(len(images))
    _, where, inverse = np.unique(
        images.digests[known], return_index=True, return_inverse=True
    )
    first[known] = known[where][inverse]
    return first
