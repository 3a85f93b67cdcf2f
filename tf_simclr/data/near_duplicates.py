"""Near-duplicates: evaluation images that look like training images."""

import contextlib
import csv
import dataclasses
import io
import os
from typing import Any

import numpy as np

from tf_simclr.data.perceptual_hash import MIN_SIMILARITY, perceptual_hashes
from tf_simclr.data.same_image import same_images
from tf_simclr.data.sources.image_set import (
    UNLABELLED,
    ImageSet,
    id_hashes,
)
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.files import write_text
from tf_simclr.process import cache

DUPLICATES_FILE = "duplicates.csv"
_TITLES = (
    "evaluation_image",
    "training_image",
    "similarity",
    "evaluation_label",
    "training_label",
)
# How far a number of two hashes of length one may differ that are similar.
_REACH = (2 * (1 - MIN_SIMILARITY)) ** 0.5 + 1e-3
# Beyond so many pairs of images, a start would take longer than seconds.
_MOST_PAIRS = 4 * 10**9
# Hashes that are compared with how many at a time, and by how many of them the
# number is chosen that orders them.
_AT_A_TIME, _SAMPLE = (256, 2**14), 2**14


@dataclasses.dataclass(frozen=True)
class NearDuplicates:
    """Evaluation images with the training image that looks most like each.

    Attributes:
      evaluated: how many evaluation images were compared.
      sampled: whether these are a sample, since all would take minutes.
      rows: evaluation id, training id, cosine, their two classes
        ('' without a label).
    """

    evaluated: int
    rows: tuple[tuple[str, str, float, str, str], ...] = ()
    sampled: bool = False

    def notice(self) -> str:
        """Says how many there are; '' for none."""
        if not self.rows:
            return ""
        one = len(self.rows) == 1
        return (
            f"{len(self.rows):,} of {'a sample of ' * self.sampled}"
            f"{self.evaluated:,} evaluation images"
            f" look{'s' * one} like {'a ' * one}training image{'s' * (not one)}"
            f" ({DUPLICATES_FILE})"
        )

    def write(self, path: str) -> None:
        """Writes a line for each evaluation image.

        Args:
          path: without any, a file of before that is there is removed.
        """
        if not self.rows:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
            return
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(_TITLES)
        writer.writerows(self.rows)
        write_text(path, text.getvalue())


def find_near_duplicates(
    evaluation: ImageSet | None,
    training: ImageSet,
    *,
    by_id: bool = True,
    most_pairs: int = _MOST_PAIRS,
) -> NearDuplicates | None:
    """Finds labelled evaluation images that look like training images.

    Those that are training images themselves are left out: `find_overlap`
    counts them.

    Args:
      evaluation, training: with their `hashes`, or in memory.
      by_id: whether images of one id are one image, as in one data set.
      most_pairs: that are compared; of larger sets, a sample of `evaluation`
        is, the same one every time.

    Returns:
      None if nothing is scored, or if images were not hashed.
    """
    if evaluation is None or not evaluation.has_labels:
        return None
    key = id(evaluation), id(training), by_id, most_pairs
    if key not in _kept:
        found = _find(evaluation, training, by_id, most_pairs)
        # With the images, so that no others come by their identities.
        _kept[key] = evaluation, training, found
        for oldest in list(_kept)[:-_LAST]:
            del _kept[oldest]
    return _kept[key][-1]


# What was found last: the stages of a pipeline compare the same images.
_LAST = 2
_kept: dict[tuple[int, int, bool, int], tuple[Any, ...]] = cache()


