"""Flags against stored weights: whoever contradicts them is told."""

from tf_simclr.config.run import Config
from tf_simclr.errors import UserError
from tf_simclr.models.network import Architecture
from tf_simclr.weights.stored import StoredWeights

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
    config: Config, described: Architecture, stored: StoredWeights
) -> None:
    """Refuses flags that somebody set and that the weights contradict.

    Flags left at their defaults give way to the stored architecture.

    Raises:
      UserError: names the flag and both values.
    """
    for flag, attribute in _DECIDES.items():
        if flag not in config.given:
            continue
        asked = getattr(described, attribute)
        found = getattr(stored.architecture, attribute)
        if asked != found:
            raise UserError(
                f"--{flag} contradicts the weights in {stored.path}: they have"
                f" {attribute} {found}, the flag asks for {asked}. Leave the"
                " flag out to take what is stored."
            )
