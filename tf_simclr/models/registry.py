"""The backbones that `--backbone` names.

A backbone is one file with an `Encoder`, and one registration. This module
imports no TensorFlow, since the command line is read before TensorFlow starts.
"""

import dataclasses
import importlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tf_simclr.errors import UserError

if TYPE_CHECKING:
    from tf_simclr.config.model import ModelConfig
    from tf_simclr.models.encoder import Encoder

# Records without the key `backbone` are of this one.
DEFAULT_BACKBONE = "resnet"
# `--fine_tune_after_block` counts to 4, which is the whole encoder.
_MOST_GROUPS = 5
# Outputs and parts of a network that are not the encoder's.
_TAKEN_NAMES = frozenset(
    {"final_avg_pool", "proj_head_input", "proj_head_output", "logits_sup"}
    | {"features", "projection", "logits", "probabilities"}
    | {"projection_head", "classifier"}
)


@dataclasses.dataclass(frozen=True)
class Shape:
    """The options of an encoder, such as its depth.

    A subclass has one field per option, each a number, a string or a bool: it
    is stored in `config.json`, and the weights are read back by it.
    """

    @classmethod
    def described(cls, model: "ModelConfig", image_size: int) -> "Shape":
        """The options that the flags ask for.

        Args:
          model: the flags of the network.
          image_size: side of the images.
        """
        return cls()

    @property
    def title(self) -> str:
        """A name for headings; '' for that of the backbone."""
        return ""

    @property
    def summary(self) -> str:
        """The network in a few words, for reports; '' for the title."""
        return ""

    @property
    def details(self) -> str:
        """All options in words, for model cards; '' for the summary."""
        return ""


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A registered encoder.

    Attributes:
      name: the value of `--backbone`, and of `backbone` in `config.json`.
      encoder: a subclass of `Encoder`, or "module:Class" to import it when a
        network is built.
      groups: names of the parts of the encoder, in the order of
        `--fine_tune_after_block`: 0 freezes the first one.
      maps: names of the feature maps that the encoder returns.
      flags: {flag that describes it: field of its `Shape`}.
      min_image_size: smallest side of its images.
      recomputes: whether it does gradient checkpointing (`--recompute`).
      loads_keras_weights: whether `--backbone_weights` may name a file of
        weights for it.
    """

    name: str
    encoder: "str | type[Encoder]"
    groups: tuple[str, ...]
    maps: tuple[str, ...] = ()
    flags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    min_image_size: int = 1
    recomputes: bool = False
    loads_keras_weights: bool = False

    def encoder_class(self) -> "type[Encoder]":
        """Imports the encoder, if it is given by name.

        Raises:
          ValueError: it lacks what the rest of the package asks of it.
        """
        found = self.encoder
        if isinstance(found, str):
            module, _, name = found.partition(":")
            found = getattr(importlib.import_module(module), name)
        _check_encoder(self, found)
        return found


BACKBONES: dict[str, Backbone] = {}


def register(backbone: Backbone) -> None:
    """Makes a backbone known to `--backbone`.

    Raises:
      ValueError: says what is wrong with it.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", backbone.name):
        raise ValueError(
            "A backbone's name has lower-case letters, digits and underscores."
            f" Received: {backbone.name!r}"
        )
    if backbone.name in BACKBONES:
        raise ValueError(f"The backbone {backbone.name!r} is there already.")
    _check_names(backbone)
    if backbone.min_image_size < 1:
        raise ValueError(
            f"The backbone {backbone.name!r} needs a min_image_size of at least"
            f" 1. Received: {backbone.min_image_size}"
        )
    if isinstance(backbone.encoder, str):
        if not re.fullmatch(r"[\w.]+:\w+", backbone.encoder):
            raise ValueError(
                f"The encoder of {backbone.name!r} is a class, or a string such"
                f" as 'package.module:Class'. Received: {backbone.encoder!r}"
            )
    else:
        _check_encoder(backbone, backbone.encoder)
    BACKBONES[backbone.name] = backbone


