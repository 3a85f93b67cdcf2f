"""Stage three: a student learns from the fine-tuned teacher."""

import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.data.batches import Batch
from tf_simclr.data.labels import check_several_classes, mask_labels
from tf_simclr.errors import UserError
from tf_simclr.losses.classification import distillation_loss, supervised_loss
from tf_simclr.models.network import Architecture
from tf_simclr.modes.architecture import classification_architecture
from tf_simclr.modes.prepare import prepare_stage
from tf_simclr.modes.supervised_task import classification_task
from tf_simclr.training.objective import Rows
from tf_simclr.weights.assign import assign_weights
from tf_simclr.weights.backbone import load_backbone_weights
from tf_simclr.weights.open import open_weights
from tf_simclr.weights.stored import StoredWeights


def distill(config: Config) -> dict[str, float]:
    """Trains a student on all images with the teacher's labels (paper, 3).

    The teacher stays in inference mode and sees the same crop. True labels
    enter only with `--distillation_alpha` below 1. A student of the teacher's
    size is self-distillation.

    Returns:
      The final metrics.
    """
    objective = config.objective
    stored = open_weights(
        objective.teacher, "teacher", objective.teacher_proj_selector
    )
    if not stored.architecture.num_classes or stored.stage == "pretrain":
        raise UserError(
            f"--teacher={objective.teacher} holds a pretrained network, which"
            " has learned no classes: fine-tune it first."
        )
    start = None
    if objective.checkpoint:
        start = open_weights(objective.checkpoint, "checkpoint")
    _check_size(config, stored)
    # Those that a student is scored on matter like those that it learns from.
    context = prepare_stage(
        config, "distill", labels_only=False, known=stored.classes
    )
    num_classes = stored.architecture.num_classes
    if num_classes < 2:
        raise UserError(
            f"--teacher={objective.teacher} knows one class alone, and gives"
            " every image the same answer: fine-tune one on at least two."
        )
    if start is not None:
        architecture = classification_architecture(
            config, start.architecture, start.path, num_classes
        )
    else:
        architecture = Architecture.for_pretraining(
            config.model, config.data.image_size, 0
        ).for_classification(config.model.selected_layer, num_classes)
    network = context.build(architecture)
    notes = [f"teacher    {stored.path}"]
    begun = load_backbone_weights(config, network)
    if begun:
        path = config.model.backbone_weights
        notes.append(f"start      {path}: the encoder")
    if start is not None:
        begun = {"checkpoint": start}
        report = assign_weights(network, start, with_classifier=False)
        notes.append(f"start      {start.path}: {report}")
    teacher = context.build(stored.architecture)
    assign_weights(teacher, stored, with_classifier=True)
    alpha = objective.distillation_alpha
    with_labels = alpha < 1.0
    if with_labels and context.subset is None:
        raise UserError(
            f"--distillation_alpha={alpha:g} gives weight to true labels, but"
            f" --dataset={config.data.dataset} has none: leave it at 1."
        )
    if with_labels:
        check_several_classes(context.subset, config.data)

    def taught(batch: Batch) -> Rows:
        logits = teacher(batch["image"], training=False).logits
        return {"teacher_logits": tf.stop_gradient(logits)}

    def losses(batch: Batch, rows: Rows) -> dict[str, tf.Tensor]:
        terms = {
            "distillation_loss": alpha
            * distillation_loss(
                rows["teacher_logits"],
                rows["logits"],
                objective.distillation_temperature,
                objective.distillation_temperature_squared,
                batch["share"],
            )
        }
        if with_labels:
            terms["supervised_loss"] = (1.0 - alpha) * supervised_loss(
                batch["label"], rows["logits"], batch["label_share"]
            )
        return terms

    images = context.splits.train
    if context.subset is not None:
        images = mask_labels(images, context.subset)
    weights = {"distillation_loss": alpha}
    if objective.distillation_temperature_squared:
        weights["distillation_loss"] *= objective.distillation_temperature**2
    if with_labels:
        weights["supervised_loss"] = 1.0 - alpha
    task = classification_task(
        context, network, images, losses, weights, taught
    )
    share = teacher.count_params() / network.count_params()
    notes.append(
        f"loss       distillation at temperature"
        f" {objective.distillation_temperature:g}, weight {alpha:g}; the"
        f" teacher is {share:.1f} times the student's size"
    )
    sources = {"teacher": stored, **begun}
    return context.run(
        task,
        notes,
        context.classifier_evaluator(network),
        sources,
        stored.class_names or context.class_names,
    )


def _check_size(config: Config, stored: StoredWeights) -> None:
    """Refuses a teacher of images of another size."""
    size = config.data.image_size
    if stored.image_size not in (None, size):
        raise UserError(
            f"--teacher={config.objective.teacher} was trained on images of"
            f" {stored.image_size} pixels and sees the student's:"
            f" --image_size must be the same. Received: {size}"
        )
