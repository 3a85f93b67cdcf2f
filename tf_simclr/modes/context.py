"""What every stage needs: its images, devices, directory and final score."""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from tf_simclr.config.flat import to_flat
from tf_simclr.config.run import Config
from tf_simclr.data.bad_images import naming_bad_images
from tf_simclr.data.labels import LabelledSubset
from tf_simclr.data.same_image import Overlap, find_overlap, overlap_notice
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import Splits
from tf_simclr.errors import UserError
from tf_simclr.evaluation.evaluate import (
    NO_SCORE,
    Evaluator,
    classifier_evaluator,
)
from tf_simclr.evaluation.examination import examine
from tf_simclr.evaluation.float32 import scored_in_float32
from tf_simclr.evaluation.sample import evaluation_sample
from tf_simclr.files import read_json, write_json
from tf_simclr.models.layers import LayerFactory
from tf_simclr.models.network import (
    Architecture,
    SimCLRNetwork,
    build_network,
)
from tf_simclr.optimizers.schedule import SchedulePlan
from tf_simclr.progress import say, say_once
from tf_simclr.report.evaluation_files import write_evaluation
from tf_simclr.report.pipeline_text import run_card
from tf_simclr.training.checkpoints import record_score
from tf_simclr.training.devices import describe, device_kinds
from tf_simclr.training.failures import memory_explained
from tf_simclr.training.loop import train
from tf_simclr.training.pictures import write_final_evaluation
from tf_simclr.training.precision import Precision, choose_precision
from tf_simclr.training.run_dir import (
    LABELS_FILE,
    RunDirectory,
    config_record,
)
from tf_simclr.training.step import Task
from tf_simclr.training.update import SCALING_METRICS, SCALING_SHARES, LossScale
from tf_simclr.weights.export.folder import Exportable, ExportFolder
from tf_simclr.weights.export.saved_model import export_saved_model
from tf_simclr.weights.stored import StoredWeights

_ARITHMETIC = "Computed in float32, as exports compute."


def leave_scores(
    run_dir: RunDirectory,
    name: str,
    scores: Mapping[str, float],
    evaluator: Evaluator,
    image_size: int,
    overlap: str = "",
) -> None:
    """Writes the files and TensorBoard entries of an evaluation.

    Args:
      run_dir: where they go; the directory exists.
      name: what was evaluated.
      scores: what `result.json` will hold.
      evaluator: has just been called.
      image_size: side of the evaluation view.
      overlap: says how many of the images were trained on; '' if none.
    """
    found = evaluator.predictions
    examination = examine(found) if found is not None else None
    sample, images = evaluator.sample, evaluator.sample.images
    heading = f"{name} on {sample.text} images of {images.name}"
    if len(images) < sample.total:
        say(f"Scored: {heading}.")
    notes = [_ARITHMETIC, *([f"**{overlap}**"] if overlap else [])]
    pictures = write_evaluation(
        run_dir.path, heading, scores, examination, images, image_size, notes
    )
    record = run_dir.read_config()
    card, chance = "", {}
    if record is not None:
        card = run_card(record, scores)
        chance = record["derived"].get("chance", {})
    write_final_evaluation(
        run_dir.path,
        int(scores["global_step"]),
        scores,
        chance,
        pictures,
        card,
    )


if TYPE_CHECKING:
    pass


