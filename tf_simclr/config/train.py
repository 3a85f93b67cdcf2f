"""How long a stage runs, what it saves and where it computes."""

import dataclasses

from tf_simclr.config.field import check_fields, option


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Length, checkpoints, logging, devices, precision and seeds."""

    train_epochs: int = option(100, "Number of epochs to train for.", minimum=0)
    train_steps: int = option(
        0,
        "Number of steps to train for. If provided, overrides train_epochs.",
        minimum=0,
    )
    checkpoint_epochs: int = option(
        1, "Number of epochs between checkpoints/summaries.", minimum=1
    )
    checkpoint_steps: int = option(
        0,
        "Number of steps between checkpoints/summaries. If provided, overrides"
        " checkpoint_epochs.",
        minimum=0,
    )
    keep_checkpoint_max: int = option(
        5, "Maximum number of checkpoints to keep.", minimum=1
    )
    log_every_steps: int = option(
        0,
        "Number of steps between progress lines; 0 logs about every ten"
        " seconds' worth of steps.",
        minimum=0,
    )
    eval_every_epochs: int = option(
        0,
        "Number of epochs between evaluations during training (accuracy,"
        " and k-NN while pretraining); 0 evaluates at the end only.",
        minimum=0,
    )
    strategy: str = option(
        "auto",
        "Devices: auto takes all GPUs of this machine, or the CPU; mirrored"
        " the same, or all logical CPUs; multi_worker all devices of the"
        " machines that the environment variable TF_CONFIG lists (auto does so"
        " where it lists several); tpu the one that --tpu_name names.",
        choices=("auto", "one_device", "mirrored", "multi_worker", "tpu"),
    )
    logical_devices: int = option(
        0,
        "Splits the first GPU, or the CPU, into this many logical devices, to"
        " try several devices on a machine that has one; 0 leaves it whole.",
        minimum=0,
        maximum=64,
    )
    precision: str = option(
        "float32",
        "Arithmetic of the network. mixed_bfloat16 computes layers in"
        " bfloat16; weights, batch-norm statistics, similarities, losses and"
        " updates stay in float32.",
        choices=("float32", "mixed_bfloat16"),
    )
    jit_compile: bool = option(
        False, "Whether to compile the training step with XLA."
    )
    seed: int = option(
        0,
        "Seed of initial weights, order of images and augmentation.",
        minimum=0,
    )
    deterministic: bool = option(
        False,
        "Whether to use only operations whose results repeat bit for bit.",
    )

    def __post_init__(self) -> None:
        check_fields(self)
