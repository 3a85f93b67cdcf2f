"""Flags of the original release's two code bases, TF1 and TF2."""

import dataclasses

from tf_simclr.config.field import (
    DEVICES,
    EVERYTHING,
    TRAINING,
    Needs,
    check_fields,
    option,
)

_ON_TPU = Needs(
    "without --use_tpu or --strategy=tpu",
    lambda c: c.compat.use_tpu or c.train.strategy == "tpu",
)


@dataclasses.dataclass(frozen=True)
class CompatConfig:
    """Accepted so that the original's commands run as they are."""

    use_tpu: bool = option(
        False,
        "Whether to run on TPU: the same as --strategy=tpu.",
        on_resume="told",
        read_by=DEVICES,
    )
    tpu_name: str | None = option(
        None,
        "The Cloud TPU to use for training: its name, or a"
        " grpc://ip.address.of.tpu:8470 url.",
        on_resume="free",
        read_by=DEVICES,
        needs=_ON_TPU,
    )
    tpu_zone: str | None = option(
        None,
        "GCE zone where the Cloud TPU is located in.",
        on_resume="free",
        read_by=DEVICES,
        needs=_ON_TPU,
    )
    gcp_project: str | None = option(
        None,
        "Project name for the Cloud TPU-enabled project.",
        on_resume="free",
        read_by=DEVICES,
        needs=_ON_TPU,
    )
    master: str | None = option(
        None,
        "Address of the TPU's master, where --tpu_name is not given.",
        on_resume="free",
        read_by=DEVICES,
        needs=_ON_TPU,
    )
    keep_hub_module_max: int = option(
        1,
        "Maximum number of Hub modules to keep.",
        minimum=1,
        on_resume="free",
        read_by=TRAINING | {"export"},
    )
    eval_name: str | None = option(
        None,
        "No longer means anything.",
        on_resume="free",
        read_by=EVERYTHING,
    )
    variable_schema: str | None = option(
        None,
        "No longer means anything: what is loaded follows from the network,"
        " and the log says what was skipped.",
        on_resume="free",
        read_by=EVERYTHING,
    )
    train_summary_steps: int = option(
        100,
        "No longer means anything: see --log_every_steps.",
        minimum=0,
        on_resume="free",
        read_by=EVERYTHING,
    )

    def __post_init__(self) -> None:
        check_fields(self)


# Flag -> why it may be left out.
WITHOUT_MEANING = {
    "eval_name": "the original never read it",
    "variable_schema": "what is loaded follows from the network",
    "train_summary_steps": "see --log_every_steps",
}

# Flags of the original's TF1 and TF2 releases, which take them in every mode.
# Where their spellings of the modes are used, a stage passes over those that
# it does not read. --fine_tune_after_block is not among them: the original
# refuses it, too, where it has no effect.
TAKEN_BY_THE_ORIGINAL = frozenset(
    [
        "batch_norm_decay",
        "cache_dataset",
        "checkpoint",
        "checkpoint_epochs",
        "checkpoint_steps",
        "color_jitter_strength",
        "data_dir",
        "dataset",
        "eval_batch_size",
        "eval_name",
        "eval_split",
        "eval_steps",
        "ft_proj_selector",
        "gcp_project",
        "global_bn",
        "hidden_norm",
        "image_size",
        "keep_checkpoint_max",
        "keep_hub_module_max",
        "learning_rate",
        "learning_rate_scaling",
        "lineareval_while_pretraining",
        "master",
        "mode",
        "model_dir",
        "momentum",
        "num_proj_layers",
        "optimizer",
        "proj_head_mode",
        "proj_out_dim",
        "resnet_depth",
        "se_ratio",
        "sk_ratio",
        "temperature",
        "tpu_name",
        "tpu_zone",
        "train_batch_size",
        "train_epochs",
        "train_mode",
        "train_split",
        "train_steps",
        "train_summary_steps",
        "use_blur",
        "use_tpu",
        "variable_schema",
        "warmup_epochs",
        "weight_decay",
        "width_multiplier",
        "zero_init_logits_layer",
    ]
)
