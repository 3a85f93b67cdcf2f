"""Weights that the original releases wrote: TF1, TF2 and SavedModel.

Names on our side are those of `named_variables`. The TF2 release's are its
checkpoints' object paths, the TF1 release's its graph's variable names.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tf_simclr.config.model import selector_error
from tf_simclr.errors import UserError
from tf_simclr.keras_compat import VALUE_SUFFIX, stored_paths
from tf_simclr.models.network import Architecture
from tf_simclr.models.resnet import ARCHITECTURES, ResNetShape
from tf_simclr.weights.infer import infer_tf1, infer_tf2
from tf_simclr.weights.stored import StoredWeights

# Positions in the original's layer lists, which count pooling, identity and
# (idle) DropBlock layers, too.
_BOTTLENECK_UNITS = (0, 3, 6)
_BOTTLENECK_UNITS_SK = (0, 3, 5)
_BOTTLENECK_GATE, _BOTTLENECK_GATE_SK = 9, 8
_RESNET = "model/resnet_model"


def tf2_names(names: list[str], architecture: Architecture) -> dict[str, str]:
    """{our name: object path in a checkpoint of the TF2 release}."""
    return {name: _tf2_name(name, architecture) for name in names}


def _tf2_name(name: str, architecture: Architecture) -> str:
    parts = name.split("/")
    if parts[0] == "classifier":
        return f"model/supervised_head/linear_layer/dense/{parts[-1]}"
    if parts[0] == "projection_head":
        layer = f"model/_projection_head/linear_layers/{parts[2]}"
        if parts[3] == "dense":
            return f"{layer}/dense/kernel"
        return f"{layer}/bn_relu/bn/{parts[-1]}"
    if parts[1] == "stem":
        return _tf2_stem(int(parts[3]), parts[4:], architecture.encoder)
    group, block = int(parts[2]), int(parts[4])
    prefix = f"{_RESNET}/block_groups/{group}/layers/{block}"
    bottleneck, _ = ARCHITECTURES[architecture.encoder.depth]
    selective = architecture.encoder.sk_ratio > 0
    kind = parts[5]
    if kind == "shortcut":
        folder = "projection_layers" if bottleneck else "shortcut_layers"
        # ResNet-D puts a pool, and with a stride also a padding, before it.
        position = (1 if group == 0 else 2) if selective else 0
        return _tf2_unit(f"{prefix}/{folder}", position, parts[7:])
    if kind == "gate":
        gate = f"{prefix}/se_layer"
        if bottleneck:
            index = _BOTTLENECK_GATE_SK if selective else _BOTTLENECK_GATE
            gate = f"{prefix}/conv_relu_dropblock_layers/{index}"
        return f"{gate}/se_{parts[6]}/{parts[7]}"
    unit = int(parts[6])
    if not bottleneck:
        return _tf2_unit(f"{prefix}/conv2d_bn_layers", 2 * unit, parts[7:])
    folder = f"{prefix}/conv_relu_dropblock_layers"
    if not selective:
        return _tf2_unit(folder, _BOTTLENECK_UNITS[unit], parts[7:])
    position = _BOTTLENECK_UNITS_SK[unit]
    if unit != 1:
        return _tf2_unit(folder, position, parts[7:])
    return f"{folder}/{position}/" + _tf2_selective(parts[7:])


def _tf2_stem(unit: int, rest: list[str], shape: ResNetShape) -> str:
    folder = f"{_RESNET}/initial_conv_relu_max_pool"
    resnet_d = shape.sk_ratio > 0 and not shape.cifar_stem
    last = 2 if resnet_d else 0
    position = 2 * unit
    if rest[0] == "norm" and unit == last:
        # An identity that names the convolution's output lies in between.
        return f"{folder}/{position + 2}/bn/{rest[1]}"
    return _tf2_unit(folder, position, rest)


def _tf2_unit(folder: str, position: int, rest: list[str]) -> str:
    if rest[0] == "conv":
        return f"{folder}/{position}/conv2d/kernel"
    return f"{folder}/{position + 1}/bn/{rest[1]}"


def _tf2_selective(rest: list[str]) -> str:
    part = rest[0]
    if part == "mix":
        return "conv2d_1/kernel"
    if rest[1] == "conv":
        return {
            "streams": "conv2d_fixed_padding/conv2d/kernel",
            "squeeze": "conv2d_0/kernel",
        }[part]
    norm = {"streams": "batch_norm_relu", "squeeze": "batch_norm_relu_1"}[part]
    return f"{norm}/bn/{rest[2]}"


def tf1_names(names: list[str], architecture: Architecture) -> dict[str, str]:
    """{our name: variable name in a checkpoint of the TF1 release}.

    Its convolutions and batch norms are numbered in the order of their
    creation, which is that of `names`.
    """
    counters: dict[str, int] = {}
    owners: dict[str, str] = {}

    def numbered(owner: str, kind: str) -> str:
        if owner not in owners:
            count = counters.get(kind, 0)
            counters[kind] = count + 1
            owners[owner] = f"{kind}_{count}" if count else kind
        return owners[owner]

    found = {}
    for name in names:
        owner, _, last = name.rpartition("/")
        if name.startswith("classifier/"):
            found[name] = f"head_supervised/linear_layer/dense/{last}"
        elif name.startswith("projection_head/"):
            index = int(name.split("/")[2])
            layer = "l_0" if architecture.head_layers == 1 else f"nl_{index}"
            kind = "dense" if last == "kernel" else "batch_normalization"
            found[name] = f"head_contrastive/{layer}/{kind}/{last}"
        else:
            norm = re.search(r"/norm/[^/]+$", name)
            kind = "batch_normalization" if norm else "conv2d"
            found[name] = f"base_model/{numbered(owner, kind)}/{last}"
    return found


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
    paths = dict(stored_paths(graph, _is_of_network))
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
        step=_step(reader, shapes, "global_step" + VALUE_SUFFIX),
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


def _is_of_network(path: str) -> bool:
    name = path.rpartition("/")[2]
    known = name in _ATTRIBUTES or re.fullmatch(r"\d+", name) is not None
    return known and path.startswith("model")
