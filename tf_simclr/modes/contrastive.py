"""What pretraining minimises."""

from collections.abc import Sequence

import tensorflow as tf

from tf_simclr.config.objective import ObjectiveConfig
from tf_simclr.data.batches import Batch
from tf_simclr.losses.classification import (
    LABELLED,
    accuracy,
    is_labelled,
    l2_loss,
    label_shares,
    supervised_loss,
)
from tf_simclr.losses.nt_xent import nt_xent
from tf_simclr.models.network import SimCLRNetwork
from tf_simclr.modes.memory import ContrastMemory
from tf_simclr.training.objective import Metrics, Objective, Rows
from tf_simclr.training.step_probe import StepProbe

# What a probe keeps, and of how many images: enough for its statistics.
PROJECTIONS = "projections"
SHOWN = 256
# Of the labelled images only.
SHARES = {"supervised_loss": LABELLED, "supervised_acc": LABELLED}


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
      over anchors, comparable with ln(2N-1) whatever the reduction; `SHARES`
      are sums over the labelled views, which `LABELLED` counts.
    """
    online = network.classifier is not None
    views_weight = (
        2.0 if config.contrastive_reduction == "sum_of_views" else 1.0
    )

    def forward(batch: Batch) -> Rows:
        # One pass over both views, so that batch norm sees them together.
        outputs = network(
            _views(batch), training=True, stop_classifier_gradient=True
        )
        rows = _by_view("projection", outputs.projection)
        if online:
            rows |= _by_view("logits", outputs.logits)
        return rows

    def references(batch: Batch) -> Rows:
        if memory is None:
            return {}
        first, second = memory.embed(_views(batch))
        return {"key1": first, "key2": second}

    def loss(batch: Batch, rows: Rows) -> tuple[tf.Tensor, Metrics]:
        if probe is not None:
            shown = [rows["projection1"][:SHOWN], rows["projection2"][:SHOWN]]
            probe.keep(PROJECTIONS, tf.stack(shown))
        # Made by hand, a batch may not say which images it holds.
        ids = batch.get("index")
        compared = {}
        if memory:
            compared = memory.compare(rows["key1"], rows["key2"], ids)
        contrast = nt_xent(
            rows["projection1"],
            rows["projection2"],
            config.temperature,
            config.hidden_norm,
            ids=ids,
            **compared,
        )
        total = views_weight * contrast.loss
        metrics = {
            "contrast_loss": contrast.loss,
            "contrast_acc": contrast.accuracy,
            "contrast_entropy": contrast.entropy,
        }
        if online:
            labels = tf.concat([batch["label"], batch["label"]], axis=0)
            logits = tf.concat([rows["logits1"], rows["logits2"]], axis=0)
            shares = label_shares(labels)
            total += supervised_loss(labels, logits, shares)
            known = is_labelled(labels)
            metrics["supervised_loss"] = supervised_loss(labels, logits, known)
            metrics["supervised_acc"] = accuracy(labels, logits, known)
            metrics[LABELLED] = tf.reduce_sum(known)
        return total, metrics

    names = ("total_loss", "contrast_loss", "contrast_acc", "contrast_entropy")
    names += ("weight_decay",) + (*SHARES, LABELLED) * online
    objective = Objective(
        forward=forward,
        loss=loss,
        decay=lambda: l2_loss(decayed, weight_decay),
        references=references,
        compares_images=True,
    )
    return objective, names


def _views(batch: Batch) -> tf.Tensor:
    """First views, then second views."""
    return tf.concat([batch["view1"], batch["view2"]], axis=0)


def _by_view(name: str, outputs: tf.Tensor) -> Rows:
    """What became of `_views`, one row per image again."""
    first, second = tf.split(outputs, 2)
    return {f"{name}1": first, f"{name}2": second}
