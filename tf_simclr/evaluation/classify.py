"""Naming the classes of image files, whatever state they are in."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from tf_simclr.data.sources.look import MAX_BYTES, what_is_wrong
from tf_simclr.data.transcode import Unreadable, plain_bytes

# (N,) encoded images -> `class` and `probability` (N,).
Classify = Callable[[tf.Tensor], dict[str, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What was found about one file.

    Attributes:
      file: its name.
      class_name: the likeliest class; empty if it could not be read.
      probability: of that class.
      problem: why it could not be read; empty if it could.
    """

    file: str
    class_name: str = ""
    probability: float = 0.0
    problem: str = ""


def classify_files(
    classify: Classify, files: Sequence[tuple[str, str]], batch_size: int
) -> Iterator[Prediction]:
    """Classifies files one batch after the other, in their order.

    A file that cannot be read does not keep the others of its batch.

    Args:
      classify: names classes of encoded images.
      files: (name, path) of each.
      batch_size: files at a time.
    """
    for start in range(0, len(files), batch_size):
        names, contents = [], []
        problems: dict[str, str] = {}
        for name, path in files[start : start + batch_size]:
            names.append(name)
            try:
                contents.append(plain_bytes(_read(path)))
            except OSError as error:
                problems[name] = f"cannot be read: {error.strerror or error}"
                contents.append(b"")
            except Unreadable as error:
                problems[name] = str(error)
                contents.append(b"")
        found = _classify_good(classify, names, contents, problems)
        for name in names:
            yield found.get(name) or Prediction(name, problem=problems[name])


def _read(path: str) -> bytes:
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
) -> dict[str, Prediction]:
    """Predictions of the files without problems, by name.

    Adds to `problems` the files that cannot be decoded.
    """
    good = [
        (name, data)
        for name, data in zip(names, contents, strict=True)
        if name not in problems
    ]
    if not good:
        return {}
    try:
        outputs = classify(tf.constant([data for _, data in good]))
    except tf.errors.OpError:
        wrong = {name: what_is_wrong(data) for name, data in good}
        if not any(wrong.values()):
            raise
        problems.update({name: why for name, why in wrong.items() if why})
        return _classify_good(classify, names, contents, problems)
    return {
        name: Prediction(name, class_name.decode(), float(probability))
        for (name, _), class_name, probability in zip(
            good,
            outputs["class"].numpy(),
            outputs["probability"].numpy(),
            strict=True,
        )
    }
