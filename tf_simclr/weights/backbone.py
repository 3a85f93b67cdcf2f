"""Weights of an encoder alone, as Keras stores them."""

import dataclasses
import zlib

from tf_simclr.config.model import starts_from_keras
from tf_simclr.config.run import Config
from tf_simclr.errors import UserError
from tf_simclr.models.network import SimCLRNetwork


@dataclasses.dataclass(frozen=True)
class BackboneWeights:
    """The file of `--backbone_weights`."""

    path: str

    def fingerprint(self) -> str:
        """Changes with the content, whatever the path."""
        with open(self.path, "rb") as file:
            return f"{zlib.crc32(file.read()):08x}"


def load_backbone_weights(
    config: Config, network: SimCLRNetwork
) -> dict[str, BackboneWeights]:
    """Loads the encoder from the file of `--backbone_weights`, if it is read.

    Args:
      config: of a stage.
      network: has the backbone that the flags name, and its variables.

    Returns:
      {flag: the weights that it named}; empty if nothing was loaded.

    Raises:
      UserError: the file does not hold weights of that backbone.
    """
    if not starts_from_keras(config):
        return {}
    path = config.model.backbone_weights
    try:
        network.encoder.load_keras_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"--backbone_weights={path} cannot be read as weights of"
            f" {config.model.backbone} without its classifier: {error}."
        ) from error
    return {"backbone_weights": BackboneWeights(path)}
