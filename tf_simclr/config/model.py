"""Flags of the network."""

import dataclasses
from typing import Any

from tf_simclr.config.field import (
    LOADING,
    TRAINING,
    Needs,
    check_fields,
    option,
)
from tf_simclr.config.zoo import with_zoo_model
from tf_simclr.errors import UserError
from tf_simclr.models.registry import BACKBONES, DEFAULT_BACKBONE

RESNET_DEPTHS = (18, 34, 50, 101, 152, 200)


def starts_from_keras(config: Any) -> bool:
    """True if a stage of this whole configuration reads `backbone_weights`."""
    named = config.model.backbone_weights is not None
    return named and _may_start_from_keras(config)


def _may_start_from_keras(config: Any) -> bool:
    return (
        not config.objective.checkpoint
        and not config.objective.from_scratch
        and BACKBONES[config.model.backbone].loads_keras_weights
    )


def _describes(flag: str) -> Needs:
    """The condition that the flag describes the backbone."""
    return Needs(
        "with a --backbone that it does not describe",
        lambda c: flag in BACKBONES[c.model.backbone].flags,
    )


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Encoder, projection head and the layer that the classifier reads."""

    backbone: str = option(
        DEFAULT_BACKBONE,
        "The encoder: a ResNet, which --resnet_depth, --width_multiplier,"
        " --sk_ratio, --se_ratio and --stem describe, or ConvNeXt-Tiny.",
        choices=BACKBONES.keys(),
        hparam=True,
        describes="backbone",
        on_resume="told",
        read_by=TRAINING | LOADING,
    )
    backbone_weights: str | None = option(
        None,
        "Weights of the encoder to start from: a file in Keras's formats (.h5,"
        " .weights.h5, .keras) of the application of the same name without its"
        " classifier (include_top=False).",
        path=True,
        on_resume="free",
        read_by=TRAINING,
        needs=Needs(
            "with --checkpoint, --from_scratch or a --backbone that Keras has"
            " no weights for",
            _may_start_from_keras,
        ),
    )
    model: str | None = option(
        None,
        "A published SimCLRv2 network by its name, such as r50_1x_sk0 or"
        " r152_3x_sk1: sets depth, width and selective kernels (--mode=zoo"
        " lists them).",
        on_resume="told",
        read_by=TRAINING | LOADING,
        needs=Needs(
            "with a --backbone other than resnet",
            lambda c: c.model.backbone == DEFAULT_BACKBONE,
        ),
    )
    resnet_depth: int = option(
        50,
        "Depth of ResNet: 18, 34, 50, 101, 152 or 200.",
        of_original=True,
        hparam=True,
        describes="depth",
        on_resume="told",
        read_by=TRAINING | LOADING,
        needs=_describes("resnet_depth"),
    )
    width_multiplier: float = option(
        1.0,
        "Width of the network as a multiple of the standard ResNet's;"
        " fractions make it narrower.",
        above=0.0,
        minimum=0.01,
        maximum=64.0,
        of_original=True,
        hparam=True,
        describes="width_multiplier",
        on_resume="told",
        read_by=TRAINING | LOADING,
        needs=_describes("width_multiplier"),
    )
    sk_ratio: float = option(
        0.0,
        "Above 0: selective kernels, with the stem and shortcuts of"
        " ResNet-D. The paper takes 0.0625.",
        minimum=0.0,
        maximum=1.0,
        of_original=True,
        hparam=True,
        describes="sk_ratio",
        on_resume="told",
        read_by=TRAINING | LOADING,
        needs=_describes("sk_ratio"),
    )
    se_ratio: float = option(
        0.0,
        "Above 0: squeeze-and-excitation, whose hidden layer has this share"
        " of a block's filters.",
        minimum=0.0,
        maximum=1.0,
        of_original=True,
        describes="se_ratio",
        on_resume="told",
        read_by=TRAINING | LOADING,
        needs=_describes("se_ratio"),
    )
    stem: str = option(
        "auto",
        "First layers: 'cifar' is one 3x3 convolution, 'imagenet' halves the"
        " resolution twice, 'auto' takes 'cifar' for images up to 32 pixels.",
        choices=("auto", "cifar", "imagenet"),
        describes="cifar_stem",
        on_resume="told",
        read_by=TRAINING | LOADING,
        needs=_describes("stem"),
    )
    proj_head_mode: str = option(
        "nonlinear",
        "Projection head: nonlinear (an MLP), linear (one layer) or none.",
        choices=("none", "linear", "nonlinear"),
        of_original=True,
        describes="head_layers",
        on_resume="told",
        read_by=TRAINING | LOADING,
    )
    proj_out_dim: int = option(
        128,
        "Width of the projection head's output.",
        minimum=1,
        maximum=2**16,
        of_original=True,
        hparam=True,
        describes="projection_dim",
        on_resume="told",
        read_by=TRAINING | LOADING,
    )
    num_proj_layers: int = option(
        3,
        "Number of layers of a nonlinear projection head.",
        minimum=1,
        maximum=100,
        of_original=True,
        describes="head_layers",
        on_resume="told",
        read_by=TRAINING | LOADING,
    )
    ft_proj_selector: int = option(
        0,
        "Layer of the projection head that the classifier is put on in"
        " fine-tuning: 0 is the encoder's output, -1 the last layer."
        " SimCLRv2 takes 1 where labels are few.",
        minimum=-1,
        of_original=True,
        on_resume="told",
        read_by=TRAINING | LOADING,
    )
    batch_norm_decay: float = option(
        0.9,
        "Decay of batch norm's moving averages.",
        minimum=0.0,
        maximum=1.0,
        of_original=True,
        on_resume="told",
        read_by=TRAINING,
    )
    global_bn: bool = option(
        True,
        "Compute batch-norm statistics over all devices.",
        of_original=True,
        on_resume="told",
        read_by=TRAINING,
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.resnet_depth not in RESNET_DEPTHS:
            depths = ", ".join(map(str, RESNET_DEPTHS))
            raise UserError(
                f"--resnet_depth must be one of {depths}. Received:"
                f" {self.resnet_depth}"
            )
        self._expand()

    def _expand(self) -> None:
        """Sets what `model` stands for.

        A flag at its default counts as left out: here nobody knows better.
        """
        if self.model is None:
            return
        defaults = {
            field.name: field.default for field in dataclasses.fields(self)
        }
        changed = {
            name: value
            for name, value in vars(self).items()
            if value != defaults[name]
        }
        for name, value in with_zoo_model(changed).items():
            object.__setattr__(self, name, value)

    @property
    def head_layers(self) -> int:
        """Number of layers of the projection head."""
        return {
            "none": 0,
            "linear": 1,
            "nonlinear": self.num_proj_layers,
        }[self.proj_head_mode]

    @property
    def selected_layer(self) -> int:
        """The head layer that the classifier reads, counted from 0."""
        if self.ft_proj_selector == -1:
            return self.head_layers
        return self.ft_proj_selector

    def check_selector(self) -> None:
        """Refuses a selector beyond the head that these flags describe."""
        if self.ft_proj_selector > self.head_layers:
            raise selector_error(self.ft_proj_selector, self.head_layers)

    def uses_cifar_stem(self, image_size: int) -> bool:
        """True if the stem keeps the resolution."""
        if self.stem == "auto":
            return image_size <= 32
        return self.stem == "cifar"


def selector_error(selector: int, head_layers: int) -> UserError:
    """The refusal of a `--ft_proj_selector` beyond the head."""
    return UserError(
        f"--ft_proj_selector={selector} lies beyond the projection head, which"
        f" has {head_layers} layers: take a value from 0 to {head_layers}, or"
        " -1 for the last."
    )
