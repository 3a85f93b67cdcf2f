"""How long a stage runs, what it saves and where it computes."""

import dataclasses
import re

from tf_simclr.config.field import check_fields, option
from tf_simclr.errors import UserError


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
    profile_steps: str = option(
        "",
        "Steps to record with TensorFlow's profiler, written as FIRST,LAST such"
        " as 10,15; the profile goes to plugins/profile in --model_dir.",
    )
    strategy: str = option(
        "auto",
        "Devices: auto takes all GPUs of this machine, or the CPU; tpu takes"
        " the one that --tpu_name names.",
        choices=("auto", "one_device", "mirrored", "tpu"),
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
        if self.profile_steps and self.profiled_steps is None:
            raise UserError(
                "--profile_steps is written as FIRST,LAST with FIRST before"
                f" LAST, such as 10,15. Received: {self.profile_steps}"
            )

    @property
    def profiled_steps(self) -> tuple[int, int] | None:
        """After how many steps the profiler starts and stops; None: never."""
        match = re.fullmatch(r"(\d+),(\d+)", self.profile_steps)
        bounds = (int(match[1]), int(match[2])) if match else (0, 0)
        return bounds if bounds[0] < bounds[1] else None
