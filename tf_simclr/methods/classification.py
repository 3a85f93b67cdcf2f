"""Training a classifier on single views, by labels or by a teacher."""

import numpy as np
import tensorflow as tf

from tf_simclr.data.batches import Batch
from tf_simclr.data.imbalance import balance_note, balanced_weights
from tf_simclr.data.sources.image_set import UNLABELLED
from tf_simclr.evaluation.evaluate import Evaluator
from tf_simclr.losses.classification import (
    LABELLED,
    accuracy,
    is_labelled,
    supervised_loss,
)
from tf_simclr.methods.base import (
    Method,
    Metrics,
    Outputs,
)
from tf_simclr.methods.job import Job
from tf_simclr.metrics import (
    MACRO_F1,
    TOP_1,
    TOP_5,
    Chart,
    Metric,
    declare,
)

LABELLED_IMAGES = declare(Metric(LABELLED, Chart("", f"train/{LABELLED}")))
# Where only some images have a label, both are sums over those.
SUPERVISED_LOSS = declare(
    Metric(
        "supervised_loss",
        Chart("", "loss/supervised"),
        "cross-entropy",
        report="loss",
        chance=lambda method: method.equal_answers(method.label_weight or 1.0),
        counted_by=LABELLED,
    )
)
SUPERVISED_ACC = declare(
    Metric(
        "supervised_acc",
        Chart("", "accuracy/top_1"),
        "batch top-1",
        report="accuracy",
        chance=lambda method: method.guessed(1),
        counted_by=LABELLED,
    )
)


class Classification(Method):
    """Trains the network's logits on single views of `images`.

    `terms` are the weighted terms of the loss. They read `share` and
    `label_share` of the batch. The latter is 1 / (n f) for the labelled ones
    of n images, where f is their share of the training set. Sums over a batch
    then estimate the mean over all labelled images without bias (Horvitz and
    Thompson, 1952), however few a batch holds: a term weighs as much as it
    says. The mean over a batch's own labelled images would count for nothing
    where there is none. The price is variance: with n f labels per batch the
    term's is about 1 / (n f) of the mean square of a label's loss.

    With `--class_balance=loss` the share of an image is also multiplied by the
    weight of its class (`balanced_weights`), whose mean over the labelled
    images is 1. It is not divided by the weights that a batch, or a replica's
    part of it, happens to hold: parts add up to the whole.

    Attributes:
      label_weight: weight of `supervised_loss`; 0 where labels teach nothing.
    """

    scores = (TOP_1, TOP_5, MACRO_F1)
    label_weight = 1.0

    def __init__(self, job: Job):
        super().__init__(job)
        has_label = self.images.labels != UNLABELLED
        # f, and 1 where there is no label.
        self._labelled = float(np.mean(has_label)) or 1.0
        self._partly_labelled = not np.all(has_label)
        balance, self._class_weights = self.balance, None
        if balance == "loss":
            self._class_weights = balanced_weights(self.images.labels)
        note = ""
        if self.label_weight:
            note = balance_note(self.images.labels, self.class_names, balance)
        self.notes += [note] if note else []

    @property
    def balance(self) -> str:
        """`--class_balance`, where labels teach."""
        objective = self.job.config.objective
        return objective.class_balance if self.label_weight else "none"

    @property
    def balanced_batches(self) -> bool:
        """True for `--class_balance=batches`."""
        return self.balance == "batches"

    @property
    def measured(self) -> tuple[Metric, ...]:
        """Metrics of this run: the loss is a mean over the batch if every
        image has a label, and absent if none teaches."""
        found = []
        for metric in self.metrics:
            if metric is SUPERVISED_LOSS:
                if not self.label_weight:
                    continue
                if not self._partly_labelled:
                    metric = metric.uncounted()
            found.append(metric)
        return tuple(found)

    def terms(self, batch: Batch, outputs: Outputs) -> Metrics:
        """{metric: weighted term of the loss}.

        Args:
          batch: with `share` and `label_share`, what an image counts.
          outputs: `logits` and what `targets` returned.
        """
        raise NotImplementedError

    def prepare(self, batch: Batch) -> Batch:
        """Adds what each image counts."""
        labels = batch["label"]
        count = tf.cast(tf.size(labels), tf.float32)
        return {
            **batch,
            "share": tf.fill(tf.shape(labels), 1.0 / count),
            "label_share": self._counting(labels) / (count * self._labelled),
        }

    def _counting(self, labels: tf.Tensor) -> tf.Tensor:
        """The weight of each label, 0 where there is none: in their shape."""
        known = is_labelled(labels)
        if self._class_weights is None:
            return known
        return known * tf.gather(self._class_weights, tf.maximum(labels, 0))

    def forward(self, batch: Batch) -> Outputs:
        """The network's logits."""
        outputs = self.network(batch["image"], training=True)
        return {"logits": outputs.logits}

    def loss(self, batch: Batch, outputs: Outputs) -> tuple[tf.Tensor, Metrics]:
        """The sum of `terms`: a scalar, and its metrics."""
        terms = self.terms(batch, outputs)
        labels, logits = batch["label"], outputs["logits"]
        known = is_labelled(labels)
        metrics = {
            **terms,
            SUPERVISED_ACC.name: accuracy(labels, logits, known),
            LABELLED_IMAGES.name: tf.reduce_sum(known),
        }
        if self.label_weight and self._partly_labelled:
            total = supervised_loss(labels, logits, self._counting(labels))
            metrics[SUPERVISED_LOSS.name] = self.label_weight * total
        return tf.add_n([*terms.values()]), metrics

    def label_term(self, batch: Batch, outputs: Outputs) -> tf.Tensor:
        """The mean cross-entropy of the labelled images: a scalar."""
        return supervised_loss(
            batch["label"], outputs["logits"], batch["label_share"]
        )

    def evaluator(self) -> Evaluator | None:
        """Top-1 accuracy, macro-F1 and, of more than 5 classes, top-5."""
        return self.job.classifier_evaluator(self.network)
