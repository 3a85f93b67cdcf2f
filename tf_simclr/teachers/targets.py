"""A teacher whose answers were computed before: a file by image id.

Whatever computed them, each image has one answer, for all of its crops.
"""

import zipfile

import numpy as np
import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.data.class_mapping import KnownClasses
from tf_simclr.data.label_table import places_of
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.table import TITLES, read_cells
from tf_simclr.errors import UserError, at_most
from tf_simclr.methods.job import Job
from tf_simclr.teachers.answers import as_logits, kind_of
from tf_simclr.teachers.base import Teacher, TeacherSource
from tf_simclr.teachers.class_names import read_class_names
from tf_simclr.teachers.foreign import digest

_SHOWN = 4
_KINDS = ("logits", "probabilities")


class TargetsTeacher(Teacher):
    """One answer for each training image.

    Args:
      note: names them.
      logits: float32 (N, C), of the training images in their order.
    """

    def __init__(self, note: str, logits: np.ndarray):
        self.note = note
        self._logits = tf.constant(logits)

    def logits(self, views: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """Logits (n, C) of the images at `index` (n,); their `views` (n, S,
        S, 3) are not read."""
        return tf.gather(self._logits, index)


class TargetsSource(TeacherSource):
    """The file of --teacher_targets.

    Args:
      config: of the distillation.

    Raises:
      UserError: it cannot be read, or does not name its classes.
    """

    def __init__(self, config: Config):
        self.path = config.teacher.teacher_targets
        self._where = f"--teacher_targets={self.path}"
        read = _read_npz if _is_archive(self.path) else _read_table
        self._ids, answers, names, kind = read(self.path)
        asked = config.teacher.teacher_answers
        if kind is not None and asked not in ("auto", kind):
            raise UserError(
                f"{self._where} holds {kind}: leave --teacher_answers at auto."
                f" Received: {asked}"
            )
        self._kind = kind_of(answers, kind or asked, self._where)
        self._answers = answers
        if not names or config.output.class_names_file:
            names = read_class_names(
                config.output.class_names_file, self.path, self._where
            )
        self._names = names
        if len(names) != answers.shape[1]:
            raise UserError(
                f"{self._where} has answers for {answers.shape[1]} classes, but"
                f" {len(names)} names of classes."
            )

    @property
    def classes(self) -> KnownClasses:
        """Classes that the file names."""
        return KnownClasses(self._names, len(self._names), self.path)

    def fingerprint(self) -> str:
        """A digest of the file."""
        return digest(self.path)

    def build(self, job: Job) -> TargetsTeacher:
        """Puts the answers into the images' order."""
        rows = self._rows(job.splits.train)
        with tf.device("CPU:0"):
            logits = as_logits(self._answers[rows], self._kind).numpy()
        return TargetsTeacher(
            f"{self.path}: {self._kind} of each image, one for all of its"
            " crops",
            logits,
        )

    def _rows(self, images: ImageSet) -> np.ndarray:
        """(N,): the row of each image."""
        places = places_of(images, self._ids)
        rows = np.full(len(images), -1)
        for row, name in enumerate(self._ids):
            place = places.get(name)
            if place is None:
                continue
            if rows[place] >= 0:
                raise UserError(
                    f"{self._where} has two answers for"
                    f" {images.ids[place]}: keep one of them."
                )
            rows[place] = row
        missing = [images.ids[place] for place in np.flatnonzero(rows < 0)]
        if missing:
            raise UserError(
                f"{self._where} has no answer for {len(missing)} of the"
                f" {len(images)} training images: {at_most(_SHOWN, missing)}."
            )
        return rows


_Read = tuple[tuple[str, ...], np.ndarray, tuple[str, ...], str | None]


def _is_archive(path: str) -> bool:
    return path.casefold().endswith(".npz")


def _read_npz(path: str) -> _Read:
    where = f"--teacher_targets={path}"
    try:
        with (
            open(path, "rb") as file,
            np.load(file, allow_pickle=False) as archive,
        ):
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{where} is no archive of arrays: {error}") from error
    kinds = [kind for kind in _KINDS if kind in arrays]
    if not kinds or "ids" not in arrays:
        raise UserError(
            f"{where} needs arrays `ids` and `logits` or `probabilities`."
            f" Received: {', '.join(arrays) or 'no array'}"
        )
    kind, ids = kinds[0], arrays["ids"]
    answers = arrays[kind]
    if (
        answers.ndim != 2
        or answers.dtype.kind not in "fiu"
        or ids.shape != answers.shape[:1]
        or ids.dtype.kind != "U"
    ):
        raise UserError(
            f"{where} needs `{kind}` (N, C) and N strings as `ids`. Received:"
            f" {answers.dtype} {answers.shape}, {ids.dtype} {ids.shape}"
        )
    names = arrays.get("classes", np.array([], str))
    return (
        tuple(ids.tolist()),
        answers.astype(np.float32),
        tuple(map(str, names.tolist())),
        kind,
    )


def _read_table(path: str) -> _Read:
    """A table with a column of images and one for each class, whose title is
    the class's name."""
    where = f"--teacher_targets={path}"
    header, rows = read_cells(path)
    titles = [cell.strip() for cell in header]
    plain = [title.casefold().replace("_", "") for title in titles]
    named = [title for title in TITLES["path"] if title in plain]
    if not named:
        raise UserError(
            f"{where} needs a header with a column of images, such as path or"
            f" id, and one for each class. Received: {at_most(8, titles)}"
        )
    at = plain.index(named[0])
    others = [place for place in range(len(titles)) if place != at]
    ids, values = [], []
    for number, row in rows:
        try:
            values.append([float(row[place]) for place in others])
        except (ValueError, IndexError) as error:
            raise UserError(
                f"Row {number} of {where} needs a number for each class."
                f" Received: {at_most(8, row)}"
            ) from error
        ids.append(row[at].strip())
    if not ids:
        raise UserError(f"{where} has no row.")
    names = tuple(titles[place] for place in others)
    return tuple(ids), np.array(values, np.float32), names, None