def start_block(
    context: "StageContext", notes: Sequence[str], trained: int, total: int
) -> str:
    """Data, training, steps, peak learning rate and devices of a stage.

    Args:
      context: the stage.
      notes: further lines.
      trained, total: numbers of parameters.
    """
    data, plan = context.config.data, context.plan
    optimizer, subset = context.config.optimizer, context.subset
    evaluation = context.splits.evaluation
    labelled = "no labels"
    if subset is not None:
        labelled = (
            f"{len(subset)} labelled in {len(subset.class_names)} classes"
            f" (smallest {subset.smallest_class()})"
        )
    seen = context.overlap.notice() if context.overlap else ""
    tested = "none"
    if evaluation and evaluation.has_labels:
        tested = f"{evaluation_sample(evaluation, data).text} to evaluate on"
    elif evaluation:
        tested = (
            f"none of the {len(evaluation)} images of {evaluation.name} has a"
            " label to score with"
        )
    batch = optimizer.train_batch_size
    epochs = plan.total_steps * batch / len(context.images)
    arithmetic = str(context.precision)
    if context.config.train.tf32 and "GPU" in device_kinds(context.strategy):
        arithmetic += ", TF32"
    return "\n".join(
        [
            f"--- {context.stage}: {context.run_dir.path}",
            f"  data       {data.dataset} at {data.image_size}x"
            f"{data.image_size}: {len(context.images)} images to train on,"
            f" {labelled}; {tested}",
            f"  training   {trained:,} of {total:,} parameters,"
            f" {optimizer.optimizer}",
            f"  steps      {plan.total_steps} ({epochs:.1f} epochs) of batch"
            f" {batch}, warm-up {plan.warmup_steps}",
            f"  peak lr    {plan.equation}",
            *([f"  notice     {plan.notice}"] if plan.notice else []),
            f"  devices    {describe(context.strategy)}, {arithmetic}",
            *([f"  overlap    {seen}"] if seen else []),
            *(f"  {note}" for note in notes),
        ]
    )


# Folder of a run's SavedModels.
EXPORTS = "saved_model"


