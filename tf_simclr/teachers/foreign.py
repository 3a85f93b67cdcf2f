"""Teachers of other origin: any classifier of images."""

import abc
import hashlib
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.config.teacher import TeacherConfig
from tf_simclr.data.bad_images import naming_bad_images
from tf_simclr.data.batches import evaluation_batches
from tf_simclr.data.class_mapping import KnownClasses
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.errors import UserError
from tf_simclr.methods.job import Job
from tf_simclr.teachers.answers import as_logits, kind_of
from tf_simclr.teachers.base import Teacher, TeacherSource
from tf_simclr.teachers.class_names import read_class_names
from tf_simclr.teachers.views import RANGES, resized

# Images by which its answers are judged before the first step.
_LOOKED_AT = 512
# With fewer labels an accuracy says little.
_FEWEST_LABELS = 20

Answers = Callable[[tf.Tensor], tf.Tensor]


class ForeignModel(abc.ABC):
    """A model of another make, loaded from its file.

    Attributes:
      image_size: side of the images that it takes; None: any.
      dtype: of these images.
    """

    image_size: int | None
    dtype: tf.DType

    @abc.abstractmethod
    def answers(self, images: tf.Tensor) -> tf.Tensor:
        """(n, C) of images (n, S, S, 3) of its size and dtype."""


class ForeignTeacher(Teacher):
    """A model behind the crops' size and range of values.

    Args:
      where: names it in messages.
      model: computes its answers.
      config: how it wants its images.
      job: has the images that it is judged by.
      num_classes: C, of its names.
    """

    def __init__(
        self,
        where: str,
        model: ForeignModel,
        config: TeacherConfig,
        job: Job,
        num_classes: int,
    ):
        self._where = where
        self._model = model
        self._config = config
        self._job = job
        self._num_classes = num_classes
        self._kind: str | None = None  # `begin` tells.
        self.image_size = model.image_size or config.teacher_image_size or None
        if config.teacher_image_size not in (0, self.image_size):
            raise UserError(
                f"{where} takes images of {model.image_size} pixels: leave"
                " --teacher_image_size out. Received:"
                f" {config.teacher_image_size}"
            )
        size = self.image_size or job.config.data.image_size
        self.note = (
            f"{where.removeprefix('--teacher=')}, on images of {size} pixels"
            f" in the range {config.teacher_range}"
        )

    def begin(self) -> Sequence[str]:
        """Looks at its answers to some images, with labels where there are
        any.

        Raises:
          UserError: they are none, or of another number of classes.
        """
        images = _some(self._job)
        answers = np.concatenate(list(self._stream(images)))
        if answers.ndim != 2 or answers.shape[1] != self._num_classes:
            raise UserError(
                f"{self._where} answers with shape (n,"
                f" {', '.join(map(str, answers.shape[1:]))}), not with one"
                f" number for each of its {self._num_classes} classes: name"
                " another --teacher_output, or other classes."
            )
        kind = self._config.teacher_answers
        self._kind = kind_of(answers, kind, self._where)
        lines = []
        if kind == "auto":
            lines = [f"teacher    its answers look like {self._kind}"]
        if images.has_labels:
            lines += _judged(answers.argmax(axis=1), images.labels, answers)
        return lines

    def logits(self, views: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """Logits (n, C) of views (n, S, S, 3); `index` (n,) is not read."""
        answers = tf.ensure_shape(
            self._answers(views), (None, self._num_classes)
        )
        return as_logits(answers, self._kind)

    def _answers(self, views: tf.Tensor) -> tf.Tensor:
        images = resized(tf.cast(views, tf.float32), self.image_size)
        images = RANGES[self._config.teacher_range](images)
        if self._model.dtype.is_integer:
            images = tf.round(images)
        return self._model.answers(tf.cast(images, self._model.dtype))

    def _stream(self, images: ImageSet):
        data = self._job.config.data
        answers = tf.function(self._answers, reduce_retracing=True)
        size = self.image_size or data.image_size
        batch = min(data.eval_batch_size, len(images))
        with naming_bad_images(images):
            for found in evaluation_batches(images, batch, size):
                yield answers(found["image"]).numpy()


def _some(job: Job) -> ImageSet:
    """Training images with labels; any, where there are none."""
    images = job.masked_images
    if job.subset is not None:
        images = images.take(np.sort(job.subset.indices)[:_LOOKED_AT])
    return images.take(np.arange(min(len(images), _LOOKED_AT)))


def _judged(
    found: np.ndarray, labels: np.ndarray, answers: np.ndarray
) -> list[str]:
    """Lines on its accuracy on labelled images, with a warning at chance
    level."""
    count, chance = len(labels), 1 / answers.shape[1]
    right = float(np.mean(found == labels))
    lines = [
        f"teacher    right on {right:.1%} of {count} labelled training images"
    ]
    deviation = (chance * (1 - chance) / count) ** 0.5
    if count >= _FEWEST_LABELS and right < chance + 2 * deviation:
        lines.append(
            "teacher    that is no better than chance: are --teacher_range and"
            " the order of its class names right?"
        )
    return lines


class ForeignSource(TeacherSource):
    """A model's file, or its folder.

    Args:
      path: where it lies.
      config: of the distillation.

    Raises:
      UserError: its classes have no names.
    """

    def __init__(self, path: str, config: Config):
        self.path = path
        self._where = f"--teacher={path}"
        self._names = read_class_names(
            config.output.class_names_file, path, self._where
        )
        self._config = config.teacher

    @abc.abstractmethod
    def load(self) -> ForeignModel:
        """The model.

        Raises:
          UserError: it cannot be used.
        """

    @property
    def classes(self) -> KnownClasses:
        """Its names, which stand in a file beside it."""
        return KnownClasses(self._names, len(self._names), self.path)

    def fingerprint(self) -> str:
        """A digest of its files."""
        return digest(self.path)

    def build(self, job: Job) -> ForeignTeacher:
        """Loads the model on the job's devices."""
        with job.strategy.scope():
            model = self.load()
        return ForeignTeacher(
            self._where, model, self._config, job, len(self._names)
        )


def digest(path: str) -> str:
    """Digest of a file's bytes, or of all files in a folder and their names.

    Raises:
      UserError: there is no such file.
    """
    if not os.path.exists(path):
        raise UserError(f"{path} does not exist.")
    found = hashlib.blake2b(digest_size=8)
    for name in _files(path):
        found.update(os.path.relpath(name, path).encode() + b"\0")
        with open(name, "rb") as file:
            while part := file.read(1 << 20):
                found.update(part)
    return found.hexdigest()


def _files(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    return sorted(
        os.path.join(folder, name)
        for folder, _, names in os.walk(path)
        for name in names
    )
