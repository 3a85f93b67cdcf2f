"""Stage two: supervised training on the few labels."""

from collections.abc import Mapping

from tf_simclr.config.model import starts_from_keras
from tf_simclr.config.run import Config
from tf_simclr.data.batches import Batch
from tf_simclr.data.class_mapping import KnownClasses
from tf_simclr.methods.architecture import (
    classification_architecture,
    kept_head_architecture,
)
from tf_simclr.methods.base import (
    TOTAL_LOSS,
    WEIGHT_DECAY,
    Metrics,
    Outputs,
)
from tf_simclr.methods.classification import (
    LABELLED_IMAGES,
    SUPERVISED_ACC,
    SUPERVISED_LOSS,
    Classification,
)
from tf_simclr.methods.job import Job
from tf_simclr.models.network import Architecture, SimCLRNetwork
from tf_simclr.weights.assign import assign_weights
from tf_simclr.weights.stored import StoredWeights


class FineTuning(Classification):
    """Trains encoder, kept head layers and a fresh classifier (paper, 3).

    With `--fine_tune_after_block=4` only what follows the encoder is trained
    and the encoder keeps its statistics, too: linear evaluation. With
    `--from_scratch` nothing is loaded: the supervised baseline.
    """

    stage = "finetune"
    labels_only = True
    metrics = (
        TOTAL_LOSS,
        SUPERVISED_LOSS,
        WEIGHT_DECAY,
        SUPERVISED_ACC,
        LABELLED_IMAGES,
    )

    @classmethod
    def known_classes(
        cls, config: Config, sources: Mapping[str, StoredWeights]
    ) -> KnownClasses | None:
        """Classes of a classifier that is kept."""
        stored = sources.get("checkpoint")
        if stored is None or not config.objective.keep_head:
            return None
        kept_head_architecture(config, stored.architecture, stored.path)
        return stored.classes

    def build(self, job: Job) -> SimCLRNetwork:
        """The stored network with a classifier, frozen as far as asked for."""
        objective = job.config.objective
        stored = job.sources.get("checkpoint")
        architecture = _architecture(job, stored)
        # A classifier that starts at zero: nothing that an online classifier
        # learned in pretraining from other labels survives.
        zero_init = (
            stored is not None
            or starts_from_keras(job.config)
            or objective.zero_init_logits_layer
        )
        network = job.build(architecture, zero_init=zero_init)
        if stored is not None:
            report = assign_weights(
                network, stored, with_classifier=objective.keep_head
            )
            self.notes.append(f"start      {stored.path}: {report}")
        elif not self.load_backbone(network):
            self.notes.append("start      random weights (supervised baseline)")
        network.encoder.freeze_up_to(
            objective.fine_tune_after_block,
            update_statistics=objective.frozen_batch_norm == "update",
        )
        self.notes.append(
            f"classifier on head layer {architecture.classifier_layer} of"
            f" {architecture.head_layers}"
        )
        return network

    def terms(self, batch: Batch, outputs: Outputs) -> Metrics:
        """The cross-entropy on the labels."""
        return {SUPERVISED_LOSS.name: self.label_term(batch, outputs)}


def _architecture(job: Job, stored: StoredWeights | None) -> Architecture:
    config, num_classes = job.config, len(job.class_names)
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
