"""The whole configuration of a run, and the checks that need no data."""

import dataclasses
import os
from collections.abc import Iterable
from typing import Self

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.config.cluster import (
    Cluster,
    has_slurm_alone,
    read_cluster,
    take_slurm,
)
from tf_simclr.config.compat import CompatConfig
from tf_simclr.config.consistency import ConsistencyConfig
from tf_simclr.config.data import DataConfig
from tf_simclr.config.field import (
    EVERYTHING,
    LOADING,
    PIPELINE,
    TRAINING,
    WRITING,
    Needs,
    check_fields,
    declared_options,
    option,
)
from tf_simclr.config.labels import LABEL, LabelsConfig
from tf_simclr.config.lr_find import LR_FIND, LrFindConfig
from tf_simclr.config.model import ModelConfig, starts_from_keras
from tf_simclr.config.objective import ObjectiveConfig
from tf_simclr.config.optimizer import OptimizerConfig
from tf_simclr.config.output import OutputConfig
from tf_simclr.config.pipeline import PipelineConfig
from tf_simclr.config.reading import check_read, ignored_line
from tf_simclr.config.selection import SelectionConfig
from tf_simclr.config.teacher import TeacherConfig
from tf_simclr.config.train import TrainConfig
from tf_simclr.config.zoo import ZOO
from tf_simclr.data.sources.registry import goes_by_name
from tf_simclr.errors import UserError
from tf_simclr.storage.addresses import address_of, is_address

