"""Stage two: supervised training on the few labels."""

import tensorflow as tf

from tf_simclr.config.model import starts_from_keras
from tf_simclr.config.run import Config
from tf_simclr.data.batches import Batch
from tf_simclr.losses.classification import supervised_loss
from tf_simclr.models.network import Architecture
from tf_simclr.modes.architecture import (
    classification_architecture,
    kept_head_architecture,
)
from tf_simclr.modes.prepare import prepare_stage
from tf_simclr.modes.supervised_task import classification_task
from tf_simclr.training.objective import Rows
from tf_simclr.weights.assign import assign_weights
from tf_simclr.weights.backbone import load_backbone_weights
from tf_simclr.weights.open import open_weights
from tf_simclr.weights.stored import StoredWeights


def finetune(config: Config) -> dict[str, float]:
    """Trains encoder, kept head layers and a fresh classifier (paper, 3).

    With `--fine_tune_after_block=4` only what follows the encoder is trained
    and the encoder keeps its statistics, too: linear evaluation. With
    `--from_scratch` nothing is loaded: the supervised baseline.

    Returns:
      The final metrics.
    """
    stored = None
    if config.objective.checkpoint:
        stored = open_weights(config.objective.checkpoint, "checkpoint")
    known = None
    if stored is not None and config.objective.keep_head:
        kept_head_architecture(config, stored.architecture, stored.path)
        known = stored.classes
    context = prepare_stage(config, "finetune", labels_only=True, known=known)
    architecture = _architecture(config, stored, len(context.class_names))
    # A classifier that starts at zero: nothing that an online classifier
    # learned in pretraining from other labels survives.
    zero_init = (
        stored is not None
        or starts_from_keras(config)
        or config.objective.zero_init_logits_layer
    )
    network = context.build(architecture, zero_init=zero_init)
    sources = load_backbone_weights(config, network)
    notes = ["start      random weights (supervised baseline)"]
    if sources:
        notes = [f"start      {config.model.backbone_weights}: the encoder"]
    if stored is not None:
        sources = {"checkpoint": stored}
        report = assign_weights(
            network, stored, with_classifier=config.objective.keep_head
        )
        notes = [f"start      {stored.path}: {report}"]
    network.encoder.freeze_up_to(
        config.objective.fine_tune_after_block,
        update_statistics=config.objective.frozen_batch_norm == "update",
    )
    notes.append(
        f"classifier on head layer {architecture.classifier_layer} of"
        f" {architecture.head_layers}"
    )

    def losses(batch: Batch, rows: Rows) -> dict[str, tf.Tensor]:
        return {
            "supervised_loss": supervised_loss(
                batch["label"], rows["logits"], batch["label_share"]
            )
        }

    task = classification_task(
        context, network, context.images, losses, {"supervised_loss": 1.0}
    )
    return context.run(
        task,
        notes,
        context.classifier_evaluator(network),
        sources,
    )


def _architecture(
    config: Config, stored: StoredWeights | None, num_classes: int
) -> Architecture:
    if stored is not None and config.objective.keep_head:
        return kept_head_architecture(config, stored.architecture, stored.path)
    if stored is not None:
        return classification_architecture(
            config, stored.architecture, stored.path, num_classes
        )
    described = Architecture.for_pretraining(
        config.model, config.data.image_size, 0
    )
    return described.for_classification(
        config.model.selected_layer, num_classes
    )
