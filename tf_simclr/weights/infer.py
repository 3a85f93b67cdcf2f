"""The architecture behind the names and shapes of the original's ResNets."""

import re
from collections.abc import Mapping

from tf_simclr.models.network import Architecture
from tf_simclr.models.registry import DEFAULT_BACKBONE
from tf_simclr.models.resnet import ResNetShape, blocks_in_all

Shapes = Mapping[str, tuple[int, ...]]

_RESNET = "model/resnet_model"


def infer_tf2(shapes: Shapes, classifier_layer: int) -> Architecture:
    """The architecture of a checkpoint of the TF2 release.

    Args:
      shapes: {object path: shape}.
      classifier_layer: what the classifier reads, which shapes do not tell.

    Raises:
      KeyError, ValueError: the names are not those of such a network.
    """
    blocks = [
        _count(shapes, rf"{_RESNET}/block_groups/{group}/layers/(\d+)/")
        for group in range(4)
    ]
    bottleneck = any("conv_relu_dropblock_layers" in name for name in shapes)
    last = f"{_RESNET}/block_groups/3/layers/0"
    if bottleneck:
        convs = f"{last}/conv_relu_dropblock_layers"
        filters = shapes[f"{convs}/0/conv2d/kernel"][-1]
        squeeze = shapes.get(f"{convs}/3/conv2d_0/kernel")
        selective = squeeze is not None
        gates = (f"{convs}/8/se_reduce/kernel", f"{convs}/9/se_reduce/kernel")
    else:
        filters = shapes[f"{last}/conv2d_bn_layers/0/conv2d/kernel"][-1]
        squeeze = None
        selective = f"{last}/shortcut_layers/2/conv2d/kernel" in shapes
        gates = (f"{last}/se_layer/se_reduce/kernel",)
    stem = f"{_RESNET}/initial_conv_relu_max_pool"
    first = shapes[f"{stem}/0/conv2d/kernel"]
    resnet_d = f"{stem}/4/conv2d/kernel" in shapes
    head = "model/_projection_head/linear_layers"
    layers = _count(shapes, rf"{head}/(\d+)/dense/kernel")
    gate = next((shapes[name] for name in gates if name in shapes), None)
    encoder = ResNetShape.of_blocks(
        tuple(blocks),
        bottleneck=bottleneck,
        filters=filters,
        selective=selective,
        squeeze=squeeze[-1] if squeeze else None,
        gate=gate[-1] if gate else None,
        cifar_stem=first[0] == 3 and not resnet_d,
    )
    return _with_heads(
        encoder,
        [shapes[f"{head}/{i}/dense/kernel"] for i in range(layers)],
        shapes.get("model/supervised_head/linear_layer/dense/kernel"),
        classifier_layer,
    )


def infer_tf1(shapes: Shapes, classifier_layer: int) -> Architecture:
    """The architecture of a checkpoint of the TF1 release.

    Its convolutions are numbered in the order of their creation, so the
    architecture follows from their number and the first and last shapes.

    Args:
      shapes: {variable name: shape}.
      classifier_layer: what the classifier reads, which shapes do not tell.

    Raises:
      KeyError, ValueError: the names are not those of such a network.
    """
    kernels = []
    while (name := _numbered("base_model/conv2d", len(kernels))) in shapes:
        kernels.append(shapes[name])
    if not kernels:
        raise KeyError("base_model/conv2d/kernel")
    # Of all convolutions only those of squeeze-and-excitation have biases.
    gated = [
        _numbered("base_model/conv2d", index).replace("kernel", "bias")
        in shapes
        for index in range(len(kernels))
    ]
    gates = [k[-1] for k, gate in zip(kernels, gated, strict=True) if gate]
    kernels = [k for k, gate in zip(kernels, gated, strict=True) if not gate]
    convs = len(kernels)
    # A 3x3 stem of three convolutions doubles its channels in the last.
    resnet_d = len(kernels) > 2 and kernels[1][:2] == (3, 3)
    stem_convs = 3 if resnet_d else 1
    shortcut = kernels[stem_convs]
    if shortcut[:2] != (1, 1):
        raise ValueError("a 1x1 shortcut convolution after the stem")
    bottleneck = shortcut[-1] == 4 * shortcut[-2]
    filters = kernels[-1][-1] // (4 if bottleneck else 1)
    squeezes = [k for k in kernels if k[:2] == (1, 1)]
    selective = bottleneck and any(
        k[:2] == (3, 3) and k[-1] == 2 * k[-2] for k in kernels[stem_convs:]
    )
    per_block = (5 if selective else 3) if bottleneck else 2
    total, rest = divmod(convs - stem_convs - 4, per_block)
    blocks = blocks_in_all(total, bottleneck=bottleneck)
    if rest or blocks is None:
        raise ValueError(f"a ResNet of {convs} convolutions")
    head = []
    for layer in ("l_0", *(f"nl_{i}" for i in range(len(shapes)))):
        kernel = shapes.get(f"head_contrastive/{layer}/dense/kernel")
        if kernel is not None:
            head.append(kernel)
        elif layer != "l_0":
            break
    encoder = ResNetShape.of_blocks(
        blocks,
        bottleneck=bottleneck,
        filters=filters,
        selective=selective,
        squeeze=squeezes[-3][-1] if selective else None,
        gate=gates[-2] if gates else None,
        cifar_stem=kernels[0][0] == 3 and not resnet_d,
    )
    return _with_heads(
        encoder,
        head,
        shapes.get("head_supervised/linear_layer/dense/kernel"),
        classifier_layer,
    )


def _with_heads(
    encoder: ResNetShape,
    head: list[tuple[int, ...]],
    classifier: tuple[int, ...] | None,
    classifier_layer: int,
) -> Architecture:
    """The architecture of an encoder, by the kernels of its heads."""
    return Architecture(
        backbone=DEFAULT_BACKBONE,
        encoder=encoder,
        head_layers=len(head),
        kept_head_layers=len(head),
        projection_dim=head[-1][-1] if head else 128,
        num_classes=classifier[-1] if classifier else 0,
        classifier_layer=classifier_layer if classifier else 0,
    )


def _numbered(name: str, index: int) -> str:
    return f"{name}_{index}/kernel" if index else f"{name}/kernel"


def _count(shapes: Shapes, pattern: str) -> int:
    """One more than the highest index that `pattern` finds."""
    found = [
        int(match[1]) for name in shapes if (match := re.match(pattern, name))
    ]
    return max(found, default=-1) + 1
