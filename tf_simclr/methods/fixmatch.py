"""Consistency training: FixMatch and FreeMatch on pretrained weights."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.batches import Batch
from tf_simclr.data.labels import check_several_classes
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.errors import UserError
from tf_simclr.losses.classification import is_labelled
from tf_simclr.losses.consistency import (
    aligned,
    class_thresholds,
    fairness_loss,
    pseudo_label_loss,
)
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
)
from tf_simclr.methods.finetune import FineTuning
from tf_simclr.methods.job import Job
from tf_simclr.metrics import Chart, Metric, declare
from tf_simclr.models.network import SimCLRNetwork

CONSISTENCY_LOSS = declare(
    Metric(
        "consistency_loss",
        Chart("", "loss/consistency"),
        "consistency loss",
        report="loss",
    )
)
FAIRNESS_LOSS = declare(Metric("fairness_loss", Chart("", "loss/fairness")))
SURE_IMAGES = declare(
    Metric(
        "sure_images",
        Chart("", "train/sure_images"),
        progress="sure of {value:.0%}",
    )
)
THRESHOLD = declare(
    Metric("confidence_threshold", Chart("", "train/threshold"))
)
# Decay of the averages over steps (FreeMatch, section 4.1).
_DECAY = 0.999


class _Labels(NamedTuple):
    """The network's labels for n images.

    Attributes:
      classes: int64 (n,).
      sure: float32 (n,), 1 where it is sure enough, and 0 for images that
        have a label.
      threshold: scalar, the mean over classes.
    """

    classes: tf.Tensor
    sure: tf.Tensor
    threshold: tf.Tensor


class ClassAverages(tf.Module):
    """The confidence in unlabelled images, averaged over past steps.

    Every replica holds the same figures.

    Args:
      num_classes: C.

    Attributes:
      level: scalar, mean probability of the likeliest class.
      likely: (C,), mean distribution.
      histogram: (C,), share of each class among the likeliest.
    """

    def __init__(self, num_classes: int):
        super().__init__()
        even = tf.fill([num_classes], 1.0 / num_classes)
        self.level = _averaged(even[0])
        self.likely = _averaged(even)
        self.histogram = _averaged(even)

    def update(self, probabilities: tf.Tensor, counted: tf.Tensor) -> None:
        """Takes in a batch, across all replicas (FreeMatch, equations 5, 6
        and 10).

        Args:
          probabilities: (n, C) of weak views on this replica.
          counted: float32 (n,), 0 for images that are left out.
        """
        num_classes = probabilities.shape[1]
        classes = tf.one_hot(tf.argmax(probabilities, axis=1), num_classes)
        level, likely, histogram = _means(
            counted,
            [tf.reduce_max(probabilities, axis=1), probabilities, classes],
        )
        for average, value in (
            (self.level, level),
            (self.likely, likely),
            (self.histogram, histogram),
        ):
            average.assign(_DECAY * average + (1 - _DECAY) * value)


class FixMatch(FineTuning):
    """Fine-tunes on labels, and on the labels that the network itself gives.

    Each batch holds labelled images and `--unlabeled_ratio` times as many
    without a label. Labelled ones learn from a weak view (crop and flip), as
    in fine-tuning. Of the others the network looks at a weak view, and what
    it is sure of is to be seen in a strong view, too, which is made as in
    pretraining (Sohn et al., arXiv 2001.07685; on contrastively pretrained
    weights: SelfMatch, arXiv 2101.06480). Other than there, weak views of
    unlabelled images are looked at in inference mode: the labels do not depend
    on the batch that an image is in, and no gradient is computed of them.

    With `--confidence_rule=adaptive` a label must be surer than the network
    has been of its class so far, and a term keeps the predicted classes
    diverse (Wang et al., FreeMatch, arXiv 2205.07246).
    """

    labels_only = False
    views = ("image", "strong")
    # Its averages are over all images of a batch.
    compares_examples = True
    metrics = (
        TOTAL_LOSS,
        SUPERVISED_LOSS,
        CONSISTENCY_LOSS,
        FAIRNESS_LOSS,
        WEIGHT_DECAY,
        SUPERVISED_ACC,
        LABELLED_IMAGES,
        SURE_IMAGES,
        THRESHOLD,
    )
    shown = (TOTAL_LOSS, SURE_IMAGES)

    def __init__(self, job: Job):
        self._images = job.masked_images
        super().__init__(job)
        wanted = job.config.consistency
        # Of a batch, whatever the shares in the data set.
        self._labelled = 1.0 / (1 + wanted.unlabeled_ratio)
        self._config = wanted
        with job.strategy.scope():
            self._averages = ClassAverages(self.num_classes)
        labels = self._images.labels
        known = labels[labels != UNLABELLED]
        frequent = np.bincount(known, minlength=self.num_classes) / len(known)
        if wanted.align_distribution == "uniform":
            frequent = np.full(self.num_classes, 1 / self.num_classes)
        self._frequent = tf.constant(frequent, tf.float32)
        self.notes.append(_described(job, len(known)))

    def build(self, job: Job) -> SimCLRNetwork:
        """As in fine-tuning, if there are images of both kinds."""
        check_several_classes(job.subset, job.config.data)
        if np.all(self._images.labels != UNLABELLED):
            raise UserError(
                f"--method={job.config.objective.method} learns from images"
                f" without a label, and all {len(self._images):,} training"
                " images have one: take fewer labels, such as"
                " --labels_per_class=4, add images by --unlabeled_dataset, or"
                " leave --method out."
            )
        return super().build(job)

    @property
    def images(self) -> ImageSet:
        """All training images, with the labels of the subset alone."""
        return self._images

    @property
    def unlabeled_ratio(self) -> int:
        """`--unlabeled_ratio`."""
        return self.job.config.consistency.unlabeled_ratio

    @property
    def by_view(self) -> Mapping[str, AugmentConfig]:
        """Weak views as in fine-tuning, strong ones as in pretraining."""
        return weak_and_strong(self.job.config)

    @property
    def measured(self) -> tuple[Metric, ...]:
        """Without the term of fairness where it is off."""
        fair = self._is_adaptive and self._config.fairness_weight > 0
        left_out = () if fair else (FAIRNESS_LOSS,)
        return tuple(x for x in super().measured if x not in left_out)

    def prepare(self, batch: Batch) -> Batch:
        """Adds what each image counts, in either term."""
        batch = super().prepare(batch)
        others = 1.0 - is_labelled(batch["label"])
        share = batch["share"] / (1.0 - self._labelled)
        return {**batch, "unlabelled_share": others * share}

    def forward(self, batch: Batch) -> Outputs:
        """Logits of labelled images' weak views, and of the others' strong
        ones."""
        known = is_labelled(batch["label"])[:, None, None, None] > 0
        views = tf.where(known, batch["image"], batch["strong"])
        return {"logits": self.network(views, training=True).logits}

    def targets(self, batch: Batch) -> Outputs:
        """The network's own logits of weak views."""
        logits = self.network(batch["image"], training=False).logits
        return {"weak_logits": tf.stop_gradient(logits)}

    def loss(self, batch: Batch, outputs: Outputs) -> tuple[tf.Tensor, Metrics]:
        """The sum of `terms`: a scalar, and its metrics."""
        labels = self._labels(batch, outputs["weak_logits"])
        outputs = {
            **outputs,
            "class": labels.classes,
            "sure": labels.sure,
        }
        loss, metrics = super().loss(batch, outputs)
        sure = tf.reduce_sum(labels.sure * batch["unlabelled_share"])
        return loss, {
            **metrics,
            SURE_IMAGES.name: sure,
            THRESHOLD.name: labels.threshold,
        }

    def terms(self, batch: Batch, outputs: Outputs) -> Metrics:
        """Cross-entropy with labels, and with the network's own."""
        counted = batch["unlabelled_share"] * outputs["sure"]
        consistency = pseudo_label_loss(
            outputs["logits"], outputs["class"], counted
        )
        terms = {
            **super().terms(batch, outputs),
            CONSISTENCY_LOSS.name: self._config.unlabeled_weight * consistency,
        }
        if FAIRNESS_LOSS in self.measured:
            terms[FAIRNESS_LOSS.name] = self._fairness(outputs)
        return terms

    @property
    def state(self) -> Mapping[str, Any]:
        """The averages over past steps."""
        return {"class_averages": self._averages}

    @property
    def _is_adaptive(self) -> bool:
        return self._config.confidence_rule == "adaptive"

    def _labels(self, batch: Batch, logits: tf.Tensor) -> _Labels:
        """The labels of unlabelled images, by logits (n, C) of weak views."""
        averages = self._averages
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        others = 1.0 - is_labelled(batch["label"])
        averages.update(probabilities, others)
        if self._config.align_distribution != "off":
            probabilities = aligned(
                probabilities, averages.likely, self._frequent
            )
        classes = tf.argmax(probabilities, axis=1)
        thresholds = tf.fill([self.num_classes], self._config.confidence)
        if self._is_adaptive:
            thresholds = class_thresholds(averages.level, averages.likely)
        sure = tf.reduce_max(probabilities, axis=1) >= tf.gather(
            thresholds, classes
        )
        return _Labels(
            classes,
            others * tf.cast(sure, tf.float32),
            tf.reduce_mean(thresholds),
        )

    def _fairness(self, outputs: Outputs) -> tf.Tensor:
        """The weighted term, of all replicas' images: a scalar."""
        probabilities = tf.nn.softmax(tf.cast(outputs["logits"], tf.float32))
        predicted = tf.one_hot(
            tf.argmax(probabilities, axis=1), self.num_classes
        )
        likely, histogram = _means(
            outputs["sure"], [probabilities, tf.stop_gradient(predicted)]
        )
        averages = self._averages
        return self._config.fairness_weight * fairness_loss(
            tf.convert_to_tensor(averages.likely),
            tf.convert_to_tensor(averages.histogram),
            likely,
            histogram,
        )