def backbone_named(name: str) -> Backbone:
    """The backbone of stored weights.

    Raises:
      UserError: no backbone has that name.
    """
    if name not in BACKBONES:
        raise UserError(
            f"The weights are of the backbone {name!r}, which is not"
            f" registered: there are {', '.join(BACKBONES)}. Import the module"
            " that registers it."
        )
    return BACKBONES[name]


def _check_names(backbone: Backbone) -> None:
    count = len(backbone.groups)
    if not 1 <= count <= _MOST_GROUPS:
        raise ValueError(
            f"The backbone {backbone.name!r} needs 1 to {_MOST_GROUPS} groups,"
            f" since --fine_tune_after_block={_MOST_GROUPS - 1} freezes the"
            f" whole encoder. Received: {backbone.groups}"
        )
    for kind, names in (("groups", backbone.groups), ("maps", backbone.maps)):
        for name in names:
            if not re.fullmatch(r"[A-Za-z]\w*", name):
                raise ValueError(
                    f"The {kind} of {backbone.name!r} need names of letters,"
                    f" digits and underscores. Received: {name!r}"
                )
        taken = _TAKEN_NAMES.intersection(names)
        taken |= {name for name in names if name.startswith("proj_hidden")}
        if taken or len(set(names)) < len(names):
            raise ValueError(
                f"The {kind} of {backbone.name!r} need names that differ from"
                " each other and from those of the network's other parts"
                f" ({', '.join(sorted(_TAKEN_NAMES))}, proj_hidden1, ...)."
                f" Received: {names}"
            )


def _check_encoder(backbone: Backbone, encoder: "type[Encoder]") -> None:
    from tf_simclr.models.encoder import Encoder

    name = backbone.name
    if not (isinstance(encoder, type) and issubclass(encoder, Encoder)):
        raise ValueError(
            f"The encoder of {name!r} must be a subclass of"
            f" tf_simclr.models.encoder.Encoder. Received: {encoder!r}"
        )
    methods = ["parts", "encode"]
    if backbone.loads_keras_weights:
        methods.append("load_keras_weights")
    for method in methods:
        if getattr(encoder, method) is getattr(Encoder, method):
            raise ValueError(
                f"The encoder of {name!r} needs a method {method}(). Received:"
                f" {encoder!r}"
            )
    shape = encoder.Shape
    if not (isinstance(shape, type) and issubclass(shape, Shape)):
        raise ValueError(
            f"The encoder of {name!r} needs a class Shape, a frozen dataclass"
            f" derived from tf_simclr.models.registry.Shape. Received: {shape}"
        )
    fields = {field.name for field in dataclasses.fields(shape)}
    unknown = set(backbone.flags.values()) - fields
    if unknown:
        raise ValueError(
            f"The flags of {name!r} name fields that its Shape does not have."
            f" Received: {', '.join(sorted(unknown))}"
        )


register(
    Backbone(
        name=DEFAULT_BACKBONE,
        encoder="tf_simclr.models.resnet:ResNet",
        groups=("stem", *(f"block_group{i}" for i in range(1, 5))),
        maps=(
            "initial_conv",
            "initial_max_pool",
            *(f"block_group{i}" for i in range(1, 5)),
        ),
        flags={
            "resnet_depth": "depth",
            "width_multiplier": "width_multiplier",
            "sk_ratio": "sk_ratio",
            "se_ratio": "se_ratio",
            "stem": "cifar_stem",
        },
        recomputes=True,
    )
)
register(
    Backbone(
        name="convnext_tiny",
        encoder="tf_simclr.models.convnext:ConvNeXtTiny",
        groups=("stem", *(f"stage{i}" for i in range(1, 5))),
        maps=("stem", *(f"stage{i}" for i in range(1, 5))),
        min_image_size=32,
        loads_keras_weights=True,
    )
)
