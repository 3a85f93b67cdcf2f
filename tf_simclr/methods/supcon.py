"""SupCon: images of one label are positives, too (arXiv 2004.11362)."""

import math

import tensorflow as tf

from tf_simclr.data.batches import Batch
from tf_simclr.losses.nt_xent import embed, gather_batch
from tf_simclr.losses.queue import same_image
from tf_simclr.methods.base import Metrics, Outputs
from tf_simclr.methods.pretraining import Pretraining
from tf_simclr.metrics import Chart, Metric, declare

SUPCON_LOSS = declare(
    Metric(
        "supcon_loss",
        Chart("", "loss/supervised_contrastive"),
        "supervised contrastive loss",
        report="loss",
        progress="loss {value:.3f} (chance {chance:.3f})",
        chance=lambda method: math.log(2 * method.batch_size - 1),
    )
)
POSITIVES = declare(Metric("positives", Chart("", "train/positives")))


def supervised_contrastive_loss(
    view1: tf.Tensor,
    view2: tf.Tensor,
    labels: tf.Tensor,
    temperature: float = 0.1,
    normalize: bool = True,
    *,
    ids: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The supervised contrastive loss (Khosla et al., 2020, equation 2).

    Mean over the anchors i, all 2N views of the global batch, of

        -1/|P(i)| sum_{p in P(i)} log(exp(s_ip) / sum_{a != i} exp(s_ia))

    where s are similarities divided by the temperature and P(i) the other
    view of the image and all views of images with its label. An image without
    a label has the other view alone: without any label this is NT-Xent. Under
    a `tf.distribute` strategy the mean of the replicas' losses is that of the
    global batch, gradients included.

    Args:
      view1: (n, d) projections of the first views.
      view2: (n, d) projections of the second views of the same images.
      labels: integer (n,); -1 marks an image without a label.
      temperature: divides the similarities; above 0.
      normalize: whether similarities are cosines (else inner products).
      ids: int64 (n,), equal for equal images, whose other appearances in the
        batch are left out; None: all images are different.

    Returns:
      float32 scalars: the loss, and the mean number of positives.
    """
    anchors = [embed(view, normalize) for view in (view1, view2)]
    count = tf.shape(view1)[0]
    # Counted from 0, as numbers that travel between replicas are.
    numbers = [tf.cast(labels, tf.int64) + 1]
    if ids is not None:
        numbers.append(ids)
    *compared, found, offset = gather_batch(*anchors, numbers)
    all_anchors = tf.concat(compared, axis=0)
    columns = tf.shape(compared[0])[0]
    own = tf.one_hot(offset + tf.range(count), columns, True, False)
    again = tf.zeros_like(own)
    if ids is not None:
        again = tf.logical_and(same_image(ids, found[1]), ~own)
    alike = tf.equal(numbers[0][:, tf.newaxis], found[0])
    alike = tf.logical_and(alike, labels[:, tf.newaxis] >= 0)

    def by_view(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """(2n, 2N): `first` within a view, `second` across the views."""
        return tf.concat(
            [
                tf.concat([first, second], axis=1),
                tf.concat([second, first], axis=1),
            ],
            axis=0,
        )

    left_out = by_view(own | again, again)
    positive = by_view(alike, alike | own) & ~left_out
    logits = (
        tf.matmul(tf.concat(anchors, axis=0), all_anchors, transpose_b=True)
        / temperature
    )
    logits = tf.where(left_out, logits.dtype.min, logits)
    # What is left out would be 0 times minus infinity.
    log_shares = tf.where(positive, tf.nn.log_softmax(logits), 0.0)
    number = tf.reduce_sum(tf.cast(positive, tf.float32), axis=1)
    losses = -tf.reduce_sum(log_shares, axis=1) / number
    return tf.reduce_mean(losses), tf.reduce_mean(number)


class SupCon(Pretraining):
    """Pulls the views of an image and all images of its label together.

    Where few images have a label, the others learn as in SimCLR.
    """

    contrast_metrics = (SUPCON_LOSS, POSITIVES)
    shown = (SUPCON_LOSS,)

    def describe(self) -> list[str]:
        """The loss with its temperature and the labels that it uses."""
        labels = len(self.job.subset) if self.job.subset else 0
        return [
            "loss       supervised contrastive, temperature"
            f" {self.job.config.objective.temperature:g}, with {labels} labels"
        ]

    def contrast(
        self, batch: Batch, outputs: Outputs
    ) -> tuple[tf.Tensor, Metrics]:
        """The supervised contrastive loss over the global batch: a scalar."""
        config = self.job.config.objective
        loss, positives = supervised_contrastive_loss(
            outputs["projection1"],
            outputs["projection2"],
            batch["label"],
            config.temperature,
            config.hidden_norm,
            ids=batch.get("index"),
        )
        return loss, {SUPCON_LOSS.name: loss, POSITIVES.name: positives}
