"""A network's parts, from the images to the answer."""

import tensorflow as tf

from tf_simclr.models.network import SimCLRNetwork


def network_parts(network: SimCLRNetwork) -> dict[str, list[tf.Variable]]:
    """{part: its trainable variables}: stem, block groups and heads.

    Parts without trainable variables, such as frozen ones, are left out.
    """
    layers = {"stem": network.encoder.stem}
    for index, group in enumerate(network.encoder.groups, start=1):
        layers[f"block_group{index}"] = group
    layers["projection_head"] = network.projection_head
    if network.classifier is not None:
        layers["classifier"] = network.classifier
    variables = {
        name: layer.trainable_variables for name, layer in layers.items()
    }
    return {name: found for name, found in variables.items() if found}
