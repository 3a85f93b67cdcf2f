"""The task of training a classifier, by labels or by a teacher."""

import math
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from tf_simclr.data.batches import Batch, TrainingBatches
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.losses.chance import classification_chance
from tf_simclr.losses.supervised import accuracy
from tf_simclr.losses.weight_decay import l2_loss
from tf_simclr.models.network import SimCLRNetwork
from tf_simclr.optimizers.factory import decayed_in_loss, make_optimizer
from tf_simclr.optimizers.schedule import WarmupCosine
from tf_simclr.stages.context import StageContext
from tf_simclr.training.step import Metrics, Objective, Task
from tf_simclr.training.step_probe import StepProbe

# (batch, logits) -> {loss name: scalar}; the loss is their weighted sum.
Losses = Callable[[Batch, tf.Tensor], dict[str, tf.Tensor]]


def classification_objective(
    network: SimCLRNetwork,
    losses: Losses,
    decayed: Sequence[tf.Variable],
    weight_decay: float,
) -> Objective:
    """The sum of `losses` on the network's logits, and weight decay.

    Args:
      network: has a classifier.
      losses: the terms of the loss, already weighted.
      decayed: variables whose decay is a term of the loss.
      weight_decay: its weight.
    """

    def compute(batch: Batch) -> tuple[tf.Tensor, Metrics]:
        logits = network(batch["image"], training=True)["logits_sup"]
        terms = losses(batch, logits)
        decay = l2_loss(decayed, weight_decay)
        loss = tf.add_n([*terms.values(), decay])
        return loss, {
            "total_loss": loss,
            **terms,
            "weight_decay": decay,
            "supervised_acc": accuracy(batch["label"], logits),
        }

    return compute


def classification_task(
    context: StageContext,
    network: SimCLRNetwork,
    images: ImageSet,
    losses: Losses,
    weights: Mapping[str, float],
) -> Task:
    """Trains `network`'s logits on single views of `images`.

    Args:
      context: the stage.
      network: has a classifier; its trainable variables are trained.
      images: what to train on.
      losses: the terms of the loss, already weighted.
      weights: {their name: their weight}.
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
            network, losses, decayed, config.optimizer.weight_decay
        ),
        metric_names=(
            "total_loss",
            *weights,
            "weight_decay",
            "supervised_acc",
        ),
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
