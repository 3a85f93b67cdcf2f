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
from tf_simclr.evaluation.feature_file import features_of
from tf_simclr.evaluation.predict import Predictor
from tf_simclr.labels.approximate_neighbours import check_search
from tf_simclr.labels.soft_labels import PROPAGATED_FILE, SoftLabels
from tf_simclr.losses.classification import distillation_loss
from tf_simclr.losses.mean_of_teachers import logits_of, mean_of_teachers
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
from tf_simclr.methods.job import Job, Source
from tf_simclr.metrics import Chart, Metric, declare
from tf_simclr.models.network import Architecture, SimCLRNetwork
from tf_simclr.progress import Counter
from tf_simclr.teachers.base import TeacherSource
from tf_simclr.teachers.features import GivenFeatures
from tf_simclr.teachers.open import common_classes, open_teachers
from tf_simclr.teachers.views import largest_views, resized
from tf_simclr.weights.assign import assign_weights

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

    A teacher stays in inference mode and sees the same crop, in the size that
    it was trained on. True labels enter only with `--distillation_alpha` below
    1. A student of the teacher's size is self-distillation.

    Attributes:
      teachers: what it learns from; nothing of them is trained.
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
    def open_weights(cls, config: Config) -> dict[str, Source]:
        """The teachers and, if any, the features that labels are carried
        along and the weights that the student starts from."""
        found = {**open_teachers(config), **super().open_weights(config)}
        path = config.labels.features
        if path and config.objective.propagate_labels != "off":
            found["features"] = GivenFeatures(path)
        return found

    @classmethod
    def known_classes(
        cls, config: Config, sources: Mapping[str, Source]
    ) -> KnownClasses | None:
        """Classes of the teachers, which number the classes of the data."""
        return common_classes(_teachers(sources))

    def build(self, job: Job) -> SimCLRNetwork:
        """The student, and the teachers beside it."""
        objective = job.config.objective
        self._alpha = objective.distillation_alpha
        self._propagation = objective.propagate_labels
        student = self._build_student(job)
        sources = _teachers(job.sources)
        self.teachers = [source.build(job) for source in sources]
        names = _names(sources, job.class_names)
        self._orders = [_order(source, names) for source in sources]
        self._views = largest_views(job, self.teachers)
        if self.label_weight or self._propagation != "off":
            _check_labels(job)
        if self._propagation != "off":
            check_search(objective.neighbour_search)
            self._check_features()
        self._images = job.masked_images
        self.notes += [
            f"teacher    {teacher.note}" for teacher in self.teachers
        ]
        self.notes.append(
            "loss       distillation at temperature"
            f" {objective.distillation_temperature:g}, weight {self._alpha:g}"
            f"{self._sizes(student)}"
        )
        return student

    def _sizes(self, student: SimCLRNetwork) -> str:
        """The teacher's size by the student's, where that is known."""
        known = [teacher.parameters for teacher in self.teachers]
        if len(known) > 1:
            return f"; {len(known)} teachers, of which the mean is learned"
        if known[0] is None:
            return ""
        size = known[0] / student.count_params()
        return f"; the teacher is {size:.1f} times the student's size"

    def _build_student(self, job: Job) -> SimCLRNetwork:
        config, start = job.config, job.sources.get("checkpoint")
        known = common_classes(_teachers(job.sources))
        classes = len(job.class_names) if known is None else known.count
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
        """Classes of the teachers, or of the data where the teachers name
        none."""
        return _names(_teachers(self.job.sources), self.job.class_names)

    @property
    def view_size(self) -> int:
        """Side of the views of the teacher with the largest images, of which
        the student's views are made; no larger than the images are."""
        return self._views

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
        begun = [line for t in self.teachers for line in t.begin()]
        if self._propagation == "off":
            return begun
        path = self.job.run_dir.file(PROPAGATED_FILE)
        found = SoftLabels.read(path, self._images)
        if found is None:
            found = self._carried()
            found.write(path, self._images)
        self._soft_labels = tf.constant(found.probabilities)
        count = int(np.sum(self._images.labels != UNLABELLED))
        whose = "the teacher's features"
        if self.job.config.labels.features:
            whose = f"the features of {self.job.config.labels.features}"
        return (
            *begun,
            f"labels     {count} carried along {whose} to"
            f" {len(self._images):,} images ({PROPAGATED_FILE})",
        )

    def _carried(self) -> SoftLabels:
        config, images = self.job.config, self._images
        features = self._features()
        counter = Counter(len(images), "images whose neighbours are found")
        return SoftLabels.of_features(
            images,
            features,
            self.num_classes,
            config.objective.propagation,
            counter.add,
            config.objective.neighbour_search,
        )

    def _features(self) -> np.ndarray:
        """Features (N, d) along which labels are carried."""
        config, images = self.job.config, self._images
        if config.labels.features:
            return features_of(config.labels.features, images.ids)
        teacher = self.teachers[0]
        predict = Predictor(
            teacher.network,
            ["features"],
            image_size=teacher.image_size or config.data.image_size,
            batch_size=config.data.eval_batch_size,
        )
        return predict(images)["features"]

    def _check_features(self) -> None:
        """Refuses to carry labels without features to carry them along."""
        path = self.job.config.labels.features
        if path:
            features_of(path, self.job.splits.train.ids)
        elif self.teachers[0].network is None:
            value = self.job.config.objective.propagate_labels
            raise UserError(
                f"--propagate_labels={value} carries labels along features,"
                f" which {_teachers(self.job.sources)[0].path} does not give:"
                " name their file by --features=FILE, as --mode=embed writes"
                " it, or leave it out."
            )

    def forward(self, batch: Batch) -> Outputs:
        """The student's logits."""
        images, size = batch["image"], self.job.config.data.image_size
        if self._views != size:
            images = resized(images, size)
        outputs = self.network(images, training=True)
        return {"logits": outputs.logits}

    def targets(self, batch: Batch) -> Outputs:
        """The teachers' logits, or those of propagated labels, or of both."""
        temperature = self.job.config.objective.distillation_temperature
        if self._propagation != "off":
            carried = tf.gather(self._soft_labels, batch["index"])
        if self._propagation == "teacher":
            return {"teacher_logits": logits_of(carried)}
        logits = mean_of_teachers(
            [
                _ordered(
                    teacher.logits(batch["image"], batch.get("index")), order
                )
                for teacher, order in zip(
                    self.teachers, self._orders, strict=True
                )
            ],
            temperature,
        )
        if self._propagation == "both":
            answers = [logits, logits_of(carried)]
            logits = mean_of_teachers(answers, temperature)
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


