"""A teacher: an object that predicts logits of the student's training
images."""

import abc
from collections.abc import Sequence

import tensorflow as tf

from tf_simclr.data.class_mapping import KnownClasses
from tf_simclr.methods.job import Job
from tf_simclr.models.network import SimCLRNetwork


class Teacher(abc.ABC):
    """Ready to answer; nothing of it is trained.

    Attributes:
      note: names it, for the announcement of the run.
      network: ours, along whose features labels can be carried; None for
        others.
      parameters: how many numbers it holds; None where that is not known.
      image_size: side of the images that it looks at; None: any.
    """

    note: str
    network: SimCLRNetwork | None = None
    parameters: int | None = None
    image_size: int | None = None

    def begin(self) -> Sequence[str]:
        """Called before the first step, in a directory that is the run's own.

        Returns:
          Lines for the announcement of the run.

        Raises:
          UserError: its answers are none.
        """
        return ()

    @abc.abstractmethod
    def logits(self, views: tf.Tensor, index: tf.Tensor | None) -> tf.Tensor:
        """Its answers, in the order of `TeacherSource.classes`.

        Args:
          views: float32 (n, S, S, 3) in [0, 1], the crops that the student
            learns from.
          index: int64 (n,), the place of each among the training images; None
            where nobody tells it.

        Returns:
          Floats (n, C).
        """


class TeacherSource(abc.ABC):
    """A teacher that flags name, found and not yet loaded.

    Attributes:
      path: where it lies.
    """

    path: str

    @property
    @abc.abstractmethod
    def classes(self) -> KnownClasses | None:
        """The classes that it tells apart; None: those of the data."""

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Changes with its answers, whatever the path."""

    @abc.abstractmethod
    def build(self, job: Job) -> Teacher:
        """Loads it.

        Args:
          job: the images that it answers for, and the devices.

        Raises:
          UserError: it cannot be loaded, or does not fit the images.
        """
