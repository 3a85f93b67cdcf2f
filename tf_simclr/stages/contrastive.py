"""What pretraining minimises."""

from collections.abc import Sequence

import tensorflow as tf

from tf_simclr.config.objective import ObjectiveConfig
from tf_simclr.data.batches import Batch
from tf_simclr.losses.nt_xent import nt_xent
from tf_simclr.losses.supervised import accuracy, supervised_loss
from tf_simclr.losses.weight_decay import l2_loss
from tf_simclr.models.network import SimCLRNetwork
from tf_simclr.stages.memory import ContrastMemory
from tf_simclr.training.step import Metrics, Objective
from tf_simclr.training.step_probe import StepProbe

# What a probe keeps, and of how many images: enough for its statistics.
PROJECTIONS = "projections"
SHOWN = 256


def contrastive_objective(
    network: SimCLRNetwork,
    config: ObjectiveConfig,
    decayed: Sequence[tf.Variable],
    weight_decay: float,
    memory: ContrastMemory | None = None,
    probe: StepProbe | None = None,
) -> tuple[Objective, tuple[str, ...]]:
    """NT-Xent, weight decay and the online classifier's cross-entropy.

    Args:
      network: encoder, projection head and, for the online probe, classifier.
      config: temperature, normalisation, reduction.
      decayed: variables whose decay is a term of the loss.
      weight_decay: its weight.
      memory: where the contrast examples come from; None: from the batch.
      probe: keeps `PROJECTIONS`, both views' embeddings of the first images.

    Returns:
      The objective, and the names of its metrics. `contrast_loss` is the mean
      over anchors, comparable with ln(2N-1) whatever the reduction.
    """
    online = network.classifier is not None
    views_weight = (
        2.0 if config.contrastive_reduction == "sum_of_views" else 1.0
    )

    def compute(batch: Batch) -> tuple[tf.Tensor, Metrics]:
        # One pass over both views, so that batch norm sees them together.
        views = tf.concat([batch["view1"], batch["view2"]], axis=0)
        outputs = network(views, training=True, stop_classifier_gradient=True)
        first, second = tf.split(outputs["proj_head_output"], 2)
        if probe is not None:
            shown = tf.stack([first[:SHOWN], second[:SHOWN]])
            probe.keep(PROJECTIONS, shown)
        compared = {}
        if memory:
            # One network after the other: their batch norms' collectives must
            # not overtake each other on different devices.
            with tf.control_dependencies([first, second]):
                compared = memory.compare(views)
        contrast = nt_xent(
            first, second, config.temperature, config.hidden_norm, **compared
        )
        decay = l2_loss(decayed, weight_decay)
        loss = views_weight * contrast.loss + decay
        metrics = {
            "contrast_loss": contrast.loss,
            "contrast_acc": contrast.accuracy,
            "contrast_entropy": contrast.entropy,
            "weight_decay": decay,
        }
        if online:
            labels = tf.concat([batch["label"], batch["label"]], axis=0)
            logits = outputs["logits_sup"]
            supervised = supervised_loss(labels, logits)
            loss += supervised
            metrics["supervised_loss"] = supervised
            metrics["supervised_acc"] = accuracy(labels, logits)
        return loss, {"total_loss": loss, **metrics}

    names = ("total_loss", "contrast_loss", "contrast_acc", "contrast_entropy")
    names += ("weight_decay",)
    return compute, names + ("supervised_loss", "supervised_acc") * online
