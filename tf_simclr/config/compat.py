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
        "Run on a TPU: the same as --strategy=tpu.",
        of_original=True,
        on_resume="told",
        read_by=DEVICES,
    )
    tpu_name: str | None = option(
        None,
        "Cloud TPU to train on: its name, or a"
        " grpc://ip.address.of.tpu:8470 URL.",
        of_original=True,
        on_resume="free",
        read_by=DEVICES,
        needs=_ON_TPU,
    )
    tpu_zone: str | None = option(
        None,
        "GCE zone of the Cloud TPU.",
        of_original=True,
        on_resume="free",
        read_by=DEVICES,
        needs=_ON_TPU,
    )
    gcp_project: str | None = option(
        None,
        "Project of the Cloud TPU.",
        of_original=True,
        on_resume="free",
        read_by=DEVICES,
        needs=_ON_TPU,
    )
    master: str | None = option(
        None,
        "Address of the TPU's master, where --tpu_name is not given.",
        of_original=True,
        on_resume="free",
        read_by=DEVICES,
        needs=_ON_TPU,
    )
    keep_hub_module_max: int = option(
        1,
        "Number of newest exports to keep.",
        minimum=1,
        of_original=True,
        on_resume="free",
        read_by=TRAINING | {"export"},
    )
    eval_name: str | None = option(
        None,
        "Without effect: scores are named by their split.",
        of_original=True,
        on_resume="free",
        read_by=EVERYTHING,
    )
    variable_schema: str | None = option(
        None,
        "Without effect: the network decides which weights are loaded, and"
        " the log lists the skipped ones.",
        of_original=True,
        on_resume="free",
        read_by=EVERYTHING,
    )
    train_summary_steps: int = option(
        100,
        "Without effect: see --log_every_steps.",
        minimum=0,
        of_original=True,
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