@dataclasses.dataclass(frozen=True)
class StageContext:
    """A stage that has been checked and can start.

    Attributes:
      config: the resolved configuration.
      stage: pretrain, finetune or distill.
      splits: training and evaluation images.
      subset: the labelled images; None without labels.
      images: what this stage trains on.
      plan: its steps and learning rate.
      strategy: its devices.
      run_dir: its files.
      listed: `images` before any was decoded, with labels only where they
        count.
      ids: checksum of the training images' ids and labels.
      content: that of their pictures; None where it is not known.
    """

    config: Config
    stage: str
    splits: Splits
    subset: LabelledSubset | None
    images: ImageSet
    plan: SchedulePlan
    strategy: tf.distribute.Strategy
    run_dir: RunDirectory
    listed: ImageSet
    ids: str
    content: str | None = None

    @functools.cached_property
    def overlap(self) -> Overlap | None:
        """The images that are scored among `images`; None without labels."""
        evaluation = self.splits.evaluation
        if evaluation is not None:
            evaluation = evaluation_sample(evaluation, self.config.data).images
        return find_overlap(evaluation, self.listed)

    @functools.cached_property
    def precision(self) -> Precision:
        """The arithmetic that the flag or the devices decide."""
        return choose_precision(self.config.train.precision, self.strategy)

    @property
    def passes(self) -> int:
        """In how many parts a device takes its share of a batch."""
        micro_batch = self.config.train.micro_batch_size
        if not micro_batch:
            return 1
        replicas = self.strategy.num_replicas_in_sync
        return self.config.optimizer.train_batch_size // replicas // micro_batch

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the dataset; empty without labels."""
        return self.splits.train.class_names if self.subset else ()

    def finished_result(self, *, scored: bool) -> dict[str, float] | None:
        """The result of a finished run of this stage in this directory.

        Args:
          scored: whether it must hold the scores of an evaluation.
        """
        path = self.run_dir.file("result.json")
        if not os.path.exists(path):
            return None
        result = read_json(path)
        if "global_step" not in result:
            raise UserError(
                f"--model_dir={self.run_dir.path} holds a pipeline, whose runs"
                " are in its sub-folders: choose a new directory."
            )
        step = int(result["global_step"])
        exported = self.run_dir.file(f"{EXPORTS}/{step}")
        if self.config.output.export and not os.path.exists(exported):
            # Stopped in its export, and was evaluated since.
            return None
        has_scores = any(name.startswith("eval/") for name in result)
        done = step >= self.plan.total_steps
        return result if done and (has_scores or not scored) else None

    def build(
        self, architecture: Architecture, *, zero_init: bool = False
    ) -> SimCLRNetwork:
        """A network under this run's devices, norm and precision."""
        model, train = self.config.model, self.config.train
        make = LayerFactory(
            batch_norm_decay=model.batch_norm_decay,
            synchronized=model.global_bn
            and self.strategy.num_replicas_in_sync > 1,
            precision=self.precision.policy,
            recompute=train.recompute,
            # XLA has kernels of its own.
            small_maps=device_kinds(self.strategy) == {"CPU"}
            and not train.jit_compile,
        )
        with self.strategy.scope():
            return build_network(
                architecture,
                self.config.data.image_size,
                make,
                zero_init_classifier=zero_init,
            )

    def run(
        self,
        task: Task,
        notes: list[str],
        evaluator: Evaluator | None = None,
        sources: dict[str, StoredWeights] | None = None,
        class_names: Sequence[str] | None = None,
    ) -> dict[str, float]:
        """Writes the run's files, trains, evaluates; returns the result.

        Args:
          task: what to train.
          notes: lines for the announcement.
          evaluator: scores the network.
          sources: flag -> the weights that it named.
          class_names: those of the network's classes; None: the dataset's.

        Raises:
          UserError: `model_dir` holds another run, or is in use.
        """
        network = task.network
        architecture = network.architecture
        trained = _count(task.trainable)
        total = _count(network.variables)
        derived = {
            "total_steps": self.plan.total_steps,
            "warmup_steps": self.plan.warmup_steps,
            "peak_learning_rate": self.plan.peak,
            "train_images": len(self.images),
            "parameters": total,
            "trained_parameters": trained,
            "devices": describe(self.strategy),
            "precision": self.precision.policy,
            "scored_in": "float32",
            "tf32": self.config.train.tf32,
            "chance": dict(task.chance),
        }
        if self.overlap is not None:
            derived["overlap"] = self.overlap.to_json()
        if class_names is None:
            class_names = self.class_names
        record = self._record(architecture, sources or {}, derived, class_names)
        labels = self.subset.to_json() if self.subset else None
        scored = self.config.evaluates_at_end and evaluator is not None
        finished = self.finished_result(scored=scored)
        # A finished pretraining serves any labels: only its probes saw some.
        serves = finished is not None and self.stage == "pretrain"
        changes = self.run_dir.check_usable(record, None if serves else labels)
        if finished is not None:
            self._say_finished(int(finished["global_step"]), changes)
            return finished
        if self.config.output.export:
            exports = self.run_dir.file(EXPORTS)
            ExportFolder(exports, record, in_place=self._continues).check()
        # Here, since that module builds what this one defines.
        from tf_simclr.modes.prepare import write_image_files

        with self.run_dir.locked():
            # Another process may have written since the first look.
            changes = self.run_dir.check_usable(record, labels)
            self.run_dir.write_config(record)
            write_image_files(self.config, self.splits)
            if labels is not None:
                write_json(self.run_dir.file(LABELS_FILE), labels)
            notes = [*notes, *changes, *self._memory_notes()]
            self._announce(notes, trained, total)
            return self._train_and_score(task, record, evaluator, scored)

    def _train_and_score(
        self,
        task: Task,
        record: dict,
        evaluator: Evaluator | None,
        scored: bool,
    ) -> dict[str, float]:
        during = self.config.train.eval_every_epochs
        # Here, where the flags are those of a stage and not of a pipeline.
        with memory_explained(self.config), naming_bad_images(self.images):
            step = train(
                self.fitted(task),
                self.plan,
                self.config.train,
                self.run_dir,
                self.strategy,
                evaluator if during else None,
                self.config.data.data_service,
                evaluator.sample.identity if evaluator and during else None,
            )
        result = {"global_step": float(step)}
        if scored:
            found = evaluator()
            result.update(found)
            epoch = step * task.batch_size / len(self.images)
            if during:
                scored_on = evaluator.sample.identity
                record_score(self.run_dir, step, found, scored_on)
            # A process that was killed here may have left this line.
            self.run_dir.drop_metrics(step, "eval")
            self.run_dir.append_metrics(step, epoch, "eval", result)
            leave_scores(
                self.run_dir,
                self.stage,
                result,
                evaluator,
                self.config.data.image_size,
                overlap_notice(record),
            )
            scores = "  ".join(
                f"{name.removeprefix('eval/')} {value:.4f}"
                for name, value in found.items()
            )
            say(f"{self.stage} done at step {step}: {scores or NO_SCORE}")
        else:
            say(f"{self.stage} done at step {step}.")
        if self.config.run.mode == "train_then_eval":  # As the original does.
            write_json(self.run_dir.file("flags.json"), to_flat(self.config))
        if self.config.output.export:
            path = export_saved_model(
                Exportable(task.network, record, step, result),
                self.run_dir.file(EXPORTS),
                keep=self.config.compat.keep_hub_module_max,
                in_place=True,
            )
            say(f"Exported to {path}")
        # Last, since it marks the run as finished.
        self.run_dir.write_result(result)
        return result

    def fitted(self, task: Task) -> Task:
        """The task as this run's precision and memory want it."""
        with self.strategy.scope():
            loss_scale = LossScale()
        scaled = self.precision.scales_loss
        return dataclasses.replace(
            task,
            passes=self.passes,
            loss_scale=loss_scale if scaled else None,
            metric_names=task.metric_names + SCALING_METRICS * scaled,
            shares={**task.shares, **(SCALING_SHARES if scaled else {})},
            state={**task.state, "loss_scale": loss_scale},
        )

    def _memory_notes(self) -> list[str]:
        train, notes = self.config.train, []
        if self.passes > 1:
            notes.append(
                f"batch      {self.passes} parts of {train.micro_batch_size}"
                " images on each device; batch norm normalises one at a time"
            )
        if train.recompute:
            notes.append("recompute  residual blocks, for their gradients")
        return notes

    def classifier_evaluator(self, network: SimCLRNetwork) -> Evaluator | None:
        """Scores the network's classifier on the evaluation split."""
        images = self.splits.evaluation
        if images is None or not images.has_labels:
            return None
        data = self.config.data
        return scored_in_float32(
            network,
            self.precision.policy,
            data.image_size,
            lambda scored: classifier_evaluator(scored, images, data),
        )

    @property
    def _continues(self) -> bool:
        """Whether the directory holds a run; then it is this one."""
        return self.run_dir.read_config() is not None

    def _say_finished(self, step: int, changes: Sequence[str]) -> None:
        total = self.plan.total_steps
        beyond = f", beyond the {total} steps asked for" if step > total else ""
        say(
            f"{self.run_dir.path}: {self.stage} has finished at step"
            f" {step}{beyond}, nothing left to do."
        )
        for change in changes:
            say(f"Without effect, as it has finished: {change}")

    def _record(
        self,
        architecture: Architecture,
        sources: dict[str, StoredWeights],
        derived: dict,
        class_names: Sequence[str],
    ) -> dict:
        data = self.config.data
        labels = {"count": len(self.subset) if self.subset else 0}
        if self.subset is not None:
            labels |= {
                "labels_per_class": data.labels_per_class,
                "label_fraction": data.label_fraction,
                "label_seed": data.label_seed,
            }
            if data.label_ids:
                labels["label_ids"] = self.subset.digest()
        return config_record(
            self.config,
            self.stage,
            architecture=architecture,
            dataset={
                "name": data.dataset,
                "train_split": data.train_split,
                "image_size": data.image_size,
                "train_images": len(self.splits.train),
                "ids": self.ids,
                "content": self.content,
                "class_names": list(class_names),
            },
            sources={
                flag: stored.fingerprint() for flag, stored in sources.items()
            },
            labels=labels,
            derived=derived,
        )

    def _announce(self, notes: list[str], trained: int, total: int) -> None:
        for notice in self.splits.notices:
            say_once(f"{self.config.data.dataset}: {notice}")
        if self.subset is not None:
            say_once(self.subset.table(self.splits.train))
        say(start_block(self, notes, trained, total))


def _count(variables) -> int:
    return sum(variable.shape.num_elements() for variable in variables)
