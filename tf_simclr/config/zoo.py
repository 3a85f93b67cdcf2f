"""The 13 networks that SimCLRv2 published, with the paper's accuracies."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tf_simclr.errors import UserError


@dataclasses.dataclass(frozen=True)
class ZooModel:
    """One row of the paper's Table 1 (arXiv 2006.10029).

    Attributes:
      depth, width: of the ResNet.
      selective: whether it has selective kernels (ratio 0.0625).
      parameters: of the encoder, in millions, running statistics included.
      finetuned_1, finetuned_10, finetuned_100: ImageNet top-1 in percent
        after fine-tuning on 1 %, 10 % and 100 % of the labels.
      linear: top-1 of linear evaluation.
      supervised: top-1 of supervised training from scratch.
    """

    depth: int
    width: int
    selective: bool
    parameters: int
    finetuned_1: float
    finetuned_10: float
    finetuned_100: float
    linear: float
    supervised: float

    @property
    def name(self) -> str:
        """The name of its folder among the published checkpoints."""
        return f"r{self.depth}_{self.width}x_sk{int(self.selective)}"

    @property
    def flags(self) -> dict[str, Any]:
        """The flags that describe the network."""
        return {
            "resnet_depth": self.depth,
            "width_multiplier": float(self.width),
            "sk_ratio": 0.0625 if self.selective else 0.0,
        }


# The accuracies are those of the original release's README.
_TABLE = (
    ZooModel(50, 1, False, 24, 57.9, 68.4, 76.3, 71.7, 76.6),
    ZooModel(50, 1, True, 35, 64.5, 72.1, 78.7, 74.6, 78.5),
    ZooModel(50, 2, False, 94, 66.3, 73.9, 79.1, 75.6, 77.8),
    ZooModel(50, 2, True, 140, 70.6, 77.0, 81.3, 77.7, 79.3),
    ZooModel(101, 1, False, 43, 62.1, 71.4, 78.2, 73.6, 78.0),
    ZooModel(101, 1, True, 65, 68.3, 75.1, 80.6, 76.3, 79.6),
    ZooModel(101, 2, False, 170, 69.1, 75.8, 80.7, 77.0, 78.9),
    ZooModel(101, 2, True, 257, 73.2, 78.8, 82.4, 79.0, 80.1),
    ZooModel(152, 1, False, 58, 64.0, 73.0, 79.3, 74.5, 78.3),
    ZooModel(152, 1, True, 89, 70.0, 76.5, 81.3, 77.2, 79.9),
    ZooModel(152, 2, False, 233, 70.2, 76.6, 81.1, 77.4, 79.1),
    ZooModel(152, 2, True, 354, 74.2, 79.4, 82.9, 79.4, 80.4),
    ZooModel(152, 3, True, 795, 74.9, 80.1, 83.1, 79.8, 80.5),
)
ZOO = {model.name: model for model in _TABLE}


def with_zoo_model(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with the flags that their `model` stands for.

    Raises:
      UserError: an unknown name, or a flag that contradicts it.
    """
    name = values.get("model")
    if name is None:
        return dict(values)
    if not isinstance(name, str) or name not in ZOO:
        raise UserError(
            f"--model takes one of {', '.join(ZOO)}. Received: {name}"
        )
    for flag, value in ZOO[name].flags.items():
        if values.get(flag, value) != value:
            raise UserError(
                f"--model={name} means --{flag}={value}, which contradicts"
                f" --{flag}={values[flag]}: leave one of them out."
            )
    return {**values, **ZOO[name].flags}


def zoo_table() -> str:
    """The zoo as a Markdown table."""
    lines = [
        "| model | depth | width | SK | parameters (M) | fine-tuned 1 %"
        " | 10 % | 100 % | linear | supervised |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for model in _TABLE:
        selective = "yes" if model.selective else "no"
        lines.append(
            f"| {model.name} | {model.depth} | {model.width}x | {selective}"
            f" | {model.parameters} | {model.finetuned_1} |"
            f" {model.finetuned_10} | {model.finetuned_100} | {model.linear}"
            f" | {model.supervised} |"
        )
    return "\n".join(lines)
