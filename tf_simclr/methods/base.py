"""The interface of methods: a network, its outputs for a batch, and its
loss."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import tensorflow as tf
import tf_keras as keras

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.config.run import Config
from tf_simclr.data.batches import Batch
from tf_simclr.data.class_mapping import KnownClasses
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.evaluation.evaluate import Evaluator
from tf_simclr.losses.classification import has_top_5, l2_loss
from tf_simclr.methods.job import Job, Source
from tf_simclr.metrics import Chart, Metric, declare
from tf_simclr.models.network import SimCLRNetwork
from tf_simclr.optimizers.factory import decayed_in_loss, make_optimizer
from tf_simclr.weights.backbone import load_backbone_weights
from tf_simclr.weights.open import open_weights

# {metric name: scalar}.
Metrics = dict[str, tf.Tensor]
# {name: (n, ...)}, row i belongs to image i of a batch.
Outputs = dict[str, tf.Tensor]

TOTAL_LOSS = declare(
    Metric(
        "total_loss",
        Chart("", "loss/total"),
        "loss",
        progress="loss {value:.4f}",
    )
)
WEIGHT_DECAY = declare(
    Metric("weight_decay", Chart("", "loss/weight_decay"), "weight decay")
)


class Method:
    """A way to train one stage; another method is one more file like this.

    The loop calls it for whole batches, or for parts of them where
    `--micro_batch_size` is set: `prepare`, then `forward` (which gradients
    reach) and `targets` (which none reaches), then `loss`.

    Args:
      job: the images, devices and configuration of the stage.

    Attributes:
      job: likewise.
      network: what is trained and saved, all variables built.
      trainable: the variables that the loss reaches and that are updated.
      optimizer: updates them.
      decayed: the variables whose weight decay is a term of the loss.
      notes: lines for the announcement of the run.
      sources: {flag: what it named}.
    """

    # Which stage it belongs to: pretrain, finetune or distill.
    stage: ClassVar[str]
    # The views of a batch: `image`, or `view1` and `view2`, or others that
    # `by_view` describes.
    views: ClassVar[tuple[str, ...]] = ("image",)
    # All that `loss` may return, then what `evaluator` does.
    metrics: ClassVar[tuple[Metric, ...]] = (TOTAL_LOSS, WEIGHT_DECAY)
    scores: ClassVar[tuple[Metric, ...]] = ()
    # Those of a progress line.
    shown: ClassVar[tuple[Metric, ...]] = (TOTAL_LOSS,)
    # Whether it trains on the labelled images alone.
    labels_only: ClassVar[bool] = False
    # Whether the loss compares the images of a batch with each other, so that
    # it cannot be formed from parts of the batch.
    compares_examples: ClassVar[bool] = False
    # A dataclass of options, which `--method_options` sets; None: it has none.
    Options: ClassVar[type | None] = None

    @classmethod
    def open_weights(cls, config: Config) -> dict[str, Source]:
        """The weights to load, by the flags that name them; those of
        `--checkpoint`, which training starts from, among them.

        Raises:
          UserError: they cannot be used.
        """
        path = config.objective.checkpoint
        return {"checkpoint": open_weights(path, "checkpoint")} if path else {}

    @classmethod
    def known_classes(
        cls, config: Config, sources: Mapping[str, Source]
    ) -> KnownClasses | None:
        """Classes that fix the numbering of the data's classes; None: the
        data's own numbering.

        Raises:
          UserError: the weights do not fit the flags.
        """
        return None

    def __init__(self, job: Job):
        self.job = job
        self.notes: list[str] = []
        self.sources: dict[str, Source] = dict(job.sources)
        self.network = self.build(job)
        classifier = self.classifier_variables
        self.trainable: Sequence[tf.Variable] = self.network.trainable_variables
        config, plan = job.config.optimizer, job.plan
        with job.strategy.scope():
            self.optimizer: keras.optimizers.Optimizer = make_optimizer(
                config,
                plan.schedule(),
                self.trainable,
                classifier,
            )
        self.decayed = decayed_in_loss(config, self.network, classifier)

    def build(self, job: Job) -> SimCLRNetwork:
        """The network, with the weights that it starts from.

        Raises:
          UserError: stored weights contradict a flag, or the data.
        """
        raise NotImplementedError

    def load_backbone(self, network: SimCLRNetwork) -> bool:
        """Loads the encoder of `--backbone_weights` if the stage starts from
        it; True if it does.

        Raises:
          UserError: the file does not hold weights of that backbone.
        """
        config = self.job.config
        found = load_backbone_weights(config, network)
        if found:
            self.sources |= found
            path = config.model.backbone_weights
            self.notes.append(f"start      {path}: the encoder")
        return bool(found)

    def begin(self) -> Sequence[str]:
        """Called before the first step, in a directory that is the run's own.

        Returns:
          Lines for the announcement of the run, beside `notes`.
        """
        return ()

    @property
    def classifier_variables(self) -> Sequence[tf.Variable]:
        """Variables of the linear classifier, which LARS does not adapt."""
        classifier = self.network.classifier
        return [] if classifier is None else classifier.trainable_variables

    @property
    def images(self) -> ImageSet:
        """The images to train on."""
        return self.job.images

    @property
    def balanced_batches(self) -> bool:
        """True if its batches draw classes evenly."""
        return False

    @property
    def unlabeled_ratio(self) -> int:
        """Unlabelled images in a batch for each labelled one; 0: as they
        come."""
        return 0

    @property
    def view_size(self) -> int:
        """Side of the views of a batch."""
        return self.job.config.data.image_size

    @property
    def by_view(self) -> Mapping[str, AugmentConfig]:
        """{view: how it is made}, where `views` are made in different ways;
        empty where they are made in one."""
        return {}

    @property
    def class_names(self) -> Sequence[str]:
        """The classes of the network."""
        return self.job.class_names

    @property
    def measured(self) -> tuple[Metric, ...]:
        """The metrics that `loss` returns in this run."""
        return self.metrics

    def prepare(self, batch: Batch) -> Batch:
        """Adds what each image needs to know of the whole batch, so that the
        losses of its parts add up to that of the whole.

        Leading dimensions may be (n,) or (parts, n).
        """
        return dict(batch)

    def forward(self, batch: Batch) -> Outputs:
        """Outputs of the network in training that the loss reads."""
        raise NotImplementedError

    def targets(self, batch: Batch) -> Outputs:
        """Outputs of other networks, without a gradient; called once per
        image and step."""
        return {}

    def loss(self, batch: Batch, outputs: Outputs) -> tuple[tf.Tensor, Metrics]:
        """The loss without weight decay, and its metrics.

        Args:
          batch: as `prepare` left it.
          outputs: what `forward` and `targets` returned.

        Returns:
          Two: a float32 scalar, and {metric: scalar}.
        """
        raise NotImplementedError

    def decay(self) -> tf.Tensor:
        """The term of the loss that depends on the weights alone: a scalar."""
        return l2_loss(self.decayed, self.job.config.optimizer.weight_decay)

    def embeddings(
        self, outputs: Outputs
    ) -> tuple[tf.Tensor, tf.Tensor] | None:
        """Both views' embeddings, (n, d) each, which TensorBoard looks at;
        None: it looks at none."""
        return None

    @property
    def embedding_dim(self) -> int:
        """d of `embeddings`; 0 where there are none."""
        return 0

    def after_step(self) -> None:
        """Called in the graph after each update, across the replicas."""

    @property
    def state(self) -> Mapping[str, Any]:
        """Other values that belong into a checkpoint, by name."""
        return {}

    def evaluator(self) -> Evaluator | None:
        """Scores the network; None where there is nothing to score it on."""
        return None

    def chance(self) -> dict[str, float]:
        """Scores of a network that knows nothing, by metric."""
        levels = {
            metric.name: metric.chance(self)
            for metric in (*self.metrics, *self.scores)
            if metric.chance is not None
        }
        return {name: v for name, v in levels.items() if v is not None}

    def progress(self, metrics: Mapping[str, float]) -> list[str]:
        """The facts of a progress line."""
        levels = self.chance()
        return [
            metric.shown(metrics[metric.name], levels.get(metric.name))
            for metric in self.shown
        ]

    @property
    def batch_size(self) -> int:
        """N, images per step over all devices."""
        return self.job.config.optimizer.train_batch_size

    @property
    def num_classes(self) -> int:
        """Classes that are learnt; 0 or 1 where there is nothing to learn."""
        return self.network.architecture.num_classes

    def guessed(self, guesses: int) -> float | None:
        """Accuracy of k random guesses; None where they cannot all be wrong."""
        if self.num_classes < 2 or (
            guesses > 1 and not has_top_5(self.num_classes)
        ):
            return None
        return guesses / self.num_classes

    def equal_answers(self, weight: float = 1.0) -> float | None:
        """Weighted cross-entropy of a network that finds all C classes
        equally likely: weight * ln C, for any target."""
        if self.num_classes < 2:
            return None
        return weight * math.log(self.num_classes)


def whole_loss(
    method: Method, batch: Batch
) -> tuple[tf.Tensor, Metrics, Outputs]:
    """The loss of a whole batch with its weight decay.

    Returns:
      A scalar, its metrics, and what `forward` and `targets` computed.
    """
    batch = method.prepare(batch)
    outputs = method.forward(batch)
    # One network after the other: the collectives of their batch norms must
    # not overtake each other on different devices.
    with tf.control_dependencies(list(outputs.values())):
        targets = method.targets(batch)
    outputs = {**outputs, **targets}
    loss, metrics = method.loss(batch, outputs)
    return *with_decay(method, loss, metrics), outputs


def with_decay(
    method: Method, loss: tf.Tensor, metrics: Metrics
) -> tuple[tf.Tensor, Metrics]:
    """Adds the weight decay to a loss, a scalar, and both to its metrics."""
    decay = method.decay()
    total = loss + decay
    return total, {"total_loss": total, "weight_decay": decay, **metrics}
