"""Networks: encoders, projection head, classifier."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tf_simclr.models.network import SimCLRNetwork


def build(
    *, image_size: int, num_classes: int = 0, **options: Any
) -> "SimCLRNetwork":
    """A network with random weights, for a loop of one's own.

    Args:
      image_size: side of its images in pixels.
      num_classes: of its classifier; 0 for none.
      options: those of `ModelConfig`, such as `resnet_depth=18`.

    Returns:
      A Keras model: images (N, image_size, image_size, 3) in [0, 1] to
      `NetworkOutputs`, among them `features` (N, d), `projection` and, with a
      classifier, `logits` (N, num_classes).

    Raises:
      UserError: an option is out of its bounds.
      TypeError: there is no such option.
    """
    from tf_simclr.config.model import ModelConfig
    from tf_simclr.models.network import Architecture, build_network

    architecture = Architecture.for_pretraining(
        ModelConfig(**options), image_size, num_classes
    )
    return build_network(architecture, image_size)
