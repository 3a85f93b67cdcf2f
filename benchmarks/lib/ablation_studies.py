"""Settings that `ablations.py` varies, one or two at a time.

The paper's own ablations (sections 4.1-4.3, appendices C and D), on images that
two cores learn in minutes.
"""

import dataclasses
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set as it is taken here.

    Attributes:
      recipe: its flag file.
      flags: which images: no test image is seen, a part of the training images
        scores; and the network, narrower than the recipe's.
      pretrain: how long.
      distill: how long.
      labels: per class.
    """

    recipe: str
    flags: str
    pretrain: str
    distill: str
    labels: int


DATA = {
    "digits": Data(
        "flags/digits.cfg",
        "--train_split=train[:80%] --eval_split=train[80%:]"
        " --width_multiplier=0.125",
        "--train_epochs=60",
        "--train_epochs=30 --train_batch_size=128",
        labels=4,
    ),
    "fashion": Data(
        "flags/fashion_mnist.cfg",
        "--train_split=train[:4000] --eval_split=train[57000:]"
        " --width_multiplier=0.125",
        "--train_epochs=12 --train_batch_size=128"
        " --optimizer=adam --learning_rate=0.002",
        "--train_epochs=8 --train_batch_size=128",
        labels=10,
    ),
}
# The same number of steps, however many labels.
FINETUNING = "--ft_proj_selector=1 --train_steps=200"
STUDENT = "--width_multiplier=0.0625"


@dataclasses.dataclass(frozen=True)
class Variant:
    """One setting of one study.

    Attributes:
      study: which.
      setting: {axis: value}, one or two of them.
      pretrain: flags of the pretraining, beyond those of its recipe and data.
      finetune: flags of the fine-tuning, beyond `FINETUNING`.
      distill: flags of a distillation of the fine-tuned network, whose score
        counts then, beyond the data's and `STUDENT`; None for none.
      labels: per class; 0 takes the data set's own number.
      longer: how many times the data's number of epochs of distillation.
      student_pretrained: whether the student, too, is pretrained.
      rounds: distillations; all but the last of them into a network of the
        teacher's size.
    """

    study: str
    setting: dict[str, str]
    pretrain: str = ""
    finetune: str = ""
    distill: str | None = None
    labels: int = 0
    longer: int = 1
    student_pretrained: bool = False
    rounds: int = 1


TITLES = {
    "head": "Layers of the projection head, and the one fine-tuned from",
    "width": "Width of the network, by labels per class",
    "kernels": "Selective kernels",
    "temperature": "Temperature of NT-Xent",
    "memory": "The paper's memory",
    "distillation": "Distillation: temperature, by the weight of true labels",
    "student": "Distillation: one change each",
    "batch": "Batch size, by the scaling of LARS's learning rate",
    "optimizer": "Optimizer at a batch of 64",
}
# What the others of a study are compared with: all of them with one setting, or
# where an axis is missing here, each with the one that has its own value there.
REFERENCES = {
    "head": {"head layers": "3", "from layer": "1"},
    "width": {"width": "0.125"},
    "kernels": {"SK": "off"},
    "temperature": {"temperature": "0.5"},
    "memory": {"memory": "off"},
    "distillation": {"temperature": "1.0", "weight of true labels": "0.0"},
    "student": {"change": "none"},
    "batch": {"batch": "128", "scaling": "sqrt"},
    "optimizer": {"optimizer": "adam", "learning rate": "0.002"},
}


def _unless(base: bool, flags: str) -> str:
    """No flags for what is so anyway: settings then share a pretraining."""
    return "" if base else flags


def variants() -> Iterator[Variant]:
    """All of them, in the order of the tables."""
    for layers in (1, 2, 3):
        for layer in range(layers + 1):
            yield Variant(
                "head",
                {"head layers": str(layers), "from layer": str(layer)},
                _unless(layers == 3, f"--num_proj_layers={layers}"),
                f"--ft_proj_selector={layer}",
            )
    for width in (0.0625, 0.125, 0.25):
        for labels in (1, 4, 10):
            yield Variant(
                "width",
                {"width": str(width), "labels": str(labels)},
                _unless(width == 0.125, f"--width_multiplier={width}"),
                labels=labels,
            )
    for ratio in (0, 0.0625):
        name = "on" if ratio else "off"
        yield Variant(
            "kernels",
            {"SK": name},
            _unless(ratio == 0, f"--sk_ratio={ratio}"),
        )
    for temperature in (0.1, 0.2, 0.5, 1.0):
        yield Variant(
            "temperature",
            {"temperature": str(temperature)},
            _unless(temperature == 0.5, f"--temperature={temperature}"),
        )
    for size, text in (
        (0, "off"),
        (1024, "1,024 embeddings, decay 0.99"),
    ):
        yield Variant(
            "memory",
            {"memory": text},
            _unless(size == 0, f"--memory_size={size} --memory_momentum=0.99"),
        )
    for temperature in (0.1, 0.5, 1.0, 4.0):
        for alpha in (1.0, 0.5):
            yield Variant(
                "distillation",
                {
                    "temperature": str(temperature),
                    "weight of true labels": str(1 - alpha),
                },
                distill=f"--distillation_temperature={temperature}"
                f" --distillation_alpha={alpha}",
            )
    # Without the teacher there is no temperature.
    yield Variant(
        "distillation",
        {"temperature": "-", "weight of true labels": "1.0"},
        distill="--distillation_alpha=0",
    )
    yield from _student_variants()
    for batch in (32, 128, 512):
        for scaling, rate in (("linear", 0.3), ("sqrt", 0.075)):
            yield Variant(
                "batch",
                {"batch": str(batch), "scaling": scaling},
                f"--optimizer=lars --train_batch_size={batch}"
                f" --learning_rate={rate} --learning_rate_scaling={scaling}",
            )
    for optimizer, rates in (
        ("lars", (0.3, 1.0, 3.0)),
        ("adam", (0.0005, 0.002)),
        ("adamw", (0.0005, 0.002)),
        ("lamb", (0.002, 0.01)),
    ):
        for rate in rates:
            yield Variant(
                "optimizer",
                {"optimizer": optimizer, "learning rate": str(rate)},
                f"--optimizer={optimizer} --train_batch_size=64"
                f" --learning_rate={rate} --learning_rate_scaling=none",
            )


def _student_variants() -> Iterator[Variant]:
    """One change of the distillation each."""
    levers = "--method=benchmarks.lib.distill_levers"
    changes = {
        "none": {},
        "twice the epochs": {"longer": 2},
        "four times the epochs": {"longer": 4},
        "a pretrained student": {"student_pretrained": True},
        "self-distillation before it": {"rounds": 2},
        "crops from 0.4 of the image": {"distill": "--crop_min_area=0.4"},
        "crops from 0.95": {"distill": "--crop_min_area=0.95"},
        "average of the weights, 0.99": {"distill": "--weight_ema=0.99"},
        "mixup": {"distill": f"{levers}:Mixup"},
        "label smoothing of 0.1": {"distill": f"{levers}:Smoothed"},
    }
    for name, change in changes.items():
        # The teacher's answers alone: carried labels are another study.
        flags = f"--propagate_labels=off {change.pop('distill', '')}".strip()
        yield Variant("student", {"change": name}, distill=flags, **change)
