"""Flags of the stages of a pipeline."""

import dataclasses

from tf_simclr.config.field import PIPELINE, check_fields, option


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """Per-stage flags of `--mode=pipeline`.

    Each holds flags as they stand on a command line, which apply to that
    stage on top of the common ones:
    `--finetune_flags="--train_epochs=60 --learning_rate=0.1"`.
    """

    pretrain_flags: str = option(
        "",
        "Pipeline: flags of the pretraining.",
        on_resume="free",
        read_by=PIPELINE,
    )
    finetune_flags: str = option(
        "",
        "Pipeline: flags of the fine-tuning.",
        on_resume="free",
        read_by=PIPELINE,
    )
    linear_flags: str = option(
        "",
        "Pipeline: flags of the linear evaluation, on top of"
        " --fine_tune_after_block=4 --ft_proj_selector=0.",
        on_resume="free",
        read_by=PIPELINE,
    )
    supervised_flags: str = option(
        "",
        "Pipeline: flags of the supervised baseline, on top of --from_scratch.",
        on_resume="free",
        read_by=PIPELINE,
    )
    consistency: bool = option(
        False,
        "Pipeline: add consistency training (--method=fixmatch) of the"
        " fine-tuned network on the images without a label; the result is"
        " the teacher.",
        on_resume="free",
        read_by=PIPELINE,
    )
    consistency_flags: str = option(
        "",
        "Pipeline: flags of the consistency training.",
        on_resume="free",
        read_by=PIPELINE,
    )
    self_distill: bool = option(
        False,
        "Pipeline: distill the fine-tuned network into one of its own size,"
        " started from the pretrained weights; the result is the teacher.",
        on_resume="free",
        read_by=PIPELINE,
    )
    self_distill_flags: str = option(
        "",
        "Pipeline: flags of the self-distillation.",
        on_resume="free",
        read_by=PIPELINE,
    )
    distill_flags: str = option(
        "",
        "Pipeline: flags of the distillation; the student's architecture"
        " stands here.",
        on_resume="free",
        read_by=PIPELINE,
    )

    def __post_init__(self) -> None:
        check_fields(self)