def _find(
    evaluation: ImageSet, training: ImageSet, by_id: bool, most_pairs: int
) -> NearDuplicates | None:
    first, second = image_hashes(evaluation), image_hashes(training)
    if first is None or second is None:
        return None
    scored = evaluation.labels != UNLABELLED
    itself = np.zeros(len(evaluation), bool)
    if by_id:
        known = set(training.ids)
        itself[:] = [name in known for name in evaluation.ids]
    copies = np.where(scored & ~itself, _copies(evaluation, training), -1)
    compared = scored & ~itself & first.any(axis=1) & (copies < 0)
    places = np.flatnonzero(compared)
    others = np.flatnonzero(second.any(axis=1))
    evaluated = int(scored.sum())
    most = max(most_pairs // max(len(others), 1), 1)
    sampled = len(places) > most
    if sampled:
        order = np.argsort(
            id_hashes([evaluation.ids[place] for place in places], "duplicates")
        )
        places = np.sort(places[order[:most]])
        evaluated = most
    nearest, similar = nearest_hashes(first[places], second[others])
    found = [
        (place, others[near], round(float(cosine), 3))
        for place, near, cosine in zip(places, nearest, similar, strict=True)
        if near >= 0
    ]
    found += [(at, copies[at], 1.0) for at in np.flatnonzero(copies >= 0)]
    rows = [
        (
            evaluation.ids[place],
            training.ids[near],
            cosine,
            _label(evaluation, place),
            _label(training, near),
        )
        for place, near, cosine in sorted(found)
    ]
    return NearDuplicates(evaluated, tuple(rows), sampled)


def _copies(evaluation: ImageSet, training: ImageSet) -> np.ndarray:
    """int64 (N,): the place of the training image of the same pixels, or of a
    file of the same bytes; -1 for none."""
    found = np.full(len(evaluation), -1, np.int64)
    arrays = evaluation.pixels, training.pixels
    if all(isinstance(each, ArrayPixels) for each in arrays):
        pairs = same_images(evaluation, training, by_id=False)
        found[pairs[:, 0]] = pairs[:, 1]
    elif evaluation.digests is not None and training.digests is not None:
        digests, places = np.unique(training.digests, return_index=True)
        at = np.searchsorted(digests, evaluation.digests)
        at = np.minimum(at, len(digests) - 1)
        same = (digests[at] == evaluation.digests) & (evaluation.digests > 0)
        found[same] = places[at[same]]
    return found


def image_hashes(images: ImageSet) -> np.ndarray | None:
    """int8 (N, 63): the hashes of images; None where nobody decoded them."""
    if images.hashes is None and isinstance(images.pixels, ArrayPixels):
        return perceptual_hashes(images.pixels.array)
    return images.hashes


def nearest_hashes(
    first: np.ndarray,
    second: np.ndarray,
    at_a_time: tuple[int, int] = _AT_A_TIME,
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the most similar of `second` for each of `first`.

    Hashes are compared where one of their numbers is so near that the whole
    may be: in the order of that number, which leaves a part of all pairs.

    Args:
      first: int8 (N, 63), not zero.
      second: int8 (M, 63), not zero.
      at_a_time: how many of either are compared at a time.

    Returns:
      int64 (N,) positions in `second`, -1 where none reaches MIN_SIMILARITY,
      and float32 (N,) cosines.
    """
    most_rows, most_columns = at_a_time
    nearest = np.full(len(first), -1, np.int64)
    # Rounding must not part an image from its own copy.
    most = np.full(len(first), MIN_SIMILARITY - 1e-6, np.float32)
    if not len(first) or not len(second):
        return nearest, most
    rows, columns = _units(first), _units(second)
    # The number that tells most hashes apart.
    key = int(columns[:_SAMPLE].var(axis=0).argmax())
    row_order = np.argsort(rows[:, key], kind="stable")
    column_order = np.argsort(columns[:, key], kind="stable")
    rows, columns = rows[row_order], columns[column_order]
    keys = columns[:, key].copy()
    for start in range(0, len(rows), most_rows):
        part, places = (
            rows[start : start + most_rows],
            row_order[start:][:most_rows],
        )
        reach = part[0, key] - _REACH, part[-1, key] + _REACH
        begin, end = np.searchsorted(keys, reach)
        for at in range(begin, end, most_columns):
            cosines = part @ columns[at : min(at + most_columns, end)].T
            best = cosines.argmax(axis=1)
            value = cosines[np.arange(len(part)), best]
            better = value > most[places]
            nearest[places[better]] = column_order[at + best[better]]
            most[places[better]] = value[better]
    return nearest, most


def _units(hashes: np.ndarray) -> np.ndarray:
    """float32 (n, 63) of length one."""
    values = hashes.astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values


def _label(images: ImageSet, place: int) -> str:
    label = int(images.labels[place])
    if label == UNLABELLED:
        return ""
    # Weights of others know their classes by number.
    known = label < len(images.class_names)
    return images.class_names[label] if known else str(label)
