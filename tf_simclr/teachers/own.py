"""Teachers that this project or the original release trained."""

import dataclasses

import tensorflow as tf

from tf_simclr.data.class_mapping import KnownClasses, check_names
from tf_simclr.errors import UserError
from tf_simclr.methods.job import Job
from tf_simclr.models.network import SimCLRNetwork
from tf_simclr.teachers.base import Teacher, TeacherSource
from tf_simclr.teachers.class_names import read_class_names
from tf_simclr.teachers.views import resized
from tf_simclr.weights.assign import assign_weights
from tf_simclr.weights.open import open_weights
from tf_simclr.weights.stored import StoredWeights


class OwnTeacher(Teacher):
    """A network in inference mode.

    Args:
      path: of its weights.
      network: with them.
      image_size: side of the images that it looks at; None: the student's.
    """

    def __init__(
        self, path: str, network: SimCLRNetwork, image_size: int | None
    ):
        self.network = network
        self.parameters = network.count_params()
        self.note = path
        self.image_size = image_size

    def logits(self, views: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """Logits (n, C) of views (n, S, S, 3); `index` (n,) is not read."""
        views = resized(views, self.image_size)
        return self.network(views, training=False).logits


class OwnTeacherSource(TeacherSource):
    """Weights of a classifier.

    Args:
      stored: they themselves.
    """

    def __init__(self, stored: StoredWeights):
        self.path = stored.path
        self.stored = stored

    @property
    def classes(self) -> KnownClasses:
        """Classes of the classifier."""
        return self.stored.classes

    def fingerprint(self) -> str:
        """Fingerprint of the weights."""
        return self.stored.fingerprint()

    def build(self, job: Job) -> OwnTeacher:
        """The network, beside the student."""
        size = self.stored.image_size
        network = job.build(self.stored.architecture, image_size=size)
        assign_weights(network, self.stored, with_classifier=True)
        teacher = OwnTeacher(self.stored.path, network, size)
        if size not in (None, job.config.data.image_size):
            teacher.note += f", on images of {size} pixels"
        return teacher


def open_own_teacher(
    path: str, classifier_layer: int, names_file: str | None = None
) -> OwnTeacherSource:
    """The weights that --teacher names.

    Args:
      path, classifier_layer: as of `open_weights`.
      names_file: the names of their classes, for weights that do not tell
        them.

    Raises:
      UserError: there are none, or they have learned no classes, or others
        than those of the file.
    """
    stored = open_weights(path, "teacher", classifier_layer)
    if not stored.architecture.num_classes or stored.stage == "pretrain":
        raise UserError(
            f"--teacher={path} holds a pretrained network, which has learned no"
            " classes: fine-tune it first."
        )
    if stored.architecture.num_classes < 2:
        raise UserError(
            f"--teacher={path} knows one class alone, and gives every image the"
            " same answer: fine-tune one on at least two."
        )
    if names_file:
        names = read_class_names(names_file, path, f"--teacher={path}")
        flag = f"--class_names_file={names_file}"
        if len(names) != stored.architecture.num_classes:
            raise UserError(
                f"{flag} holds {len(names)} names, but the weights in"
                f" {stored.path} know {stored.architecture.num_classes}"
                " classes: give one name per line."
            )
        check_names(names, stored.classes, flag)
        stored = dataclasses.replace(stored, class_names=names)
    return OwnTeacherSource(stored)
