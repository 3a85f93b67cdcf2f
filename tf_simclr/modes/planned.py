"""Networks that the parts of a pipeline hand on, checked before the first
part."""

import dataclasses

from tf_simclr.config.run import Config
from tf_simclr.methods.architecture import (
    classification_architecture,
    kept_head_architecture,
    pretraining_architecture,
    selected_layer,
)
from tf_simclr.models.network import Architecture
from tf_simclr.weights.open import open_weights

# Of how many classes a planned classifier is does not matter.
_CLASSES = 2


@dataclasses.dataclass(frozen=True)
class Planned:
    """The network that a part will write.

    Attributes:
      architecture: with its classifier, if it will have one.
      path: where it will lie.
    """

    architecture: Architecture
    path: str


def planned_pretraining(config: Config) -> Planned:
    """The network that a pretraining will write.

    Raises:
      UserError: it cannot go on from its --checkpoint.
    """
    path = str(config.run.model_dir)
    if config.objective.checkpoint:
        stored = open_weights(config.objective.checkpoint, "checkpoint")
        found = pretraining_architecture(
            config, stored.architecture, stored.path, 0
        )
    else:
        found = Architecture.for_pretraining(
            config.model, config.data.image_size, 0
        )
    if config.objective.lineareval_while_pretraining:
        layer = selected_layer(config, found)
        found = dataclasses.replace(
            found, num_classes=_CLASSES, classifier_layer=layer
        )
    return Planned(found, path)


def planned_finetuning(config: Config, source: Planned) -> Planned:
    """The network that a fine-tuning will write.

    Args:
      config: of the fine-tuning.
      source: what it starts from.

    Raises:
      UserError: as `check_planned`.
    """
    found = check_planned(config, source)
    return Planned(found, str(config.run.model_dir))


def check_planned(config: Config, source: Planned) -> Architecture:
    """Refuses a part that cannot use the network it will get.

    Args:
      config: of the part, a fine-tuning or a distillation.
      source: the network that it starts from.

    Returns:
      What it will make of that.

    Raises:
      UserError: as the stage itself would, hours later.
    """
    start, path = source.architecture, source.path
    if config.objective.keep_head:
        return kept_head_architecture(config, start, path)
    bare = dataclasses.replace(start, num_classes=0, classifier_layer=0)
    return classification_architecture(config, bare, path, _CLASSES)
