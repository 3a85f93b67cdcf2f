"""Stage one: contrastive pretraining, for which no label is needed."""

import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.data.batches import Batch, TrainingBatches
from tf_simclr.data.labels import mask_labels
from tf_simclr.evaluation.evaluate import Evaluator, pretraining_evaluator
from tf_simclr.losses.nt_xent import chance_level, nt_xent
from tf_simclr.losses.supervised import accuracy, supervised_loss
from tf_simclr.losses.weight_decay import l2_loss
from tf_simclr.models.network import Architecture
from tf_simclr.optimizers.factory import decayed_in_loss, make_optimizer
from tf_simclr.optimizers.schedule import WarmupCosine
from tf_simclr.stages.context import prepare_stage
from tf_simclr.training.loop import Task


def pretrain(config: Config) -> dict[str, float]:
    """Trains encoder and projection head with NT-Xent (paper, section 3).

    Where labels exist, an online linear classifier learns from the labelled
    subset behind a stop-gradient: it shows progress and changes nothing.

    Returns:
      The final metrics.
    """
    context = prepare_stage(config, "pretrain", labels_only=False)
    objective = config.objective
    online = (
        context.subset is not None and objective.lineareval_while_pretraining
    )
    architecture = Architecture.for_pretraining(
        config.model,
        config.data.image_size,
        len(context.class_names) if online else 0,
    )
    network = context.build(architecture)
    classifier = network.classifier.trainable_variables if online else []
    trainable = network.trainable_variables
    plan = context.plan
    with context.strategy.scope():
        optimizer = make_optimizer(
            config.optimizer,
            WarmupCosine(plan.peak, plan.warmup_steps, plan.total_steps),
            trainable,
            classifier,
        )
    decayed = decayed_in_loss(config.optimizer, network, classifier)
    views_weight = (
        2.0 if objective.contrastive_reduction == "sum_of_views" else 1.0
    )

    def compute(batch: Batch) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        # One pass over both views, so that batch norm sees them together.
        views = tf.concat([batch["view1"], batch["view2"]], axis=0)
        outputs = network(views, training=True, stop_classifier_gradient=True)
        first, second = tf.split(outputs["proj_head_output"], 2)
        contrast = nt_xent(
            first, second, objective.temperature, objective.hidden_norm
        )
        decay = l2_loss(decayed, config.optimizer.weight_decay)
        loss = views_weight * contrast.loss + decay
        metrics = {
            "contrast_loss": contrast.loss,
            "contrast_acc": contrast.accuracy,
            "contrast_entropy": contrast.entropy,
            "weight_decay": decay,
        }
        if online:
            labels = tf.concat([batch["label"], batch["label"]], axis=0)
            logits = outputs["logits_sup"]
            supervised = supervised_loss(labels, logits)
            loss += supervised
            metrics["supervised_loss"] = supervised
            metrics["supervised_acc"] = accuracy(labels, logits)
        return loss, {"total_loss": loss, **metrics}

    names = ["total_loss", "contrast_loss", "contrast_acc", "contrast_entropy"]
    names.append("weight_decay")
    if online:
        names += ["supervised_loss", "supervised_acc"]
    batch_size = config.optimizer.train_batch_size
    chance = chance_level(batch_size)
    images = context.splits.train
    if context.subset is not None:
        images = mask_labels(images, context.subset)
    task = Task(
        name="pretrain",
        network=network,
        trainable=trainable,
        optimizer=optimizer,
        objective=compute,
        metric_names=tuple(names),
        summary=lambda metrics: [
            f"loss {metrics['contrast_loss']:.3f} (chance {chance:.3f})",
            f"contrastive accuracy {metrics['contrast_acc']:.1%}",
        ],
        batches=TrainingBatches(
            images,
            config.augment,
            config.data.image_size,
            config.train.seed,
            contrastive=True,
        ),
        batch_size=batch_size,
    )

    evaluation = context.splits.evaluation
    evaluator: Evaluator | None = None
    if context.subset is not None and evaluation and evaluation.has_labels:
        evaluator = pretraining_evaluator(
            network, evaluation, images, config.data
        )
    probe = (
        "online linear classifier and k-NN on the labelled images"
        if online and evaluator
        else "none"
    )
    notes = [
        f"loss       NT-Xent, temperature {objective.temperature:g}, chance"
        f" level ln(2N-1) = {chance:.3f}",
        f"probes     {probe}",
    ]
    return context.run(task, notes, evaluator)
