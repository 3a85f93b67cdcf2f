"""Flags of the optimizer and its learning rate."""

import dataclasses

from tf_simclr.config.field import (
    MAX_BATCH,
    MAX_EPOCHS,
    TRAINING,
    Needs,
    check_fields,
    option,
)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer, learning rate, batch size and weight decay."""

    optimizer: str = option(
        "lars",
        "Optimizer. adamw and sgdw (decoupled weight decay) need TensorFlow"
        " Addons.",
        choices=("momentum", "adam", "lars", "lamb", "adamw", "sgdw"),
        of_original=True,
        hparam=True,
        on_resume="fixed",
        read_by=TRAINING,
    )
    learning_rate: float = option(
        0.3,
        "Base learning rate, which --learning_rate_scaling scales by the"
        " batch size.",
        minimum=0.0,
        maximum=1e30,
        of_original=True,
        hparam=True,
        on_resume="told",
        read_by=TRAINING,
    )
    learning_rate_scaling: str = option(
        "linear",
        "Peak learning rate by batch size: linear is learning_rate x batch"
        " / 256, sqrt is learning_rate x sqrt(batch), none is learning_rate.",
        choices=("linear", "sqrt", "none"),
        of_original=True,
        hparam=True,
        on_resume="told",
        read_by=TRAINING,
    )
    warmup_epochs: float = option(
        10.0,
        "Epochs of linear warm-up of the learning rate.",
        minimum=0.0,
        maximum=MAX_EPOCHS,
        of_original=True,
        hparam=True,
        on_resume="told",
        read_by=TRAINING,
    )
    weight_decay: float = option(
        1e-6,
        "Strength of the weight decay.",
        minimum=0.0,
        maximum=1e3,
        of_original=True,
        hparam=True,
        on_resume="told",
        read_by=TRAINING,
    )
    weight_decay_on: str = option(
        "kernels",
        "What momentum and adam decay: kernels, or, as the original release"
        " does, everything but batch norm (biases, unused head layers).",
        choices=("kernels", "all_but_norm"),
        on_resume="told",
        read_by=TRAINING,
        needs=Needs(
            "where --optimizer is neither momentum nor adam",
            lambda c: c.optimizer.optimizer in ("momentum", "adam"),
        ),
    )
    momentum: float = option(
        0.9,
        "Momentum of LARS, momentum and sgdw.",
        minimum=0.0,
        maximum=1.0,
        of_original=True,
        hparam=True,
        on_resume="told",
        read_by=TRAINING,
        needs=Needs(
            "where --optimizer has no momentum parameter",
            lambda c: c.optimizer.optimizer in ("lars", "momentum", "sgdw"),
        ),
    )
    train_batch_size: int = option(
        512,
        "Batch size for training, over all devices; at most the number of"
        " training images.",
        minimum=1,
        maximum=MAX_BATCH,
        of_original=True,
        hparam=True,
        on_resume="fixed",
        read_by=TRAINING,
        instead=dict.fromkeys(("eval", "embed", "predict"), "eval_batch_size"),
    )

    def __post_init__(self) -> None:
        check_fields(self)
