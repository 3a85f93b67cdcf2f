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
from tf_simclr.evaluation.predictions import Predictions, names_of

Scores = dict[str, float]


class Evaluator:
    """Scores a network when it is called.

    Args:
      measure: returns the scores, by the original's names, and the
        classifier's predictions, where there is a classifier.

    Attributes:
      predictions: those of the last call.
      prepare: called first; brings the network up to date.
    """

    def __init__(
        self, measure: Callable[[], tuple[Scores, Predictions | None]]
    ):
        self._measure = measure
        self.predictions: Predictions | None = None
        self.prepare: Callable[[], None] = lambda: None

    def __call__(self) -> Scores:
        self.prepare()
        scores, self.predictions = self._measure()
        return scores


def classifier_evaluator(
    network: keras.Model, images: ImageSet, config: DataConfig
) -> Evaluator:
    """Top-1 and top-5 accuracy."""
    predict = _predictor(network, ["logits_sup"], config)

    def measure() -> tuple[Scores, Predictions]:
        found = predict(images)
        return _accuracies(found), _predictions(images, found)

    return Evaluator(measure)


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
    embed = _predictor(network, names[:1], config, all_batches=True)
    labelled = np.flatnonzero(references.labels >= 0)
    if len(labelled) > MAX_REFERENCES:
        # From all over: folders list one class after the other.
        places = np.linspace(0, len(labelled) - 1, MAX_REFERENCES)
        labelled = labelled[places.astype(int)]
    neighbours = references.take(labelled)

    def measure() -> tuple[Scores, Predictions | None]:
        found, known = predict(images), embed(neighbours)
        scores = {
            "eval/knn_top_1_accuracy": knn_accuracy(
                found["final_avg_pool"],
                found["label"],
                known["final_avg_pool"],
                known["label"],
            )
        }
        if not online:
            return scores, None
        return scores | _accuracies(found), _predictions(images, found)

    return Evaluator(measure)


def _predictor(
    network: keras.Model,
    names: list[str],
    config: DataConfig,
    all_batches: bool = False,
) -> Predictor:
    return Predictor(
        network,
        names,
        image_size=config.image_size,
        batch_size=config.eval_batch_size,
        max_batches=0 if all_batches else config.eval_steps,
    )


def _predictions(images: ImageSet, found: dict[str, np.ndarray]) -> Predictions:
    logits = found["logits_sup"]
    # --eval_steps may have stopped before the last image.
    return Predictions(
        found["label"],
        logits,
        names_of(images.class_names, logits.shape[1]),
        images.ids[: len(logits)],
    )


def _accuracies(found: dict[str, np.ndarray]) -> Scores:
    labels, logits = found["label"], found["logits_sup"]
    return {
        "eval/label_top_1_accuracy": top_k_accuracy(labels, logits, 1),
        "eval/label_top_5_accuracy": top_k_accuracy(labels, logits, 5),
    }
