"""What a pipeline's parts hand on to each other, checked before the first."""

import dataclasses

from tf_simclr.config.run import Config
from tf_simclr.errors import UserError
from tf_simclr.models.network import Architecture
from tf_simclr.modes.architecture import (
    classification_architecture,
    kept_head_architecture,
    pretraining_architecture,
    selected_layer,
)
from tf_simclr.weights.open import open_weights


def planned_pretraining(config: Config) -> Architecture:
    """The network that a pretraining will leave, without its classifier."""
    if not config.objective.checkpoint:
        return Architecture.for_pretraining(
            config.model, config.data.image_size, 0
        )
    stored = open_weights(config.objective.checkpoint, "checkpoint")
    return pretraining_architecture(config, stored.architecture, stored.path, 0)


def check_planned(
    config: Config, pretraining: Config | None, teacher: Config | None
) -> None:
    """Refuses a part that could not use what it will be given.

    Args:
      config: of the part, a fine-tuning or a distillation.
      pretraining: of the part whose weights it starts from, if any.
      teacher: of the part that it learns from, if any.

    Raises:
      UserError: as the stage itself would, hours later.
    """
    if pretraining is not None:
        source = planned_pretraining(pretraining)
        path = str(pretraining.run.model_dir)
        if config.objective.keep_head:
            kept_head_architecture(
                config, _with_online_classifier(source, pretraining), path
            )
        else:
            classification_architecture(config, source, path, 1)
    if teacher is not None:
        size, taught = teacher.data.image_size, config.data.image_size
        if size != taught:
            raise UserError(
                f"--image_size must be that of the teacher, {size}. Received:"
                f" {taught}"
            )


def _with_online_classifier(
    source: Architecture, pretraining: Config
) -> Architecture:
    """A planned network with the classifier that pretraining will leave."""
    if not pretraining.objective.lineareval_while_pretraining:
        return source
    # Of how many classes does not matter here.
    return dataclasses.replace(
        source,
        num_classes=2,
        classifier_layer=selected_layer(pretraining, source),
    )
