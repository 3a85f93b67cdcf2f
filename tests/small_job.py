"""A stage on networks that a test hands in, with neither files nor pixels."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tf_simclr.config import (
    Config,
    ConsistencyConfig,
    DataConfig,
    ObjectiveConfig,
    OptimizerConfig,
    RunConfig,
)
from tf_simclr.data.labels import choose_labels
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.data.sources.open import Splits
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.methods.job import Job
from tf_simclr.models.momentum import named_variables
from tf_simclr.optimizers.schedule import SchedulePlan
from tf_simclr.teachers.own import OwnTeacherSource
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.weights.stored import StoredWeights

# So long a cosine is a constant.
FOREVER = 10**9


@dataclasses.dataclass(frozen=True)
class SmallJob(Job):
    """Attributes:
    networks: what `build` returns, one after the other.
    """

    networks: Iterator[keras.Model] = iter(())

    def build(self, architecture, **options) -> keras.Model:
        return next(self.networks)


def small_job(
    *networks: keras.Model,
    stage: str = "pretrain",
    labels: Sequence[int] = (UNLABELLED,),
    classes: int = 3,
    teacher: keras.Model | None = None,
    strategy: tf.distribute.Strategy | None = None,
    objective: Mapping[str, Any] | None = None,
    optimizer: Mapping[str, Any] | None = None,
    consistency: Mapping[str, Any] | None = None,
) -> SmallJob:
    """A job as a method gets it.

    Args:
      networks: those that the method builds, in its order.
      stage: pretrain, finetune or distill.
      labels: of the training images; -1 marks one without.
      classes: how many there are.
      teacher: the network whose weights `--teacher` names.
      strategy: the devices; None: the default one.
      objective, optimizer, consistency: options that are not at their
        defaults.
    """
    count = len(labels)
    images = ImageSet(
        "train",
        ArrayPixels(np.zeros([count, 8, 8, 3], np.uint8)),
        np.array(labels, np.int32),
        tuple(map(str, range(classes))),
        tuple(map(str, range(count))),
    )
    config = Config(
        run=RunConfig(mode=stage),
        data=DataConfig(image_size=8),
        objective=ObjectiveConfig(**(objective or {})),
        optimizer=OptimizerConfig(**(optimizer or {})),
        consistency=ConsistencyConfig(**(consistency or {})),
    )
    subset = choose_labels(images, config.data) if images.has_labels else None
    return SmallJob(
        config=config,
        stage=stage,
        sources={"teacher": own_teacher(teacher)} if teacher else {},
        splits=Splits(images, None),
        subset=subset,
        images=images,
        plan=SchedulePlan(config.optimizer.learning_rate, "", 0, FOREVER),
        strategy=strategy or tf.distribute.get_strategy(),
        run_dir=RunDirectory("none"),
        listed=images,
        ids="",
        networks=iter(networks),
    )


def own_teacher(network: keras.Model) -> OwnTeacherSource:
    """A network's weights, as if they were read from a checkpoint."""
    values = {name: v.numpy() for name, v in named_variables(network).items()}
    stored = StoredWeights(
        path="teacher",
        kind="test",
        architecture=network.architecture,
        shapes={name: value.shape for name, value in values.items()},
        keys=lambda names, _: {name: name for name in names},
        read=values.__getitem__,
    )
    return OwnTeacherSource(stored)
