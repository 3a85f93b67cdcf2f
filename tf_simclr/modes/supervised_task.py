"""The task of training a classifier, by labels or by a teacher."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_simclr.data.batches import Batch, TrainingBatches
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.losses.classification import (
    LABELLED,
    accuracy,
    classification_chance,
    is_labelled,
    l2_loss,
    supervised_loss,
)
from tf_simclr.models.network import SimCLRNetwork
from tf_simclr.modes.context import StageContext
from tf_simclr.optimizers.factory import decayed_in_loss, make_optimizer
from tf_simclr.optimizers.schedule import WarmupCosine
from tf_simclr.training.objective import Metrics, Objective, Rows
from tf_simclr.training.step import Task
from tf_simclr.training.step_probe import StepProbe

# (batch, rows) -> {loss name: scalar}; the loss is their weighted sum. Rows
# hold `logits` and what the stage's `references` return; the batch holds what
# an image counts: `share` of all images, `label_share` of the labelled ones in
# the training set.
Losses = Callable[[Batch, Rows], dict[str, tf.Tensor]]


def classification_objective(
    network: SimCLRNetwork,
    losses: Losses,
    decayed: Sequence[tf.Variable],
    weight_decay: float,
    references: Callable[[Batch], Rows] | None = None,
    labelled: float = 1.0,
    label_weight: float | None = None,
) -> Objective:
    """The sum of `losses` on the network's logits, and weight decay.

    `label_share` is 1 / (n f) for the labelled ones of n images, where f is
    their share of the training set. Sums over a batch then estimate the mean
    over all labelled images without bias (Horvitz and Thompson, 1952),
    however few a batch holds: a term weighs as much as it says. The mean over
    a batch's own labelled images would count for nothing where there is none.

    Args:
      network: has a classifier.
      losses: the terms of the loss, already weighted.
      decayed: variables whose decay is a term of the loss.
      weight_decay: its weight.
      references: what the losses read of other networks.
      labelled: f, in (0, 1].
      label_weight: weight of `supervised_loss`, where only some images have a
        label: the metric is then their weighted sum, counted by `LABELLED`.
    """

    def prepare(batch: Batch) -> Batch:
        labels = batch["label"]
        count = tf.cast(tf.size(labels), tf.float32)
        return {
            **batch,
            "share": tf.fill(tf.shape(labels), 1.0 / count),
            "label_share": is_labelled(labels) / (count * labelled),
        }

    def forward(batch: Batch) -> Rows:
        return {"logits": network(batch["image"], training=True).logits}

    def loss(batch: Batch, rows: Rows) -> tuple[tf.Tensor, Metrics]:
        terms = losses(batch, rows)
        labels, logits = batch["label"], rows["logits"]
        known = is_labelled(labels)
        metrics = {
            **terms,
            "supervised_acc": accuracy(labels, logits, known),
            LABELLED: tf.reduce_sum(known),
        }
        if label_weight is not None:
            total = supervised_loss(labels, logits, known)
            metrics["supervised_loss"] = label_weight * total
        return tf.add_n([*terms.values()]), metrics

    return Objective(
        forward=forward,
        loss=loss,
        decay=lambda: l2_loss(decayed, weight_decay),
        prepare=prepare,
        **({"references": references} if references else {}),
    )


def classification_task(
    context: StageContext,
    network: SimCLRNetwork,
    images: ImageSet,
    losses: Losses,
    weights: Mapping[str, float],
    references: Callable[[Batch], Rows] | None = None,
) -> Task:
    """Trains `network`'s logits on single views of `images`.

    Args:
      context: the stage.
      network: has a classifier; its trainable variables are trained.
      images: what to train on.
      losses: the terms of the loss, already weighted.
      weights: {their name: their weight}.
      references: what the losses read of other networks.
    """
    config = context.config
    trainable = network.trainable_variables
    classifier = network.classifier.trainable_variables
    plan = context.plan
    with context.strategy.scope():
        optimizer = make_optimizer(
            config.optimizer,
            WarmupCosine(plan.peak, plan.warmup_steps, plan.total_steps),
            trainable,
            classifier,
        )
        probe = StepProbe(network, trainable, optimizer)
    has_label = images.labels != UNLABELLED
    every, some = bool(np.all(has_label)), bool(np.any(has_label))
    shares = {"supervised_acc": LABELLED}
    label_weight = None
    if not every and "supervised_loss" in weights:
        label_weight = weights["supervised_loss"]
        shares["supervised_loss"] = LABELLED
    num_classes = network.architecture.num_classes
    # Equal answers have this cross-entropy with labels and teachers alike.
    uniform = math.log(num_classes)
    decayed = decayed_in_loss(config.optimizer, network, classifier)

    return Task(
        name=context.stage,
        network=network,
        trainable=trainable,
        optimizer=optimizer,
        objective=classification_objective(
            network,
            losses,
            decayed,
            config.optimizer.weight_decay,
            references,
            labelled=float(np.mean(has_label)) if some else 1.0,
            label_weight=label_weight,
        ),
        metric_names=(
            "total_loss",
            *weights,
            "weight_decay",
            "supervised_acc",
            LABELLED,
        ),
        shares=shares,
        summary=lambda metrics: [f"loss {metrics['total_loss']:.4f}"],
        batches=TrainingBatches(
            images,
            config.augment.supervised(),
            config.data.image_size,
            config.train.seed,
            contrastive=False,
        ),
        batch_size=config.optimizer.train_batch_size,
        chance={
            **classification_chance(num_classes),
            **{name: weight * uniform for name, weight in weights.items()},
        },
        probe=probe,
    )
