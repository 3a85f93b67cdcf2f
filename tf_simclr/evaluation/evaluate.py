"""The scores of a network on the evaluation split."""

from collections.abc import Callable

import numpy as np
import tf_keras as keras

from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.evaluation.accuracy import top_k_accuracy
from tf_simclr.evaluation.nearest_neighbours import (
    MAX_REFERENCES,
    knn_accuracy,
)
from tf_simclr.evaluation.predict import Predictor

Evaluator = Callable[[], dict[str, float]]


def classifier_evaluator(
    network: keras.Model, images: ImageSet, config: DataConfig
) -> Evaluator:
    """Top-1 and top-5 accuracy, by the original's names."""
    predict = _predictor(network, ["logits_sup"], config)
    return lambda: _accuracies(predict(images))


def pretraining_evaluator(
    network: keras.Model,
    images: ImageSet,
    references: ImageSet,
    config: DataConfig,
) -> Evaluator:
    """k-NN accuracy of the encoder's features and, where the network has an
    online classifier, its accuracy.

    Args:
      network: the pretrained network.
      images: the labelled evaluation split.
      references: labelled training images that the neighbours come from.
      config: image size and batch size.
    """
    online = network.classifier is not None
    names = ["final_avg_pool", "logits_sup"] if online else ["final_avg_pool"]
    predict = _predictor(network, names, config)
    labelled = np.flatnonzero(references.labels >= 0)[:MAX_REFERENCES]
    neighbours = references.take(labelled)

    def evaluate() -> dict[str, float]:
        found, known = predict(images), predict(neighbours)
        scores = {
            "eval/knn_top_1_accuracy": knn_accuracy(
                found["final_avg_pool"],
                found["label"],
                known["final_avg_pool"],
                known["label"],
            )
        }
        return scores | (_accuracies(found) if online else {})

    return evaluate


def _predictor(
    network: keras.Model, names: list[str], config: DataConfig
) -> Predictor:
    return Predictor(
        network,
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
