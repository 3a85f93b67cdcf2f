"""Naming the classes of image files, whatever state they are in."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tf_simclr.data.sources.look import MAX_BYTES, what_is_wrong
from tf_simclr.data.transcode import Unreadable, plain_bytes

# Of 100 usual images one is as novel.
_NOVEL = 0.99
# (N,) encoded images -> `probabilities` (N, C), where known
# `calibrated_probabilities` and `novelty` (N,), and whether each is an image,
# `valid` (N,).
Classify = Callable[[tf.Tensor], dict[str, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Findings about one file.

    Attributes:
      file: its name.
      class_name: the likeliest class; empty if it could not be read, or if
        that is not sure enough.
      probability: of the likeliest class.
      problem: why it could not be read; empty if it could.
      top: the likeliest classes with their probabilities, at most as many as
        were asked for.
      calibrated: the calibrated probability of the likeliest class; None where
        nothing is known of it.
      novelty: the share of usual images that are nearer to the training images;
        None where nothing is known of it.
    """

    file: str
    class_name: str = ""
    probability: float = 0.0
    problem: str = ""
    top: tuple[tuple[str, float], ...] = ()
    calibrated: float | None = None
    novelty: float | None = None

    @property
    def is_novel(self) -> bool:
        """True if hardly any evaluation image is as far from the training
        images."""
        return self.novelty is not None and self.novelty >= _NOVEL

    @property
    def unsure(self) -> bool:
        """True if the file was read and no class was given."""
        return not (self.class_name or self.problem)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The questions to a classifier.

    Attributes:
      class_names: C names.
      top_k: how many of the likeliest classes are named.
      least: the probability, calibrated where that is known, below which an
        image is of no class.
    """

    class_names: Sequence[str]
    top_k: int = 1
    least: float = 0.0

    def prediction(
        self,
        file: str,
        probabilities: np.ndarray,
        calibrated: np.ndarray | None = None,
        novelty: float | None = None,
    ) -> Prediction:
        """Answers for one file, from probabilities (C,), calibrated ones
        (C,) and its novelty."""
        order = np.argsort(-probabilities, kind="stable")[: self.top_k]
        top = tuple(
            (self.class_names[place], float(probabilities[place]))
            for place in order
        )
        name, share = top[0]
        sure = None if calibrated is None else float(calibrated[order[0]])
        known = (share if sure is None else sure) >= self.least
        return Prediction(
            file, name if known else "", share, "", top, sure, novelty
        )


def classify_files(
    classify: Classify,
    files: Sequence[tuple[str, str]],
    batch_size: int,
    wanted: Wanted,
) -> Iterator[Prediction]:
    """Classifies files one batch after the other, in their order.

    A file that cannot be read does not keep the others of its batch.

    Args:
      classify: names classes of encoded images.
      files: (name, path) of each.
      batch_size: files at a time.
      wanted: what is asked about each.
    """
    for start in range(0, len(files), batch_size):
        names, contents = [], []
        problems: dict[str, str] = {}
        for name, path in files[start : start + batch_size]:
            names.append(name)
            try:
                contents.append(plain_bytes(read_file(path)))
            except OSError as error:
                problems[name] = f"cannot be read: {error.strerror or error}"
                contents.append(b"")
            except Unreadable as error:
                problems[name] = str(error)
                contents.append(b"")
        found = _classify_good(classify, names, contents, problems)
        found = {
            name: wanted.prediction(name, *rows) for name, rows in found.items()
        }
        for name in names:
            yield found.get(name) or Prediction(name, problem=problems[name])


def read_file(path: str) -> bytes:
    """The bytes of a file.

    Raises:
      OSError: it cannot be read, or is too large for an image.
    """
    size = os.path.getsize(path)
    if size > MAX_BYTES:
        # A film, say, among the photographs.
        raise OSError(f"it is {size:,} bytes large")
    with open(path, "rb") as file:
        return file.read()


def _classify_good(
    classify: Classify,
    names: Sequence[str],
    contents: Sequence[bytes],
    problems: dict[str, str],
) -> dict[str, tuple[np.ndarray, np.ndarray | None, float | None]]:
    """Probabilities (C,) of the files without problems, by name, as they are
    and calibrated, and their novelty, if these are known.

    Adds to `problems` the files that cannot be decoded.
    """
    good = [
        (name, data)
        for name, data in zip(names, contents, strict=True)
        if name not in problems
    ]
    if not good:
        return {}
    outputs = classify(tf.constant([data for _, data in good]))
    rows, valid = outputs["probabilities"].numpy(), outputs["valid"].numpy()
    calibrated: Sequence = [None] * len(rows)
    if "calibrated_probabilities" in outputs:
        calibrated = outputs["calibrated_probabilities"].numpy()
    novelties: Sequence = [None] * len(rows)
    if "novelty" in outputs:
        novelties = outputs["novelty"].numpy().tolist()
    found = {}
    for (name, data), row, sure, novelty, is_image in zip(
        good, rows, calibrated, novelties, valid, strict=True
    ):
        if is_image:
            found[name] = row, sure, novelty
        else:
            problems[name] = what_is_wrong(data) or "cannot be decoded"
    return found
