"""Stage one: contrastive pretraining, for which no label is needed."""

from tf_simclr.config.run import Config
from tf_simclr.data.batches import TrainingBatches
from tf_simclr.data.labels import mask_labels
from tf_simclr.evaluation.evaluate import Evaluator, pretraining_evaluator
from tf_simclr.losses.nt_xent import chance_level
from tf_simclr.models.network import Architecture
from tf_simclr.optimizers.factory import decayed_in_loss, make_optimizer
from tf_simclr.optimizers.schedule import WarmupCosine
from tf_simclr.stages.context import prepare_stage
from tf_simclr.stages.contrastive import contrastive_objective
from tf_simclr.stages.memory import make_memory
from tf_simclr.training.step import Task


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
    memory = make_memory(context, network) if objective.memory_size else None
    compute, names = contrastive_objective(
        network,
        objective,
        decayed_in_loss(config.optimizer, network, classifier),
        config.optimizer.weight_decay,
        memory,
    )
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
        metric_names=names,
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
        after_step=memory.follow if memory else None,
        state={"memory": memory} if memory else {},
    )

    evaluation = context.splits.evaluation
    evaluator: Evaluator | None = None
    if context.subset is not None and evaluation and evaluation.has_labels:
        evaluator = pretraining_evaluator(
            network, evaluation, images, config.data
        )
    probes = (["online linear classifier"] if online else []) + (
        ["k-NN"] if evaluator else []
    )
    probed = "none: no labels to score with"
    if probes:
        probed = f"{' and '.join(probes)} on the labelled images"
    notes = [
        f"loss       NT-Xent, temperature {objective.temperature:g}, chance"
        f" level ln(2N-1) = {chance:.3f}",
        f"probes     {probed}",
    ]
    if memory:
        notes.append(
            f"memory     {objective.memory_size} past embeddings, momentum"
            f" {objective.memory_momentum:g}"
        )
    return context.run(task, notes, evaluator)
