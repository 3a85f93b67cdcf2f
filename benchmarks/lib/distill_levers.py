"""Changes of a distillation that the product does not have.

`--method=benchmarks.lib.distill_levers:Mixup` and `:Smoothed`; the ablations
measure them (docs/guide.md).
"""

import tensorflow as tf

from tf_simclr.data.batches import Batch
from tf_simclr.losses.mean_of_teachers import logits_of
from tf_simclr.methods.base import Outputs
from tf_simclr.methods.distill import Distillation


class Mixup(Distillation):
    """Teacher and student see the same mixture of two images of the batch.

    The weight of each mixture is uniform: Beta(1, 1) of Zhang et al. (ICLR
    2018, arXiv 1710.09412); that both see it is from Beyer et al. (CVPR 2022,
    arXiv 2106.05237).
    """

    def prepare(self, batch: Batch) -> Batch:
        """Mixes each image with the one in its place from the end."""
        batch = super().prepare(batch)
        images = batch["image"]
        weight = tf.random.uniform(tf.shape(batch["label"]))
        weight = weight[..., tf.newaxis, tf.newaxis, tf.newaxis]
        other = tf.reverse(images, [weight.shape.rank - 4])
        weight = tf.cast(weight, images.dtype)
        return {**batch, "image": weight * images + (1 - weight) * other}


class Smoothed(Distillation):
    """A tenth of each answer is spread evenly over the classes (Szegedy et al.,
    CVPR 2016, arXiv 1512.00567)."""

    share = 0.1

    def targets(self, batch: Batch) -> Outputs:
        """As logits, whose softmax at the temperature of the loss is meant."""
        temperature = self.job.config.objective.distillation_temperature
        logits = super().targets(batch)["teacher_logits"] / temperature
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        even = self.share / self.num_classes
        answers = (1 - self.share) * probabilities + even
        return {"teacher_logits": temperature * logits_of(answers)}
