"""Flags against stored weights: whoever contradicts them is told."""

from tf_simclr.config.model import selector_error
from tf_simclr.config.run import Config
from tf_simclr.errors import UserError
from tf_simclr.models.network import Architecture

# Flag -> the part of the architecture that it decides.
_DECIDES = {
    "resnet_depth": "depth",
    "width_multiplier": "width_multiplier",
    "sk_ratio": "sk_ratio",
    "se_ratio": "se_ratio",
    "stem": "cifar_stem",
    "proj_head_mode": "head_layers",
    "num_proj_layers": "head_layers",
    "proj_out_dim": "projection_dim",
}


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
    for flag, attribute in _DECIDES.items():
        if flag not in config.given:
            continue
        asked = getattr(described, attribute)
        found = getattr(stored, attribute)
        if asked != found:
            raise UserError(
                f"--{flag} contradicts the weights in {path}: they have"
                f" {attribute} {found}, the flag asks for {asked}. Leave the"
                " flag out to take what is stored."
            )


def finetuned_architecture(
    config: Config, stored: Architecture, path: str, num_classes: int
) -> Architecture:
    """The network that fine-tuning makes of stored weights.

    Args:
      config: of the fine-tuning.
      stored, path: as in `check_given_flags`.
      num_classes: of its classifier.

    Raises:
      UserError: a flag contradicts the weights, or `--ft_proj_selector` asks
        for a layer that they do not have.
    """
    described = Architecture.for_pretraining(
        config.model, config.data.image_size, 0
    )
    check_given_flags(config, described, stored, path)
    kept = stored.kept_head_layers
    selector = config.model.ft_proj_selector
    if selector > kept:
        raise selector_error(selector, kept)
    layer = kept if selector == -1 else selector
    return stored.for_classification(layer, num_classes)
