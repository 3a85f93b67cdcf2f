"""What every stage needs: its images, devices, directory and final score."""

import dataclasses
import os

import tensorflow as tf
import tf_keras as keras

from tf_simclr.config.data import check_address
from tf_simclr.config.flat import to_flat
from tf_simclr.config.run import Config
from tf_simclr.data.labels import LabelledSubset, choose_labels
from tf_simclr.data.service import check_reachable
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import Splits, open_dataset
from tf_simclr.errors import UserError
from tf_simclr.evaluation.evaluate import Evaluator, classifier_evaluator
from tf_simclr.files import read_json, write_json
from tf_simclr.models.layers import LayerFactory
from tf_simclr.models.network import (
    Architecture,
    SimCLRNetwork,
    build_network,
)
from tf_simclr.optimizers.schedule import SchedulePlan, plan_schedule
from tf_simclr.training.devices import (
    check_batch_divides,
    describe,
    make_strategy,
    set_up_numerics,
)
from tf_simclr.training.loop import train
from tf_simclr.training.progress import say
from tf_simclr.training.run_dir import RunDirectory, config_record
from tf_simclr.training.step import Task
from tf_simclr.weights.export import export_saved_model


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
    """

    config: Config
    stage: str
    splits: Splits
    subset: LabelledSubset | None
    images: ImageSet
    plan: SchedulePlan
    strategy: tf.distribute.Strategy
    run_dir: RunDirectory

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
        has_scores = any(name.startswith("eval/") for name in result)
        done = result["global_step"] >= self.plan.total_steps
        return result if done and (has_scores or not scored) else None

    def build(
        self, architecture: Architecture, *, zero_init: bool = False
    ) -> SimCLRNetwork:
        """A network under this run's devices, norm and precision."""
        model = self.config.model
        make = LayerFactory(
            batch_norm_decay=model.batch_norm_decay,
            synchronized=model.global_bn
            and self.strategy.num_replicas_in_sync > 1,
            precision=self.config.train.precision,
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
    ) -> dict[str, float]:
        """Writes the run's files, trains, evaluates; returns the result."""
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
        }
        record = self._record(architecture, derived)
        self.run_dir.check_usable(record)
        scored = self.config.evaluates_at_end and evaluator is not None
        finished = self.finished_result(scored=scored)
        if finished is not None:
            say(
                f"{self.run_dir.path}: {self.stage} has finished at step"
                f" {self.plan.total_steps}, nothing left to do."
            )
            return finished
        self.run_dir.write_config(record)
        if self.subset is not None:
            write_json(self.run_dir.file("labels.json"), self.subset.to_json())
        self._announce(notes, trained, total)
        step = train(
            task,
            self.plan,
            self.config.train,
            self.run_dir,
            self.strategy,
            evaluator if self.config.train.eval_every_epochs else None,
            self.config.data.data_service,
        )
        result = {"global_step": float(step)}
        if scored:
            result.update(evaluator())
            epoch = step * task.batch_size / len(self.images)
            self.run_dir.append_metrics(step, epoch, "eval", result)
            scores = "  ".join(
                f"{name.removeprefix('eval/')} {value:.4f}"
                for name, value in result.items()
                if name != "global_step"
            )
            say(f"{self.stage} done at step {step}: {scores}")
        if self.config.run.mode == "train_then_eval":
            # The original leaves these behind.
            write_json(self.run_dir.file("flags.json"), to_flat(self.config))
            export_saved_model(
                network,
                self.config.data.image_size,
                self.run_dir.file("saved_model"),
                step,
                self.config.compat.keep_hub_module_max,
            )
        # Last, since it marks the run as finished.
        self.run_dir.write_result(result)
        return result

    def classifier_evaluator(self, network: keras.Model) -> Evaluator | None:
        """Scores the network's classifier on the evaluation split."""
        images = self.splits.evaluation
        if images is None or not images.has_labels:
            return None
        return classifier_evaluator(network, images, self.config.data)

    def _record(self, architecture: Architecture, derived: dict) -> dict:
        data = self.config.data
        labels = {"count": len(self.subset) if self.subset else 0}
        if self.subset is not None and self.stage != "pretrain":
            labels |= {
                "labels_per_class": data.labels_per_class,
                "label_fraction": data.label_fraction,
                "label_seed": data.label_seed,
            }
        return config_record(
            self.config,
            self.stage,
            architecture=architecture,
            dataset={
                "name": data.dataset,
                "train_split": data.train_split,
                "image_size": data.image_size,
                "train_images": len(self.splits.train),
                "class_names": list(self.class_names),
            },
            labels=labels,
            derived=derived,
        )

    def _announce(self, notes: list[str], trained: int, total: int) -> None:
        data, evaluation = self.config.data, self.splits.evaluation
        labelled = "no labels"
        if self.subset is not None:
            labelled = (
                f"{len(self.subset)} labelled in"
                f" {len(self.subset.class_names)} classes (smallest"
                f" {self.subset.smallest_class()})"
            )
        tested = f"{len(evaluation)} to evaluate on" if evaluation else "none"
        epochs = (
            self.plan.total_steps
            * self.config.optimizer.train_batch_size
            / len(self.images)
        )
        say(
            "\n".join(
                [
                    f"--- {self.stage}: {self.run_dir.path}",
                    f"  data       {data.dataset} at {data.image_size}x"
                    f"{data.image_size}: {len(self.images)} images to train"
                    f" on, {labelled}; {tested}",
                    f"  training   {trained:,} of {total:,} parameters,"
                    f" {self.config.optimizer.optimizer}",
                    f"  steps      {self.plan.total_steps} ({epochs:.1f}"
                    f" epochs) of batch"
                    f" {self.config.optimizer.train_batch_size}, warm-up"
                    f" {self.plan.warmup_steps}",
                    f"  peak lr    {self.plan.equation}",
                    f"  devices    {describe(self.strategy)},"
                    f" {self.config.train.precision}",
                    *(f"  {note}" for note in notes),
                ]
            )
        )


def prepare_stage(
    config: Config, stage: str, *, labels_only: bool
) -> StageContext:
    """Opens the data and devices of a stage; writes nothing.

    Args:
      config: checked by `Config.check`.
      stage: pretrain, finetune or distill.
      labels_only: whether the stage trains on the labelled subset alone.

    Raises:
      UserError: the data, the batch or the directory cannot be used.
    """
    run_dir = RunDirectory(config.run.model_dir)
    if config.data.data_service is not None:
        check_reachable(*check_address(config.data.data_service))
    splits = open_dataset(config.data)
    subset = None
    if splits.train.has_labels or labels_only:
        subset = choose_labels(splits.train, config.data)
    images = splits.train
    if labels_only:
        images = images.take(subset.indices)
    batch = config.optimizer.train_batch_size
    if batch > len(images):
        raise UserError(
            f"--train_batch_size={batch} is more than the {len(images)}"
            f" {'labelled ' if labels_only else ''}images there are to train"
            f" on: take at most {len(images)}."
        )
    plan = plan_schedule(
        config.optimizer,
        len(images),
        config.train.train_epochs,
        config.train.train_steps,
    )
    set_up_numerics(config.train)
    strategy = make_strategy(config)
    check_batch_divides(strategy, batch)
    return StageContext(
        config, stage, splits, subset, images, plan, strategy, run_dir
    )


def _count(variables) -> int:
    return sum(variable.shape.num_elements() for variable in variables)
