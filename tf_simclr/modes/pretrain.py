"""Stage one: contrastive pretraining, for which no label is needed."""

from tf_simclr.config.run import Config
from tf_simclr.data.batches import TrainingBatches
from tf_simclr.data.labels import mask_labels
from tf_simclr.evaluation.evaluate import Evaluator, pretraining_evaluator
from tf_simclr.evaluation.float32 import scored_in_float32
from tf_simclr.losses.classification import (
    classification_chance,
    contrastive_chance,
)
from tf_simclr.models.network import Architecture
from tf_simclr.modes.architecture import pretraining_architecture
from tf_simclr.modes.context import StageContext
from tf_simclr.modes.contrastive import (
    PROJECTIONS,
    SHARES,
    SHOWN,
    contrastive_objective,
)
from tf_simclr.modes.memory import make_memory
from tf_simclr.modes.prepare import prepare_stage
from tf_simclr.optimizers.factory import decayed_in_loss, make_optimizer
from tf_simclr.optimizers.schedule import WarmupCosine
from tf_simclr.training.step import Task
from tf_simclr.training.step_probe import StepProbe
from tf_simclr.weights.assign import assign_weights
from tf_simclr.weights.backbone import load_backbone_weights
from tf_simclr.weights.open import open_weights
from tf_simclr.weights.stored import StoredWeights


def pretrain(config: Config) -> dict[str, float]:
    """Trains encoder and projection head with NT-Xent (paper, section 3).

    Where labels exist, an online linear classifier learns from the labelled
    subset behind a stop-gradient: it shows progress and changes nothing.
    With `--checkpoint` it goes on from those weights instead of random ones.

    Returns:
      The final metrics.
    """
    stored = None
    if config.objective.checkpoint:
        stored = open_weights(config.objective.checkpoint, "checkpoint")
    context = prepare_stage(config, "pretrain", labels_only=False)
    objective = config.objective
    several = context.subset is not None and len(context.subset.names) > 1
    online = objective.lineareval_while_pretraining and (
        several or _has_online_classifier(context)
    )
    architecture = _architecture(
        config, stored, len(context.class_names) if online else 0
    )
    network = context.build(architecture)
    sources = load_backbone_weights(config, network)
    start = []
    if sources:
        start = [f"start      {config.model.backbone_weights}: the encoder"]
    if stored is not None:
        sources = {"checkpoint": stored}
        report = assign_weights(network, stored, with_classifier=False)
        start = [f"start      {stored.path}: {report}"]
    classifier = network.classifier.trainable_variables if online else []
    trainable = network.trainable_variables
    plan = context.plan
    batch_size = config.optimizer.train_batch_size
    with context.strategy.scope():
        optimizer = make_optimizer(
            config.optimizer,
            WarmupCosine(plan.peak, plan.warmup_steps, plan.total_steps),
            trainable,
            classifier,
        )
        per_device = batch_size // context.strategy.num_replicas_in_sync
        shape = [2, min(per_device, SHOWN), network.embedding_dim]
        probe = StepProbe(network, trainable, optimizer, {PROJECTIONS: shape})
    memory = make_memory(context, network) if objective.memory_size else None
    compute, names = contrastive_objective(
        network,
        objective,
        decayed_in_loss(config.optimizer, network, classifier),
        config.optimizer.weight_decay,
        memory,
        probe,
    )
    levels = contrastive_chance(batch_size, objective.memory_size)
    chance = levels["contrast_loss"]
    images = context.splits.train
    if context.subset is not None:
        images = mask_labels(images, context.subset)
    if several:
        levels |= classification_chance(len(context.class_names))
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
        state=memory.state if memory else {},
        shares=SHARES if online else {},
        chance=levels,
        probe=probe,
    )

    evaluation = context.splits.evaluation
    evaluator: Evaluator | None = None
    if several and evaluation and evaluation.has_labels:
        evaluator = scored_in_float32(
            network,
            context.precision.policy,
            config.data.image_size,
            lambda scored: pretraining_evaluator(
                scored, evaluation, images, config.data
            ),
        )
    probes = (["online linear classifier"] if online else []) + (
        ["k-NN"] if evaluator else []
    )
    probed = "none: no labels to score with"
    if context.subset is not None and not several:
        [name] = context.subset.names
        probed = f"none: all labels are '{name}', which any answer gets right"
    elif probes:
        probed = f"{' and '.join(probes)} on the labelled images"
    others = "2N-1+memory" if memory else "2N-1"
    notes = [
        *start,
        f"loss       NT-Xent, temperature {objective.temperature:g}, chance"
        f" level ln({others}) = {chance:.3f}",
        f"probes     {probed}",
    ]
    if memory:
        notes.append(
            f"memory     {objective.memory_size} past embeddings, momentum"
            f" {objective.memory_momentum:g}"
        )
    return context.run(task, notes, evaluator, sources)


def _has_online_classifier(context: StageContext) -> bool:
    """True if this run was begun with one, as earlier versions of this project
    began it for labels of a single class, too."""
    if context.subset is None:
        return False
    record = context.run_dir.read_config()
    return bool(record and record["architecture"]["num_classes"])


def _architecture(
    config: Config, stored: StoredWeights | None, num_classes: int
) -> Architecture:
    if stored is not None:
        return pretraining_architecture(
            config, stored.architecture, stored.path, num_classes
        )
    return Architecture.for_pretraining(
        config.model, config.data.image_size, num_classes
    )
