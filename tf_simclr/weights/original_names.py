"""What the original releases call our variables.

Names on our side are those of `named_variables`. The TF2 release's are its
checkpoints' object paths, the TF1 release's its graph's variable names.
"""

import re

from tf_simclr.models.encoder import ARCHITECTURES
from tf_simclr.models.network import Architecture

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
        return _tf2_stem(int(parts[3]), parts[4:], architecture)
    group, block = int(parts[2]), int(parts[4])
    prefix = f"{_RESNET}/block_groups/{group}/layers/{block}"
    bottleneck, _ = ARCHITECTURES[architecture.depth]
    selective = architecture.sk_ratio > 0
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


def _tf2_stem(unit: int, rest: list[str], architecture: Architecture) -> str:
    folder = f"{_RESNET}/initial_conv_relu_max_pool"
    resnet_d = architecture.sk_ratio > 0 and not architecture.cifar_stem
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