def weak_and_strong(config: Any) -> dict[str, AugmentConfig]:
    """{view: the augmentation that makes it}.

    Args:
      config: the whole configuration.
    """
    weak = config.augment.supervised()
    return {
        "image": dataclasses.replace(
            weak, crop_min_area=config.consistency.weak_crop_min_area
        ),
        "strong": config.augment,
    }


def _described(job: Job, labels: int) -> str:
    wanted = job.config.consistency
    sure = f"at least {wanted.confidence:g} sure"
    if wanted.confidence_rule == "adaptive":
        sure = "as sure as of its class so far"
    return (
        f"loss       {labels} labels, and {wanted.unlabeled_ratio} times as"
        f" many images without one that learn the network's own where it is"
        f" {sure}"
    )


def _averaged(value: tf.Tensor) -> tf.Variable:
    return tf.Variable(
        value,
        trainable=False,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def _means(
    counted: tf.Tensor, values: list[tf.Tensor]
) -> tuple[tf.Tensor, ...]:
    """The means of values (n, ...) over all replicas' images that count.

    Args:
      counted: float32 (n,), what each image counts.
      values: of each image.

    Returns:
      One tensor (...) for each; 0 where no image counts.
    """
    sums = [tf.reduce_sum(counted)]
    sums += [tf.tensordot(counted, value, 1) for value in values]
    context = tf.distribute.get_replica_context()
    if context is not None and context.num_replicas_in_sync > 1:
        sums = context.all_reduce(tf.distribute.ReduceOp.SUM, sums)
    return tuple(tf.math.divide_no_nan(value, sums[0]) for value in sums[1:])