def _teachers(sources: Mapping[str, Source]) -> list[TeacherSource]:
    return [s for s in sources.values() if isinstance(s, TeacherSource)]


def _names(
    sources: Sequence[TeacherSource], of_data: Sequence[str]
) -> Sequence[str]:
    """The student's classes: its teachers', or those of the data."""
    known = common_classes(sources)
    return (known and known.names) or of_data


def _order(source: TeacherSource, names: Sequence[str]) -> list[int] | None:
    """Place of each class of the student among a teacher's; None: in the
    same order."""
    known = source.classes
    if known is None or not known.names or known.names == tuple(names):
        return None
    return [known.names.index(name) for name in names]


def _ordered(logits: tf.Tensor, order: list[int] | None) -> tf.Tensor:
    return logits if order is None else tf.gather(logits, order, axis=1)


def _uses_labels(objective: ObjectiveConfig) -> str:
    if objective.propagate_labels != "off":
        return (
            f"--propagate_labels={objective.propagate_labels} carries true"
            " labels to other images"
        )
    alpha = objective.distillation_alpha
    return f"--distillation_alpha={alpha:g} gives weight to true labels"


def _check_labels(job: Job) -> None:
    """Refuses to weigh labels where no image has one."""
    data = job.config.data
    if job.subset is None:
        raise UserError(
            f"{_uses_labels(job.config.objective)}, but"
            f" --dataset={data.dataset} has none: leave it out."
        )
    check_several_classes(job.subset, data)
