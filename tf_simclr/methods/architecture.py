"""Comparison of flags with the architecture of stored weights."""

import dataclasses

from tf_simclr.config.flat import options
from tf_simclr.config.model import selector_error
from tf_simclr.config.run import Config
from tf_simclr.errors import UserError
from tf_simclr.models.network import Architecture
from tf_simclr.models.registry import backbone_named


def check_given_flags(
    config: Config, described: Architecture, stored: Architecture, path: str
) -> None:
    """Refuses flags that somebody set and that the weights contradict.

    Flags left at their defaults give way to the stored architecture.

    Args:
      config: knows which flags were set.
      described: what its flags ask for.
      stored: that of the weights.
      path: where they lie, or will lie.

    Raises:
      UserError: names the flag and both values.
    """
    backbone = backbone_named(stored.backbone)
    # The other flags may describe any backbone: they are asked for this one.
    asked_encoder = backbone.encoder_class().Shape.described(
        config.model, config.data.image_size
    )
    wanted = dataclasses.replace(
        described, backbone=stored.backbone, encoder=asked_encoder
    ).to_json()
    ours = {**wanted, "backbone": described.backbone}
    theirs = {**stored.to_json(), "backbone": stored.backbone}
    for option in options():
        flag = option.field.name
        # A backbone may name its options otherwise.
        attribute = backbone.flags.get(flag, option.role["describes"])
        if attribute not in theirs or flag not in config.given:
            continue
        asked, found = ours[attribute], theirs[attribute]
        if asked != found:
            raise UserError(
                f"--{flag} contradicts the weights in {path}: they have"
                f" {attribute} {found}, the flag asks for {asked}. Leave the"
                " flag out to take what is stored."
            )
    for flag in backbone_named(described.backbone).flags:
        if flag in config.given and flag not in backbone.flags:
            raise UserError(
                f"--{flag} does not describe the weights in {path}: they have"
                f" backbone {stored.backbone}. Leave the flag out."
            )


def selected_layer(config: Config, stored: Architecture) -> int:
    """The layer of a stored head that `--ft_proj_selector` asks for.

    Raises:
      UserError: the head lacks it.
    """
    selector, kept = config.model.ft_proj_selector, stored.kept_head_layers
    if selector > kept:
        raise selector_error(selector, kept)
    return kept if selector == -1 else selector


def pretraining_architecture(
    config: Config, stored: Architecture, path: str, num_classes: int
) -> Architecture:
    """The network with which pretraining goes on from stored weights.

    Args:
      config: of the pretraining.
      stored, path: as in `check_given_flags`.
      num_classes: of its online classifier; 0 for none.

    Raises:
      UserError: a flag contradicts the weights, or their head was cut.
    """
    _check_flags(config, stored, path)
    if stored.kept_head_layers < stored.head_layers:
        raise UserError(
            f"--checkpoint={config.objective.checkpoint} has lost a part of the"
            " projection head that pretraining needs, as fine-tuned networks"
            " have: name the pretraining run that it came from."
        )
    return dataclasses.replace(
        stored,
        num_classes=num_classes,
        classifier_layer=selected_layer(config, stored) if num_classes else 0,
    )


def kept_head_architecture(
    config: Config, stored: Architecture, path: str
) -> Architecture:
    """The network that goes on with the classifier of stored weights.

    Args:
      config: of the fine-tuning.
      stored, path: as in `check_given_flags`.

    Raises:
      UserError: a flag contradicts the weights, or they have no classifier.
    """
    _check_flags(config, stored, path)
    if not stored.num_classes:
        raise UserError(
            f"--keep_head goes on with a stored classifier, but the weights in"
            f" {path} have none: leave the flag out."
        )
    layer = stored.classifier_layer
    if "ft_proj_selector" in config.given:
        asked = config.model.ft_proj_selector
        last = stored.head_layers
        if (last if asked == -1 else asked) != layer:
            raise UserError(
                f"--ft_proj_selector={asked} contradicts --keep_head: the"
                f" classifier in {path} reads layer {layer} of the projection"
                " head. Leave one of the two flags out."
            )
    return stored.for_classification(layer, stored.num_classes)


def classification_architecture(
    config: Config, stored: Architecture, path: str, num_classes: int
) -> Architecture:
    """The network that fine-tuning or distillation makes of stored weights.

    Args:
      config: of that stage.
      stored, path: as in `check_given_flags`.
      num_classes: of its classifier.

    Raises:
      UserError: a flag contradicts the weights, or `--ft_proj_selector` asks
        for a layer that they do not have.
    """
    _check_flags(config, stored, path)
    return stored.for_classification(
        selected_layer(config, stored), num_classes
    )


def _check_flags(config: Config, stored: Architecture, path: str) -> None:
    described = Architecture.for_pretraining(
        config.model, config.data.image_size, 0
    )
    check_given_flags(config, described, stored, path)
    if (
        config.train.recompute
        and not backbone_named(stored.backbone).recomputes
    ):
        raise UserError(
            f"--recompute has no effect on the weights in {path}, whose"
            f" backbone {stored.backbone} keeps all activations: leave it out."
        )