STAGES = ("pretrain", "finetune", "distill")
# Modes that write nothing into a model_dir of their own.
READ_ONLY_MODES = ("zoo",)
# Modes of the stage that --train_mode names.
BY_TRAIN_MODE = ("train", "train_then_eval", LR_FIND)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The mode and the folder that it writes."""

    mode: str = option(
        "train",
        "What to do: one of the stages pretrain, finetune, distill; pipeline,"
        " all of them and the supervised baseline; eval, to evaluate a run or"
        " checkpoint; embed, to write the features of a split; export, to"
        " write a SavedModel; predict, to classify a folder of images; preview,"
        " to write a picture of augmented images; zoo, to list the published"
        " networks; suggest, to choose the images to label next; label, to"
        " label them in the browser; runs, to list the runs below model_dir."
        " lr_find looks for a learning rate of the"
        " stage that --train_mode names; train and train_then_eval run that"
        " stage, without and with a final evaluation.",
        choices=(
            *STAGES,
            "pipeline",
            "eval",
            "embed",
            "export",
            "predict",
            "preview",
            "zoo",
            "suggest",
            "label",
            LR_FIND,
            "runs",
            "train",
            "train_then_eval",
        ),
        of_original=True,
        recipe=False,
        on_resume="free",
        read_by=EVERYTHING,
    )
    train_mode: str = option(
        "pretrain",
        "Stage of --mode=train, train_then_eval and lr_find.",
        choices=STAGES,
        of_original=True,
        recipe=False,
        on_resume="free",
        read_by=TRAINING - PIPELINE,
        needs=Needs(
            "where --mode is another stage",
            lambda c: (
                c.run.mode in BY_TRAIN_MODE or c.run.mode == c.run.train_mode
            ),
        ),
    )
    model_dir: str | None = option(
        None,
        "Folder that the run writes to; the same command continues the run"
        " in it.",
        path=True,
        of_original=True,
        recipe=False,
        on_resume="free",
        read_by=WRITING | LABEL | {"runs"},
    )
    scratch_dir: str | None = option(
        None,
        "Folder for the local copies of what lies on object storage"
        " (addresses such as gs://bucket/images); default: one in the system's"
        " folder for temporary files.",
        path=True,
        recipe=False,
        on_resume="free",
        read_by=WRITING | LABEL | {"runs"},
        needs=Needs(
            "without an address such as gs://bucket/run",
            # A run that is read may have learned from images of one.
            lambda c: c.run.mode in LOADING or bool(c.addresses),
        ),
    )

    def __post_init__(self) -> None:
        check_fields(self)


@dataclasses.dataclass(frozen=True)
class Config:
    """All options of a run, grouped by concern.

    Attributes:
      given: names of the options that somebody set, on a command line or by
        another value than the default: a set option that contradicts stored
        weights is refused, a default gives way to them.
      shared: those of `given` that were not set for this mode alone, as in a
        flag file: where the mode does not read them, they are left out.
      inherited: options that have the values of stored weights, and so are not
        given.
    """

    run: RunConfig = dataclasses.field(default_factory=RunConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    objective: ObjectiveConfig = dataclasses.field(
        default_factory=ObjectiveConfig
    )
    consistency: ConsistencyConfig = dataclasses.field(
        default_factory=ConsistencyConfig
    )
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=OptimizerConfig
    )
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    selection: SelectionConfig = dataclasses.field(
        default_factory=SelectionConfig
    )
    pipeline: PipelineConfig = dataclasses.field(default_factory=PipelineConfig)
    output: OutputConfig = dataclasses.field(default_factory=OutputConfig)
    labels: LabelsConfig = dataclasses.field(default_factory=LabelsConfig)
    teacher: TeacherConfig = dataclasses.field(default_factory=TeacherConfig)
    lr_find: LrFindConfig = dataclasses.field(default_factory=LrFindConfig)
    compat: CompatConfig = dataclasses.field(default_factory=CompatConfig)
    given: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    inherited: frozenset[str] = frozenset()

    @classmethod
    def from_flags(cls, flags: Iterable[str]) -> Self:
        """The configuration that a command line with these flags asks for.

        Args:
          flags: strings such as `--train_epochs=60`, `--nouse_blur` or
            `--flagfile=FILE`, of which a later one wins.

        Raises:
          UserError: an unknown flag, or a value that cannot be.
        """
        # Here, since that module builds what this one defines.
        from tf_simclr.config.flat import parse_flags

        return parse_flags(flags)

    def __post_init__(self) -> None:
        self._check_groups()
        changed = {
            option.field.name
            for option in declared_options(type(self))
            if option.value_in(self) != option.field.default
        }
        if self.model.model is not None:
            changed |= ZOO[self.model.model].flags.keys()
        given = (self.given | changed) - self.inherited
        object.__setattr__(self, "given", frozenset(given))
        object.__setattr__(self, "shared", self.shared & given)

    def _check_groups(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if dataclasses.is_dataclass(field.type) and not isinstance(
                value, field.type
            ):
                raise UserError(
                    f"Config takes a {field.type.__name__} as {field.name}."
                    f" Received: {value!r}"
                )

    @property
    def addresses(self) -> dict[str, str]:
        """{flag: its value} of the flags that name a place on object storage,
        or the local copy of one."""
        values = {
            option.field.name: option.value_in(self)
            for option in declared_options(type(self))
            if option.role["path"]
        }
        return {
            name: value
            for name, value in values.items()
            if value and (is_address(value) or address_of(value) != value)
        }

    @property
    def stage(self) -> str:
        """The stage that a training mode runs; '' for other modes."""
        mode = self.run.mode
        if mode in BY_TRAIN_MODE:
            return self.run.train_mode
        return mode if mode in STAGES else ""

    @property
    def evaluates_at_end(self) -> bool:
        """True if a stage ends with an evaluation of the eval split."""
        return self.run.mode != "train"

    @property
    def cluster(self) -> Cluster | None:
        """The machines that share this run; None where it is one process.

        Raises:
          UserError: TF_CONFIG or Slurm's variables are malformed, or missing
            where they are needed.
        """
        strategy = self.train.strategy
        if strategy not in ("auto", "multi_worker") or self.compat.use_tpu:
            return None
        listed, together = self.train.cluster, strategy == "multi_worker"
        if listed == "slurm" or (
            listed == "auto" and together and has_slurm_alone()
        ):
            take_slurm()
        cluster = read_cluster()
        if cluster is None and (together or listed == "tf_config"):
            raise UserError(
                "--strategy=multi_worker needs the environment variable"
                " TF_CONFIG, which lists the machines: set it, start the"
                " command by Slurm's srun, or take --strategy=auto for the"
                " devices of this one."
            )
        if strategy == "auto" and cluster and len(cluster.addresses) == 1:
            return None
        return cluster

    @property
    def works_together(self) -> bool:
        """True if all machines of a cluster compute in this mode; in other
        modes the chief works alone."""
        return bool(self.stage) or self.run.mode in ("pipeline", "eval")

    def _check_place(self) -> None:
        """Refuses a `model_dir` among the images."""
        dataset, model_dir = self.data.dataset, self.run.model_dir
        if (
            os.path.isdir(dataset)
            and os.path.isdir(model_dir)
            and os.path.samefile(dataset, model_dir)
            and not goes_by_name(dataset)
        ):
            raise UserError(
                f"--model_dir={model_dir} is the folder of --dataset: what a"
                " run writes would lie among its images. Choose another one."
            )

    def check(self) -> None:
        """Refuses combinations that cannot work, before anything is read, and
        given flags that the mode does not read.

        Raises:
          UserError: names the flag and the way out.
        """
        if self.run.mode in READ_ONLY_MODES:
            check_read(self)
            return
        if not self.run.model_dir:
            raise UserError(
                "--model_dir is missing: name a directory for checkpoints and"
                " results, such as --model_dir=runs/first."
            )
        self.output.check(self.run.mode)
        self.labels.check(self)
        check_read(self)
        self._check_place()
        if self.augment.augment_on == "device" and (
            self.train.strategy == "tpu" or self.compat.use_tpu
        ):
            raise UserError(
                "--augment_on=device needs operations that TPUs do not have:"
                " leave it at host."
            )
        if (
            self.augment.augment_on == "device"
            and self.train.jit_compile
            and self.train.micro_batch_size
        ):
            raise UserError(
                "--jit_compile cannot make views within a micro-batch: leave"
                " --augment_on at host, or one of --jit_compile and"
                " --micro_batch_size out."
            )
        if self.train.logical_devices and (
            self.train.strategy == "tpu" or self.compat.use_tpu
        ):
            raise UserError(
                "--logical_devices splits a GPU or the CPU, not a TPU: leave"
                f" it out. Received: {self.train.logical_devices}"
            )
        self.lr_find.check(self)
        _ = self.cluster
        stage = self.stage
        if stage:
            self.train.check()
            evaluates = self.train.eval_every_epochs > 0
            self.selection.check(stage, evaluates=evaluates)
        objective = self.objective
        if stage != "finetune" or objective.from_scratch:
            self.model.check_selector()
        if stage == "finetune":
            if not (
                objective.checkpoint
                or objective.from_scratch
                or starts_from_keras(self)
            ):
                raise UserError(
                    "Fine-tuning needs weights to start from: give"
                    " --checkpoint=DIR of a pretraining run, or --from_scratch"
                    " for the supervised baseline."
                )
            if objective.checkpoint and objective.from_scratch:
                raise UserError(
                    "--checkpoint and --from_scratch contradict each other:"
                    f" give one of them. Received: {objective.checkpoint}"
                )
            if objective.from_scratch and objective.fine_tune_after_block >= 0:
                raise UserError(
                    "--fine_tune_after_block freezes pretrained layers, which"
                    " --from_scratch does not have. Received:"
                    f" {objective.fine_tune_after_block}"
                )
        if stage == "pretrain":
            self._check_pretrain()
        if stage == "distill":
            self._check_distill()

    @property
    def ignored(self) -> str:
        """A line that names the given flags that are left out; '' for none."""
        return ignored_line(self)

    def _check_distill(self) -> None:
        if not (self.objective.teacher or self.teacher.teacher_targets):
            raise UserError(
                "Distillation needs a teacher: give --teacher=DIR of a"
                " fine-tuned run, or --teacher_targets=FILE."
            )
        objective = self.objective
        if (
            objective.class_balance == "batches"
            and objective.distillation_alpha < 1.0
        ):
            raise UserError(
                "--class_balance=batches draws labelled images alone, and a"
                " distillation draws all images: take --class_balance=loss."
                f" Received: {objective.class_balance}"
            )

    def _check_pretrain(self) -> None:
        if self.optimizer.train_batch_size < 2:
            raise UserError(
                "Contrastive pretraining compares the images of a batch with"
                " each other: --train_batch_size must be at least 2. Received:"
                f" {self.optimizer.train_batch_size}"
            )
