"""Running a network over a whole split."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tf_simclr.data.batches import evaluation_batches
from tf_simclr.data.sources.image_set import ImageSet


def predict(
    network: keras.Model,
    images: ImageSet,
    names: Sequence[str],
    *,
    image_size: int,
    batch_size: int,
    max_batches: int = 0,
) -> dict[str, np.ndarray]:
    """The named outputs for every image, once and in order.

    Args:
      network: maps a batch of images to named outputs.
      images: the split.
      names: which outputs to keep, such as `final_avg_pool`.
      image_size: side of the evaluation view.
      batch_size: images at a time.
      max_batches: stops after so many; 0 for all.

    Returns:
      {name: float32 (N, ...)} and `label` int32 (N,).
    """

    @tf.function(reduce_retracing=True)
    def forward(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = network(batch, training=False)
        return {name: outputs[name] for name in names}

    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    labels = []
    batches = evaluation_batches(images, batch_size, image_size)
    for batch in batches.take(max_batches or -1):
        for name, value in forward(batch["image"]).items():
            found[name].append(value.numpy())
        labels.append(batch["label"].numpy())
    result = {name: np.concatenate(parts) for name, parts in found.items()}
    result["label"] = np.concatenate(labels)
    return result
