"""Stage one: pretraining on pairs of views, for which no label is needed."""

from typing import ClassVar

import tensorflow as tf

from tf_simclr.data.batches import Batch
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.evaluation.evaluate import Evaluator, pretraining_evaluator
from tf_simclr.evaluation.float32 import scored_in_float32
from tf_simclr.losses.classification import (
    accuracy,
    is_labelled,
    label_shares,
    supervised_loss,
)
from tf_simclr.methods.architecture import pretraining_architecture
from tf_simclr.methods.base import (
    TOTAL_LOSS,
    WEIGHT_DECAY,
    Method,
    Metrics,
    Outputs,
)
from tf_simclr.methods.classification import (
    LABELLED_IMAGES,
    SUPERVISED_ACC,
    SUPERVISED_LOSS,
)
from tf_simclr.methods.job import Job
from tf_simclr.metrics import KNN, MACRO_F1, TOP_1, TOP_5, Metric
from tf_simclr.models.network import Architecture, SimCLRNetwork
from tf_simclr.weights.assign import assign_weights

# Those of the online classifier.
_ONLINE = (SUPERVISED_LOSS, SUPERVISED_ACC, LABELLED_IMAGES)


class Pretraining(Method):
    """Trains encoder and projection head on two views of each image.

    A method of this stage is a subclass that compares the views' projections
    (`contrast`). Where labels exist, an online linear classifier learns from
    the labelled subset behind a stop-gradient: it shows progress and changes
    nothing. With `--checkpoint` the network goes on from those weights instead
    of random ones.

    Attributes:
      several: whether there are labels of several classes to score with.
      online: whether the network has the online classifier.
    """

    stage = "pretrain"
    views = ("view1", "view2")
    compares_examples = True
    # What `contrast` returns.
    contrast_metrics: ClassVar[tuple[Metric, ...]] = ()
    # The level of `supervised_loss` is that of the cross-entropy itself.
    label_weight = 1.0
    scores = (TOP_1, TOP_5, MACRO_F1, KNN)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.metrics = (
            TOTAL_LOSS,
            *cls.contrast_metrics,
            WEIGHT_DECAY,
            *_ONLINE,
        )

    def build(self, job: Job) -> SimCLRNetwork:
        """Encoder, the whole head and, with labels, the online classifier."""
        config, stored = job.config, job.sources.get("checkpoint")
        self.several = job.subset is not None and len(job.subset.names) > 1
        self.online = config.objective.lineareval_while_pretraining and (
            self.several or _has_online_classifier(job)
        )
        classes = len(job.class_names) if self.online else 0
        if stored is None:
            network = job.build(
                Architecture.for_pretraining(
                    config.model, config.data.image_size, classes
                )
            )
            self.load_backbone(network)
            return network
        network = job.build(
            pretraining_architecture(
                config, stored.architecture, stored.path, classes
            )
        )
        report = assign_weights(network, stored, with_classifier=False)
        self.notes.append(f"start      {stored.path}: {report}")
        return network

    def __init__(self, job: Job):
        super().__init__(job)
        self._images = job.masked_images
        # Its criterion's lines come first.
        self.notes += [*self.describe(), f"probes     {self._probed()}"]

    def describe(self) -> list[str]:
        """Lines about the loss, for the announcement of the run."""
        return []

    def contrast(
        self, batch: Batch, outputs: Outputs
    ) -> tuple[tf.Tensor, Metrics]:
        """The loss to minimise, and `contrast_metrics`.

        Args:
          batch: images by `index` and, where labelled, `label`.
          outputs: `projection1` and `projection2`, (n, d) each, of both views,
            and what `targets` returned.
        """
        raise NotImplementedError

    @property
    def images(self) -> ImageSet:
        """All training images, with the labels of the subset alone."""
        return self._images

    @property
    def measured(self) -> tuple[Metric, ...]:
        """Without labels, nothing of the online classifier."""
        return self.metrics if self.online else self.metrics[: -len(_ONLINE)]

    @property
    def num_classes(self) -> int:
        """Classes of the labels that it is scored with."""
        return len(self.job.class_names) if self.several else 0

    def forward(self, batch: Batch) -> Outputs:
        """Projections and logits of both views."""
        # One pass over both views, so that batch norm sees them together.
        outputs = self.network(
            both_views(batch), training=True, stop_classifier_gradient=True
        )
        found = by_view("projection", outputs.projection)
        if self.online:
            found |= by_view("logits", outputs.logits)
        return found

    def loss(self, batch: Batch, outputs: Outputs) -> tuple[tf.Tensor, Metrics]:
        """`contrast` and the online classifier's cross-entropy: a scalar.

        Figures of the labelled images are sums over their views, which
        `labelled_images` counts.
        """
        total, metrics = self.contrast(batch, outputs)
        if self.online:
            labels = tf.concat([batch["label"], batch["label"]], axis=0)
            logits = tf.concat([outputs["logits1"], outputs["logits2"]], axis=0)
            shares = label_shares(labels)
            total += supervised_loss(labels, logits, shares)
            known = is_labelled(labels)
            metrics |= {
                SUPERVISED_LOSS.name: supervised_loss(labels, logits, known),
                SUPERVISED_ACC.name: accuracy(labels, logits, known),
                LABELLED_IMAGES.name: tf.reduce_sum(known),
            }
        return total, metrics

    def embeddings(self, outputs: Outputs) -> tuple[tf.Tensor, tf.Tensor]:
        """Both views' projections: (n, d) each."""
        return outputs["projection1"], outputs["projection2"]

    @property
    def embedding_dim(self) -> int:
        """Width of the projections."""
        return self.network.embedding_dim

    def evaluator(self) -> Evaluator | None:
        """k-NN on the features and the online classifier's accuracy."""
        images, config = self.job.splits.evaluation, self.job.config
        if not (self.several and images and images.has_labels):
            return None
        return scored_in_float32(
            self.network,
            self.job.precision.policy,
            config.data.image_size,
            lambda scored: pretraining_evaluator(
                scored, images, self.images, config.data
            ),
        )

    def _probed(self) -> str:
        """Names of the probes, in words."""
        subset, evaluation = self.job.subset, self.job.splits.evaluation
        if subset is not None and not self.several:
            [name] = subset.names
            return f"none: all labels are '{name}', which any answer gets right"
        probes = ["online linear classifier"] if self.online else []
        if self.several and evaluation and evaluation.has_labels:
            probes.append("k-NN")
        if not probes:
            return "none: no labels to score with"
        return f"{' and '.join(probes)} on the labelled images"


def both_views(batch: Batch) -> tf.Tensor:
    """First views, then second views: (2n, H, W, 3)."""
    return tf.concat([batch["view1"], batch["view2"]], axis=0)


def by_view(name: str, outputs: tf.Tensor) -> Outputs:
    """Outputs of `both_views`, (2n, ...), by view: (n, ...) each."""
    first, second = tf.split(outputs, 2)
    return {f"{name}1": first, f"{name}2": second}


def _has_online_classifier(job: Job) -> bool:
    """True if this run has an online classifier; earlier versions of this
    project also gave one to data of a single class."""
    if job.subset is None:
        return False
    record = job.run_dir.read_config()
    return bool(record and record.architecture.num_classes)
