"""A teacher from features alone: a linear classifier on those of --features."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.data.labels import check_several_classes
from tf_simclr.errors import UserError
from tf_simclr.evaluation.feature_file import features_of
from tf_simclr.labels.linear import linear_probabilities
from tf_simclr.losses.mean_of_teachers import logits_of
from tf_simclr.methods.job import Job
from tf_simclr.teachers.base import Teacher, TeacherSource
from tf_simclr.teachers.foreign import digest


class FeaturesTeacher(Teacher):
    """A linear classifier that is fitted to the labels before the first step.

    Args:
      path: of the features.
      features: (N, d), of the training images in their order.
      job: images and labels.
    """

    def __init__(self, path: str, features: np.ndarray, job: Job):
        self.note = f"a linear classifier on the features of {path}"
        self._features = features
        self._job = job

    def begin(self) -> Sequence[str]:
        """Fits it."""
        job = self._job
        found = linear_probabilities(
            self._features,
            job.subset.indices,
            job.subset.labels,
            len(job.class_names),
        )
        self._logits = tf.constant(logits_of(found))
        right = np.mean(
            found.argmax(axis=1)[job.subset.indices] == (job.subset.labels)
        )
        return (
            f"teacher    fitted to {len(job.subset)} labels, of which it gives"
            f" {right:.1%} back",
        )

    def logits(self, views: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """Logits (n, C) of the images at `index` (n,); their `views` (n, S,
        S, 3) are not read."""
        return tf.gather(self._logits, index)


@dataclasses.dataclass(frozen=True)
class GivenFeatures:
    """The file of --features, along which labels are carried."""

    path: str

    def fingerprint(self) -> str:
        """A digest of the file."""
        return digest(self.path)


class FeaturesSource(TeacherSource):
    """--teacher=features.

    Args:
      config: of the distillation.

    Raises:
      UserError: --features names no file.
    """

    def __init__(self, config: Config):
        if not config.labels.features:
            raise UserError(
                "--teacher=features fits a linear classifier to features: name"
                " their file by --features=FILE, as --mode=embed writes it."
            )
        self.path = config.labels.features

    @property
    def classes(self) -> None:
        """Classes of the data, whose labels it is fitted to."""
        return None

    def fingerprint(self) -> str:
        """A digest of the features."""
        return digest(self.path)

    def build(self, job: Job) -> FeaturesTeacher:
        """The classifier, not fitted yet."""
        data = job.config.data
        if job.subset is None:
            raise UserError(
                "--teacher=features is fitted to labels, of which"
                f" --dataset={data.dataset} has none: give --label_ids=FILE."
            )
        check_several_classes(job.subset, data)
        features = features_of(self.path, job.splits.train.ids)
        return FeaturesTeacher(self.path, features, job)
