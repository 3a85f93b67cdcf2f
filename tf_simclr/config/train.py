"""Flags of a stage's length, its checkpoints and its devices."""

import dataclasses
import re

from tf_simclr.config.field import (
    DEVICES,
    LOADING,
    MAX_BATCH,
    MAX_EPOCHS,
    MAX_SEED,
    MAX_STEPS,
    PREVIEW,
    TRAINING,
    Needs,
    check_fields,
    option,
)
from tf_simclr.errors import UserError
from tf_simclr.models.registry import BACKBONES


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Length, checkpoints, logging, devices, precision and seeds."""

    train_epochs: int = option(
        100,
        "Epochs of training.",
        minimum=0,
        maximum=MAX_EPOCHS,
        of_original=True,
        hparam=True,
        on_resume="free",
        read_by=TRAINING,
    )
    train_steps: int = option(
        0,
        "Steps of training; above 0 it overrides --train_epochs.",
        minimum=0,
        maximum=MAX_STEPS,
        of_original=True,
        on_resume="free",
        read_by=TRAINING,
        instead={"eval": "eval_steps"},
    )
    checkpoint_epochs: int = option(
        1,
        "Epochs between checkpoints; a multiple of them where they are"
        " fewer than 100 steps.",
        minimum=1,
        maximum=MAX_EPOCHS,
        of_original=True,
        on_resume="free",
        read_by=TRAINING,
    )
    checkpoint_steps: int = option(
        0,
        "Steps between checkpoints; above 0 it overrides --checkpoint_epochs.",
        minimum=0,
        maximum=MAX_STEPS,
        of_original=True,
        on_resume="free",
        read_by=TRAINING,
    )
    keep_checkpoint_max: int = option(
        5,
        "Number of newest checkpoints to keep, besides the best of those"
        " that --eval_every_epochs evaluates.",
        minimum=1,
        of_original=True,
        on_resume="free",
        read_by=TRAINING,
    )
    recover_from_nan: int = option(
        0,
        "Number of times that a run goes back to its last checkpoint, and"
        " leaves out the batch, after a step whose loss, gradient or weights"
        " are not finite; 0 ends the run at the first such step.",
        minimum=0,
        on_resume="free",
        read_by=TRAINING,
    )
    log_every_steps: int = option(
        0,
        "Number of steps between progress lines (after the first step's) and"
        " between lines of metrics.jsonl, which also gets one with each"
        " checkpoint and evaluation. 0: a progress line about every ten"
        " seconds, and metrics every hundredth of the run, at most 50 steps"
        " apart.",
        minimum=0,
        maximum=MAX_STEPS,
        on_resume="free",
        read_by=TRAINING,
    )
    eval_every_epochs: int = option(
        0,
        "Epochs between evaluations during training (accuracy, and k-NN"
        " while pretraining); 0 evaluates at the end only.",
        minimum=0,
        maximum=MAX_EPOCHS,
        on_resume="free",
        read_by=TRAINING,
    )
    profile_steps: str = option(
        "",
        "Steps to record with TensorFlow's profiler, written as FIRST,LAST such"
        " as 10,15; the profile goes to plugins/profile in --model_dir.",
        on_resume="free",
        read_by=TRAINING,
    )
    strategy: str = option(
        "auto",
        "Devices: auto takes all GPUs of this machine, or the CPU; mirrored"
        " the same, or all logical CPUs; multi_worker all devices of the"
        " machines that the environment variable TF_CONFIG lists (auto does so"
        " where it lists several); tpu the one that --tpu_name names.",
        choices=("auto", "one_device", "mirrored", "multi_worker", "tpu"),
        on_resume="told",
        read_by=DEVICES,
        idle=("one_device", "multi_worker"),
    )
    cluster: str = option(
        "auto",
        "Where the machines of a run are listed. tf_config: in the environment"
        " variable TF_CONFIG. slurm: in those that Slurm's srun sets for its"
        " tasks. auto: in TF_CONFIG; with --strategy=multi_worker and without"
        " TF_CONFIG in Slurm's.",
        choices=("auto", "tf_config", "slurm"),
        recipe=False,
        on_resume="free",
        read_by=DEVICES,
        needs=Needs(
            "with a --strategy of one machine",
            lambda c: c.train.strategy in ("auto", "multi_worker"),
        ),
        idle=("tf_config",),
    )
    gpu_memory: str = option(
        "all",
        "How much of a GPU's memory TensorFlow takes: all of it at once, or as"
        " it grows, beside other programs.",
        choices=("all", "grow"),
        recipe=False,
        on_resume="free",
        read_by=DEVICES,
        needs=Needs(
            "with --logical_devices, which divides the memory",
            lambda c: not c.train.logical_devices,
        ),
    )
    logical_devices: int = option(
        0,
        "Splits the first GPU, or the CPU, into this many logical devices, to"
        " try several devices on a machine that has one; 0 leaves it whole.",
        minimum=0,
        maximum=64,
        on_resume="told",
        read_by=DEVICES,
    )
    precision: str = option(
        "float32",
        "Arithmetic of the network; float32 is the original release's."
        " mixed_bfloat16 and mixed_float16 compute layers with 16 bits;"
        " weights, batch-norm statistics, similarities, losses and updates"
        " stay in float32, and mixed_float16 scales the loss. Scores are"
        " computed in float32, as exports compute. auto takes what the device"
        " is fast at.",
        choices=("auto", "float32", "mixed_bfloat16", "mixed_float16"),
        hparam=True,
        on_resume="told",
        read_by=TRAINING,
    )
    tf32: bool = option(
        False,
        "Whether GPUs since Ampere may round the inputs of float32 matrix"
        " products and convolutions, also of similarities, to TensorFloat-32"
        " with its 10 bits of mantissa, and TPUs theirs to bfloat16: faster.",
        on_resume="told",
        read_by=TRAINING | LOADING,
    )
    jit_compile: bool = option(
        False,
        "Compile the training step with XLA.",
        on_resume="told",
        read_by=TRAINING,
    )
    recompute: bool = option(
        False,
        "Gradient checkpointing: keep only the input of each residual"
        " block, and recompute its activations in the backward pass. Less"
        " memory, one more forward pass, the same gradients.",
        on_resume="free",
        read_by=TRAINING,
        # A checkpoint tells its backbone when it is opened.
        needs=Needs(
            "with a --backbone that keeps all activations",
            lambda c: (
                c.objective.checkpoint or BACKBONES[c.model.backbone].recomputes
            ),
        ),
    )
    micro_batch_size: int = option(
        0,
        "Gradient accumulation: images that a device takes at a time; 0"
        " takes its share of the batch at once. Gradients are those of the"
        " whole batch, also through the contrastive loss, which costs"
        " pretraining a second forward pass. Batch norm normalises a"
        " micro-batch at a time.",
        minimum=0,
        maximum=MAX_BATCH,
        on_resume="told",
        read_by=TRAINING,
    )
    weight_ema: float = option(
        0.0,
        "Decay of an exponential moving average of the weights, such as 0.999,"
        " which is scored, saved and exported in place of them; 0: none. Early"
        " in training the decay is smaller.",
        minimum=0.0,
        maximum=0.999999,
        hparam=True,
        on_resume="fixed",
        read_by=TRAINING,
    )
    seed: int = option(
        0,
        "Seed of initial weights, order of images and augmentation.",
        minimum=0,
        maximum=MAX_SEED,
        hparam=True,
        on_resume="fixed",
        read_by=TRAINING | PREVIEW,
    )
    deterministic: bool = option(
        False,
        "Use only operations whose results repeat bit for bit.",
        on_resume="told",
        read_by=TRAINING,
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.profile_steps and self.profiled_steps is None:
            raise UserError(
                "--profile_steps is written as FIRST,LAST with FIRST before"
                f" LAST, such as 10,15. Received: {self.profile_steps}"
            )

    def check(self) -> None:
        """Refuses a training without a step.

        Raises:
          UserError: names the flags.
        """
        if not self.train_epochs and not self.train_steps:
            raise UserError(
                "--train_epochs=0 trains nothing: give at least 1, or the"
                " number of steps by --train_steps. Received:"
                f" {self.train_epochs}"
            )

    @property
    def profiled_steps(self) -> tuple[int, int] | None:
        """After how many steps the profiler starts and stops; None: never."""
        match = re.fullmatch(r"(\d+),(\d+)", self.profile_steps)
        bounds = (int(match[1]), int(match[2])) if match else (0, 0)
        return bounds if bounds[0] < bounds[1] <= MAX_STEPS else None
