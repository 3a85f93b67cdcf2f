"""Stage three: a student learns from the fine-tuned teacher."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_simclr.config.objective import ObjectiveConfig
from tf_simclr.config.run import Config
from tf_simclr.data.batches import Batch
from tf_simclr.data.class_mapping import KnownClasses
from tf_simclr.data.labels import check_several_classes
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.errors import UserError
from tf_simclr.evaluation.predict import Predictor
from tf_simclr.labels.approximate_neighbours import check_search
from tf_simclr.labels.soft_labels import PROPAGATED_FILE, SoftLabels
from tf_simclr.losses.classification import distillation_loss
from tf_simclr.losses.two_teachers import combined_logits, logits_of
from tf_simclr.methods.architecture import classification_architecture
from tf_simclr.methods.base import (
    TOTAL_LOSS,
    WEIGHT_DECAY,
    Metrics,
    Outputs,
)
from tf_simclr.methods.classification import (
    LABELLED_IMAGES,
    SUPERVISED_ACC,
    SUPERVISED_LOSS,
    Classification,
)
from tf_simclr.methods.job import Job
from tf_simclr.metrics import Chart, Metric, declare
from tf_simclr.models.network import Architecture, SimCLRNetwork
from tf_simclr.progress import Counter
from tf_simclr.weights.assign import assign_weights
from tf_simclr.weights.open import open_weights
from tf_simclr.weights.stored import StoredWeights

DISTILLATION_LOSS = declare(
    Metric(
        "distillation_loss",
        Chart("", "loss/distillation"),
        "distillation loss",
        report="loss",
        chance=lambda method: method.equal_answers(method.teacher_weight),
    )
)


class Distillation(Classification):
    """Trains a student on all images with the teacher's labels (paper, 3).

    The teacher stays in inference mode and sees the same crop. True labels
    enter only with `--distillation_alpha` below 1. A student of the teacher's
    size is self-distillation.

    Attributes:
      teacher: a network that is not trained.
    """

    stage = "distill"
    metrics = (
        TOTAL_LOSS,
        DISTILLATION_LOSS,
        SUPERVISED_LOSS,
        WEIGHT_DECAY,
        SUPERVISED_ACC,
        LABELLED_IMAGES,
    )

    @classmethod
    def open_weights(cls, config: Config) -> dict[str, StoredWeights]:
        """The teacher's and, if any, those that the student starts from."""
        objective = config.objective
        stored = open_weights(
            objective.teacher, "teacher", objective.teacher_proj_selector
        )
        if not stored.architecture.num_classes or stored.stage == "pretrain":
            raise UserError(
                f"--teacher={objective.teacher} holds a pretrained network,"
                " which has learned no classes: fine-tune it first."
            )
        return {"teacher": stored, **super().open_weights(config)}

    @classmethod
    def known_classes(
        cls, config: Config, sources: Mapping[str, StoredWeights]
    ) -> KnownClasses | None:
        """The teacher's: those that a student is scored on matter like those
        that it learns from."""
        stored, size = sources["teacher"], config.data.image_size
        if stored.image_size not in (None, size):
            raise UserError(
                f"--teacher={config.objective.teacher} was trained on images of"
                f" {stored.image_size} pixels and sees the student's:"
                f" --image_size must be the same. Received: {size}"
            )
        return stored.classes

    def build(self, job: Job) -> SimCLRNetwork:
        """The student, and the teacher beside it."""
        objective, stored = job.config.objective, job.sources["teacher"]
        if stored.architecture.num_classes < 2:
            raise UserError(
                f"--teacher={objective.teacher} knows one class alone, and"
                " gives every image the same answer: fine-tune one on at least"
                " two."
            )
        self._alpha = objective.distillation_alpha
        student = self._build_student(job)
        self.teacher = job.build(stored.architecture)
        assign_weights(self.teacher, stored, with_classifier=True)
        self._propagation = objective.propagate_labels
        if self.label_weight or self._propagation != "off":
            _check_labels(job)
        if self._propagation != "off":
            check_search(objective.neighbour_search)
        self._images = job.masked_images
        size = self.teacher.count_params() / student.count_params()
        self.notes.append(
            "loss       distillation at temperature"
            f" {objective.distillation_temperature:g}, weight {self._alpha:g};"
            f" the teacher is {size:.1f} times the student's size"
        )
        return student

    def _build_student(self, job: Job) -> SimCLRNetwork:
        config, teacher = job.config, job.sources["teacher"]
        start = job.sources.get("checkpoint")
        classes = teacher.architecture.num_classes
        self.notes.append(f"teacher    {teacher.path}")
        if start is None:
            architecture = Architecture.for_pretraining(
                config.model, config.data.image_size, 0
            )
            student = job.build(
                architecture.for_classification(
                    config.model.selected_layer, classes
                )
            )
            self.load_backbone(student)
            return student
        student = job.build(
            classification_architecture(
                config, start.architecture, start.path, classes
            )
        )
        report = assign_weights(student, start, with_classifier=False)
        self.notes.append(f"start      {start.path}: {report}")
        return student

    @property
    def images(self) -> ImageSet:
        """All training images, with the labels of the subset alone."""
        return self._images

    @property
    def class_names(self) -> Sequence[str]:
        """The teacher's."""
        return self.job.sources["teacher"].class_names or self.job.class_names

    @property
    def label_weight(self) -> float:
        """1 - alpha."""
        return 1.0 - self._alpha if self._alpha < 1.0 else 0.0

    @property
    def teacher_weight(self) -> float:
        """alpha, times the squared temperature where the loss is."""
        objective = self.job.config.objective
        if objective.distillation_temperature_squared:
            return self._alpha * objective.distillation_temperature**2
        return self._alpha

    def begin(self) -> Sequence[str]:
        """Carries the labels along the teacher's features, if asked to.

        They stay in `propagated.npz`: a run that goes on learns from the same.
        """
        if self._propagation == "off":
            return ()
        path = self.job.run_dir.file(PROPAGATED_FILE)
        found = SoftLabels.read(path, self._images)
        if found is None:
            found = self._carried()
            found.write(path, self._images)
        self._soft_labels = tf.constant(found.probabilities)
        count = int(np.sum(self._images.labels != UNLABELLED))
        return (
            f"labels     {count} carried along the teacher's features to"
            f" {len(self._images):,} images ({PROPAGATED_FILE})",
        )

    def _carried(self) -> SoftLabels:
        config, images = self.job.config, self._images
        predict = Predictor(
            self.teacher,
            ["features"],
            image_size=config.data.image_size,
            batch_size=config.data.eval_batch_size,
        )
        features = predict(images)["features"]
        counter = Counter(len(images), "images compared with all others")
        return SoftLabels.of_features(
            images,
            features,
            self.num_classes,
            config.objective.propagation,
            counter.add,
            config.objective.neighbour_search,
        )

    def targets(self, batch: Batch) -> Outputs:
        """The teacher's logits, or those of propagated labels, or of both."""
        temperature = self.job.config.objective.distillation_temperature
        if self._propagation != "off":
            carried = tf.gather(self._soft_labels, batch["index"])
        if self._propagation == "teacher":
            return {"teacher_logits": logits_of(carried)}
        logits = self.teacher(batch["image"], training=False).logits
        if self._propagation == "both":
            logits = combined_logits(logits, carried, temperature)
        return {"teacher_logits": tf.stop_gradient(logits)}

    def terms(self, batch: Batch, outputs: Outputs) -> Metrics:
        """The teacher's answers and, where they count, the labels."""
        objective = self.job.config.objective
        terms = {
            DISTILLATION_LOSS.name: self._alpha
            * distillation_loss(
                outputs["teacher_logits"],
                outputs["logits"],
                objective.distillation_temperature,
                objective.distillation_temperature_squared,
                batch["share"],
            )
        }
        if self.label_weight:
            term = self.label_weight * self.label_term(batch, outputs)
            terms[SUPERVISED_LOSS.name] = term
        return terms


def _uses_labels(objective: ObjectiveConfig) -> str:
    if objective.propagate_labels != "off":
        return (
            f"--propagate_labels={objective.propagate_labels} carries true"
            " labels to other images"
        )
    alpha = objective.distillation_alpha
    return f"--distillation_alpha={alpha:g} gives weight to true labels"


def _check_labels(job: Job) -> None:
    """Refuses to give weight to labels that teach nothing."""
    data = job.config.data
    if job.subset is None:
        raise UserError(
            f"{_uses_labels(job.config.objective)}, but"
            f" --dataset={data.dataset} has none: leave it out."
        )
    check_several_classes(job.subset, data)
