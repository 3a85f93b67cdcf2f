"""Weights that the original releases wrote: TF1, TF2 and SavedModel."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tf_simclr.config.model import selector_error
from tf_simclr.errors import UserError
from tf_simclr.models.network import Architecture
from tf_simclr.weights.infer import infer_tf1, infer_tf2
from tf_simclr.weights.original_names import tf1_names, tf2_names
from tf_simclr.weights.own import SUFFIX
from tf_simclr.weights.stored import StoredWeights

# The attributes on the way from the root of the original's object graph to a
# weight; following only these, the graph is a tree.
_ATTRIBUTES = frozenset(
    (
        *("model", "resnet_model", "_projection_head", "supervised_head"),
        *("initial_conv_relu_max_pool", "block_groups", "layers"),
        *("conv2d_bn_layers", "conv_relu_dropblock_layers"),
        *("shortcut_layers", "projection_layers", "conv2d_fixed_padding"),
        *("conv2d", "conv2d_0", "conv2d_1", "bn", "bn_relu"),
        *("batch_norm_relu", "batch_norm_relu_1"),
        *("se_layer", "se_reduce", "se_expand"),
        *("linear_layers", "linear_layer", "dense"),
        *("kernel", "bias", "gamma", "beta"),
        *("moving_mean", "moving_variance"),
    )
)
_TF1_SCOPES = ("base_model/", "head_contrastive/", "head_supervised/")


def open_tf2(
    prefix: str,
    reader: Any,
    shapes: Mapping[str, list[int]],
    graph: bytes,
    where: str,
    classifier_layer: int,
) -> StoredWeights:
    """A training checkpoint or SavedModel of the TF2 release.

    A SavedModel stores most variables under keys such as
    `trainable_variables_list/12`; the object graph beside them tells which
    attribute of the model each one is.

    Raises:
      UserError: they are not a network of that release.
    """
    paths = dict(_walk(graph))
    by_path = {
        path: tuple(shapes[key]) for path, key in paths.items() if key in shapes
    }
    architecture = _inferred(infer_tf2, by_path, where, classifier_layer)

    def keys(names: list[str], wanted: Architecture) -> dict[str, str]:
        ours = tf2_names(names, wanted)
        return {name: paths.get(path, path) for name, path in ours.items()}

    return StoredWeights(
        path=prefix,
        kind="original TF2 release",
        architecture=architecture,
        shapes={paths[path]: shape for path, shape in by_path.items()},
        keys=keys,
        read=reader.get_tensor,
        step=_step(reader, shapes, "global_step" + SUFFIX),
    )


def open_tf1(
    prefix: str,
    reader: Any,
    shapes: Mapping[str, list[int]],
    where: str,
    classifier_layer: int,
) -> StoredWeights:
    """A checkpoint of the TF1 release.

    Raises:
      UserError: it is not a network of that release.
    """
    weights = {
        name: tuple(shape)
        for name, shape in shapes.items()
        if name.startswith(_TF1_SCOPES) and not name.endswith("/Momentum")
    }
    architecture = _inferred(infer_tf1, weights, where, classifier_layer)
    return StoredWeights(
        path=prefix,
        kind="original TF1 release",
        architecture=architecture,
        shapes=weights,
        keys=tf1_names,
        read=reader.get_tensor,
        step=_step(reader, shapes, "global_step"),
    )


def _inferred(
    infer: Callable[[Mapping[str, tuple[int, ...]], int], Architecture],
    shapes: Mapping[str, tuple[int, ...]],
    where: str,
    classifier_layer: int,
) -> Architecture:
    try:
        found = infer(shapes, classifier_layer)
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(
            f"{where} holds no network that tf_simclr or the original SimCLR"
            f" releases write (looked for: {error})."
        ) from error
    if found.classifier_layer > found.head_layers:
        raise selector_error(classifier_layer, found.head_layers)
    return found


def _step(reader: Any, shapes: Mapping[str, list[int]], key: str) -> int:
    return int(reader.get_tensor(key)) if key in shapes else 0


def _walk(graph: bytes) -> Iterator[tuple[str, str]]:
    """Yields (path of attributes, checkpoint key) of an object graph."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    nodes = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
        graph
    ).nodes
    pending = [(0, "")]
    while pending:
        index, path = pending.pop()
        for attribute in nodes[index].attributes:
            if path:
                yield path, attribute.checkpoint_key
        for child in nodes[index].children:
            name = child.local_name
            if name in _ATTRIBUTES or re.fullmatch(r"\d+", name):
                joined = f"{path}/{name}" if path else name
                if joined.startswith("model"):
                    pending.append((child.node_id, joined))
