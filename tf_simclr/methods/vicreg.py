"""VICReg: variance, invariance, covariance (arXiv 2105.04906)."""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from tf_simclr.config.field import PRETRAIN, option
from tf_simclr.data.batches import Batch
from tf_simclr.losses.nt_xent import gather_batch
from tf_simclr.methods.base import Metrics, Outputs
from tf_simclr.methods.job import Job
from tf_simclr.methods.pretraining import Pretraining
from tf_simclr.methods.registry import method_options
from tf_simclr.metrics import Chart, Metric, declare

VICREG_LOSS = declare(
    Metric(
        "vicreg_loss",
        Chart("", "loss/vicreg"),
        "VICReg loss",
        report="loss",
        progress="loss {value:.3f}",
    )
)
INVARIANCE = declare(
    Metric(
        "invariance",
        Chart("", "similarity/invariance"),
        progress="distance of views {value:.3f}",
    )
)
VARIANCE = declare(Metric("variance", Chart("", "embedding/variance_hinge")))
COVARIANCE = declare(Metric("covariance", Chart("", "embedding/covariance")))
# Of the square root, and the standard deviation below which the hinge pulls
# (paper, equation 1).
_EPSILON, _WANTED = 1e-4, 1.0


@dataclasses.dataclass(frozen=True)
class VICRegOptions:
    """Weights of the three terms (paper, section 4.2)."""

    invariance: float = option(
        25.0,
        "Weight of the distance between the two views.",
        minimum=0.0,
        on_resume="told",
        read_by=PRETRAIN,
    )
    variance: float = option(
        25.0,
        "Weight of the hinge on each dimension's standard deviation.",
        minimum=0.0,
        on_resume="told",
        read_by=PRETRAIN,
    )
    covariance: float = option(
        1.0,
        "Weight of the squared covariances between dimensions.",
        minimum=0.0,
        on_resume="told",
        read_by=PRETRAIN,
    )


class VICRegTerms(NamedTuple):
    """The terms of the loss without their weights, float32 scalars.

    Attributes:
      invariance: mean squared distance of the two views, divided by d.
      variance: mean over dimensions and both views of max(0, 1 - std).
      covariance: sum of squared covariances between dimensions, divided by d,
        of both views together.
    """

    invariance: tf.Tensor
    variance: tf.Tensor
    covariance: tf.Tensor


def vicreg_terms(view1: tf.Tensor, view2: tf.Tensor) -> VICRegTerms:
    """The three terms over the global batch (paper, equations 1 to 6).

    As in the authors' code, `invariance` is a mean over images and dimensions
    and `variance` a mean over both views; the weights of 25, 25, 1 are meant
    for that. Under a `tf.distribute` strategy each replica computes the whole
    batch's terms, gradients included.

    Args:
      view1: (n, d) projections of the first views, n at least 2.
      view2: (n, d) projections of the second views of the same images.
    """
    first, second, _, _ = gather_batch(
        tf.cast(view1, tf.float32), tf.cast(view2, tf.float32)
    )
    count = tf.cast(tf.shape(first)[0], tf.float32)
    width = first.shape[1]

    def hinge_and_covariance(view: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        centred = view - tf.reduce_mean(view, axis=0)
        covariances = tf.matmul(centred, centred, transpose_a=True)
        covariances /= count - 1.0
        variances = tf.linalg.diag_part(covariances)
        hinge = tf.nn.relu(_WANTED - tf.sqrt(variances + _EPSILON))
        beside = tf.linalg.set_diag(covariances, tf.zeros([width]))
        return tf.reduce_mean(hinge), tf.reduce_sum(beside**2) / width

    (hinge1, beside1), (hinge2, beside2) = map(
        hinge_and_covariance, (first, second)
    )
    return VICRegTerms(
        invariance=tf.reduce_mean((first - second) ** 2),
        variance=(hinge1 + hinge2) / 2.0,
        covariance=beside1 + beside2,
    )


class VICReg(Pretraining):
    """Needs no negatives: keeps the embeddings' dimensions apart instead.

    Projections are not normalised. The paper's projection head is wide
    (`--proj_out_dim=8192`), and has no batch norm behind its last layer.
    """

    contrast_metrics = (VICREG_LOSS, INVARIANCE, VARIANCE, COVARIANCE)
    shown = (VICREG_LOSS, INVARIANCE)
    Options = VICRegOptions

    def __init__(self, job: Job):
        self._weights: VICRegOptions = method_options(
            type(self), job.config.objective.method_options
        )
        super().__init__(job)

    def describe(self) -> list[str]:
        """The loss with the weights of its terms."""
        weights = self._weights
        return [
            f"loss       VICReg, invariance {weights.invariance:g}, variance"
            f" {weights.variance:g}, covariance {weights.covariance:g}"
        ]

    def contrast(
        self, batch: Batch, outputs: Outputs
    ) -> tuple[tf.Tensor, Metrics]:
        """The weighted sum of the three terms: a scalar."""
        terms = vicreg_terms(outputs["projection1"], outputs["projection2"])
        weights = self._weights
        loss = (
            weights.invariance * terms.invariance
            + weights.variance * terms.variance
            + weights.covariance * terms.covariance
        )
        return loss, {
            VICREG_LOSS.name: loss,
            INVARIANCE.name: terms.invariance,
            VARIANCE.name: terms.variance,
            COVARIANCE.name: terms.covariance,
        }
