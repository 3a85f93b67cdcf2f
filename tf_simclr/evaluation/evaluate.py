"""The scores of a network on the evaluation split."""

import numpy as np
import tf_keras as keras

from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.evaluation.accuracy import top_k_accuracy
from tf_simclr.evaluation.nearest_neighbours import (
    MAX_REFERENCES,
    knn_accuracy,
)
from tf_simclr.evaluation.predict import predict


def evaluate_classifier(
    network: keras.Model, images: ImageSet, config: DataConfig
) -> dict[str, float]:
    """Top-1 and top-5 accuracy, by the original's names."""
    found = _run(network, images, config, ["logits_sup"])
    return _accuracies(found)


def evaluate_pretraining(
    network: keras.Model,
    images: ImageSet,
    references: ImageSet,
    config: DataConfig,
) -> dict[str, float]:
    """k-NN accuracy of the encoder's features and, where the network has an
    online classifier, its accuracy.

    Args:
      network: the pretrained network.
      images: the labelled evaluation split.
      references: labelled training images that the neighbours come from.
      config: image size and batch size.
    """
    names = ["final_avg_pool"]
    if network.classifier is not None:
        names.append("logits_sup")
    found = _run(network, images, config, names)
    labelled = np.flatnonzero(references.labels >= 0)[:MAX_REFERENCES]
    known = _run(network, references.take(labelled), config, names[:1])
    scores = {
        "eval/knn_top_1_accuracy": knn_accuracy(
            found["final_avg_pool"],
            found["label"],
            known["final_avg_pool"],
            known["label"],
        )
    }
    if network.classifier is not None:
        scores |= _accuracies(found)
    return scores


def _run(network, images, config, names) -> dict[str, np.ndarray]:
    return predict(
        network,
        images,
        names,
        image_size=config.image_size,
        batch_size=config.eval_batch_size,
        max_batches=config.eval_steps,
    )


def _accuracies(found: dict[str, np.ndarray]) -> dict[str, float]:
    labels, logits = found["label"], found["logits_sup"]
    return {
        "eval/label_top_1_accuracy": top_k_accuracy(labels, logits, 1),
        "eval/label_top_5_accuracy": top_k_accuracy(labels, logits, 5),
    }
