"""The scores of a network on the evaluation split."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tf_keras as keras

from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.evaluation.accuracy import by_blocks, top_k_accuracy
from tf_simclr.evaluation.confusion import class_counts, macro_f1
from tf_simclr.evaluation.predict import Predictions, Predictor, names_of
from tf_simclr.evaluation.sample import EvaluationSample, evaluation_sample
from tf_simclr.losses.classification import has_top_5
from tf_simclr.metrics import KNN, MACRO_F1, TOP_1, TOP_5

# The usual settings of the field (Wu et al., arXiv 1805.01978): similar
# neighbours weigh exp(cosine / 0.07).
TEMPERATURE = 0.07
NEIGHBOURS = 20
# Labelled images to search in; more costs time and changes little.
_MAX_REFERENCES = 10_000


def knn_accuracy(
    features: np.ndarray,
    labels: np.ndarray,
    reference_features: np.ndarray,
    reference_labels: np.ndarray,
    neighbours: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> float:
    """Top-1 accuracy of a vote of the most similar labelled images.

    Args:
      features: (N, d) of the images to classify.
      labels: (N,), -1 where unknown; those images do not count.
      reference_features: (M, d) of labelled images.
      reference_labels: (M,), all known.
      neighbours: k; capped at M.
      temperature: of the votes' weights exp(cosine / temperature).
    """
    from sklearn.neighbors import KNeighborsClassifier

    known = labels >= 0
    classifier = KNeighborsClassifier(
        n_neighbors=min(neighbours, len(reference_labels)),
        metric="cosine",
        weights=lambda distances: np.exp((1.0 - distances) / temperature),
    )
    classifier.fit(reference_features, reference_labels)
    return float(classifier.score(features[known], labels[known]))


Scores = dict[str, float]

NO_SCORE = "no score: the network's outputs are not all finite"


class Evaluation(NamedTuple):
    """Findings of one evaluation.

    Attributes:
      scores: by the names of `metrics.jsonl`; none where the network's outputs
        are not finite.
      predictions: the classifier's; None where there is no classifier, or no
        score.
      sample: the images that were scored.
    """

    scores: Scores
    predictions: Predictions | None
    sample: EvaluationSample


class Evaluator:
    """Scores a network when it is called.

    Args:
      measure: returns the scores, by the original's names, and the
        classifier's predictions, where there is a classifier; no scores where
        the network's outputs are not finite.
      sample: the images that it scores.
      prepare: called first; brings the network up to date.

    Attributes:
      sample: likewise.
    """

    def __init__(
        self,
        measure: Callable[[], tuple[Scores, Predictions | None]],
        sample: EvaluationSample,
        prepare: Callable[[], None] = lambda: None,
    ):
        self._measure = measure
        self.sample = sample
        self._prepare = prepare

    def __call__(self) -> Evaluation:
        self._prepare()
        return Evaluation(*self._measure(), self.sample)

    def preparing(self, prepare: Callable[[], None]) -> "Evaluator":
        """The same, which calls `prepare` first."""
        return Evaluator(self._measure, self.sample, prepare)


def classifier_evaluator(
    network: keras.Model, images: ImageSet, config: DataConfig
) -> Evaluator:
    """Top-1 accuracy, macro-F1 and, of more than 5 classes, top-5 accuracy.

    Args:
      network: has a classifier.
      images: the evaluation split; some of its images are labelled.
      config: image size, batch size and number of batches.
    """
    predict = _predictor(network, ["logits"], config)
    sample = evaluation_sample(images, config)

    def measure() -> tuple[Scores, Predictions | None]:
        found = predict(sample.images)
        if not _finite(found):
            return {}, None
        return _accuracies(found), _predictions(sample, found)

    return Evaluator(measure, sample)


def pretraining_evaluator(
    network: keras.Model,
    images: ImageSet,
    references: ImageSet,
    config: DataConfig,
    max_references: int = _MAX_REFERENCES,
) -> Evaluator:
    """k-NN accuracy of the encoder's features and, where the network has an
    online classifier, its accuracy and macro-F1.

    Args:
      network: the pretrained network.
      images: the evaluation split; some of its images are labelled.
      references: training images; the neighbours come from the labelled ones,
        which are of several classes.
      config: image size, batch size and number of batches.
      max_references: labelled training images to look among, at most.
    """
    online = network.classifier is not None
    names = ["features", "logits"] if online else ["features"]
    predict = _predictor(network, names, config)
    embed = _predictor(network, names[:1], config)
    sample = evaluation_sample(images, config)
    labelled = np.flatnonzero(references.labels >= 0)
    if len(labelled) > max_references:
        # From all over: folders list one class after the other.
        places = np.linspace(0, len(labelled) - 1, max_references)
        labelled = labelled[places.astype(int)]
    neighbours = references.take(labelled)

    def measure() -> tuple[Scores, Predictions | None]:
        found, known = predict(sample.images), embed(neighbours)
        if not (_finite(found) and _finite(known)):
            return {}, None
        scores = {
            KNN.name: knn_accuracy(
                found["features"],
                found["label"],
                known["features"],
                known["label"],
            )
        }
        if not online:
            return scores, None
        return scores | _accuracies(found), _predictions(sample, found)

    return Evaluator(measure, sample)


def _predictor(
    network: keras.Model, names: list[str], config: DataConfig
) -> Predictor:
    return Predictor(
        network,
        names,
        image_size=config.image_size,
        batch_size=config.eval_batch_size,
    )


def _finite(found: dict[str, np.ndarray]) -> bool:
    return all(bool(np.isfinite(values).all()) for values in found.values())


def _predictions(
    sample: EvaluationSample, found: dict[str, np.ndarray]
) -> Predictions:
    logits = found["logits"]
    return Predictions(
        found["label"],
        logits,
        names_of(sample.images.class_names, logits.shape[1]),
        sample.images.ids,
        sample.total,
    )


def _accuracies(found: dict[str, np.ndarray]) -> Scores:
    labels, logits = found["label"], found["logits"]
    scores = {TOP_1.name: top_k_accuracy(labels, logits, 1)}
    if has_top_5(logits.shape[1]):
        scores[TOP_5.name] = top_k_accuracy(labels, logits, 5)
    known = np.flatnonzero(labels >= 0)
    guesses = by_blocks(lambda block: np.argmax(block, axis=1), logits, known)
    counts = class_counts(labels[known], guesses, logits.shape[1])
    return {**scores, MACRO_F1.name: macro_f1(counts)}
