"""A stage that has been checked and can start: images, devices, directory."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Protocol

import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.data.imbalance import are_unequal, counts_of
from tf_simclr.data.labels import LabelledSubset, mask_labels
from tf_simclr.data.same_image import Overlap, find_overlap
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import Splits
from tf_simclr.evaluation.evaluate import Evaluator, classifier_evaluator
from tf_simclr.evaluation.float32 import scored_in_float32
from tf_simclr.evaluation.sample import evaluation_sample
from tf_simclr.models.layers import LayerFactory
from tf_simclr.models.network import (
    Architecture,
    SimCLRNetwork,
    build_network,
)
from tf_simclr.optimizers.schedule import SchedulePlan
from tf_simclr.training.devices import device_kinds
from tf_simclr.training.precision import (
    Precision,
    choose_precision,
    lacks_avx512,
)
from tf_simclr.training.run_dir import RunDirectory


class Source(Protocol):
    """Anything that a stage starts or learns from: `StoredWeights`, say."""

    path: str

    def fingerprint(self) -> str:
        """Changes with what it holds, whatever the path."""


@dataclasses.dataclass(frozen=True)
class Job:
    """Everything that `prepare` leaves to a method and to the loop.

    Attributes:
      config: the resolved configuration.
      stage: pretrain, finetune or distill.
      sources: {flag: what it starts or learns from}.
      splits: training and evaluation images.
      subset: the labelled images; None without labels.
      images: what this stage trains on.
      plan: its steps and learning rate.
      strategy: its devices.
      run_dir: its files.
      listed: `images` before any was decoded, with labels only where they
        count.
      ids: checksum of the training images' ids and labels.
      content: that of their pictures; None where it is not known.
      shrunk_to: the shorter side of the copies that training reads; None: it
        reads the files themselves.
    """

    config: Config
    stage: str
    sources: Mapping[str, Source]
    splits: Splits
    subset: LabelledSubset | None
    images: ImageSet
    plan: SchedulePlan
    strategy: tf.distribute.Strategy
    run_dir: RunDirectory
    listed: ImageSet
    ids: str
    content: str | None = None
    shrunk_to: int | None = None

    @functools.cached_property
    def overlap(self) -> Overlap | None:
        """The images that are scored among `images`; None without labels."""
        evaluation = self.splits.evaluation
        if evaluation is not None:
            evaluation = evaluation_sample(evaluation, self.config.data).images
        return find_overlap(evaluation, self.listed)

    @property
    def unequal_labels(self) -> dict[str, int] | None:
        """{class: labelled images} where their numbers are unequal, else
        None."""
        if self.subset is None or not are_unequal(
            counts_of(self.subset.labels)
        ):
            return None
        return self.subset.counts()

    @functools.cached_property
    def precision(self) -> Precision:
        """The arithmetic that the flag or the devices decide."""
        return choose_precision(self.config.train.precision, self.strategy)

    @property
    def num_micro_batches(self) -> int:
        """In how many parts a device takes its share of a batch."""
        micro_batch = self.config.train.micro_batch_size
        if not micro_batch:
            return 1
        replicas = self.strategy.num_replicas_in_sync
        return self.config.optimizer.train_batch_size // replicas // micro_batch

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the dataset; empty without labels."""
        return self.splits.train.class_names if self.subset else ()

    @property
    def masked_images(self) -> ImageSet:
        """All training images, with the labels of the subset alone."""
        if self.subset is None:
            return self.splits.train
        return mask_labels(self.splits.train, self.subset)

    def build(
        self,
        architecture: Architecture,
        *,
        zero_init: bool = False,
        image_size: int | None = None,
    ) -> SimCLRNetwork:
        """A network under this run's devices, norm and precision.

        Args:
          architecture: what to build.
          zero_init: whether its classifier starts at zero.
          image_size: side of its images; None: those of the run.
        """
        model, train = self.config.model, self.config.train
        # XLA has kernels of its own.
        small_maps = (
            device_kinds(self.strategy) == {"CPU"} and not train.jit_compile
        )
        make = LayerFactory(
            batch_norm_decay=model.batch_norm_decay,
            synchronized=model.global_bn
            and self.strategy.num_replicas_in_sync > 1,
            precision=self.precision.policy,
            recompute=train.recompute,
            small_maps=small_maps,
            # What is to repeat bit by bit repeats earlier versions, too.
            flipped_gradients=small_maps
            and not train.deterministic
            and lacks_avx512(),
        )
        with self.strategy.scope():
            return build_network(
                architecture,
                image_size or self.config.data.image_size,
                make,
                zero_init_classifier=zero_init,
            )

    def classifier_evaluator(self, network: SimCLRNetwork) -> Evaluator | None:
        """Scores a network's classifier on the evaluation split; None where
        that has no labels."""
        images = self.splits.evaluation
        if images is None or not images.has_labels:
            return None
        data = self.config.data
        return scored_in_float32(
            network,
            self.precision.policy,
            data.image_size,
            lambda scored: classifier_evaluator(scored, images, data),
        )
