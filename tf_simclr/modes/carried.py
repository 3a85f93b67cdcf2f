"""Labels carried along the pretrained features: a baseline without training,
an estimate of the accuracy, and labels that look wrong."""

import dataclasses
import os

import numpy as np

from tf_simclr.config.run import Config
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.errors import UserError
from tf_simclr.evaluation.classification_report import (
    ClassificationReport,
    classification_report,
)
from tf_simclr.evaluation.feature_file import open_features
from tf_simclr.evaluation.predict import Predictions, Predictor
from tf_simclr.evaluation.sample import evaluation_sample
from tf_simclr.labels.graph import NEIGHBOURS, neighbour_graph
from tf_simclr.labels.neighbours import nearest_neighbours
from tf_simclr.labels.propagation import carried_to, held_out, spread_labels
from tf_simclr.labels.suspicious import Suspicion, suspicious_labels
from tf_simclr.methods.registry import method_of
from tf_simclr.models.network import build_network
from tf_simclr.modes.embed import FEATURES_FILE
from tf_simclr.modes.prepare import prepare_job
from tf_simclr.progress import Counter
from tf_simclr.weights.assign import assign_weights
from tf_simclr.weights.open import open_weights

# Beyond so many training images the exact neighbours of all take too long.
_MOST_IMAGES = 200_000


@dataclasses.dataclass(frozen=True)
class CarriedLabels:
    """Findings of labels that were carried along features.

    Attributes:
      report: of the evaluation images; None if none has a label.
      estimate: share of the labels that follow from the others; None where
        none can be left out.
      suspicious: labels that the others contradict, the surest first.
      images: the training images that these are of.
    """

    report: ClassificationReport | None
    estimate: float | None
    suspicious: list[Suspicion]
    images: ImageSet


def carry_labels(
    pretrained: Config, labelled: Config, features_folder: str
) -> CarriedLabels | None:
    """Carries the labels of one part along the features of another.

    Args:
      pretrained: of the part whose network gives the features.
      labelled: of a part that chooses the labels, on the same images.
      features_folder: where features of the training images may lie.

    Returns:
      None where there are too many images.
    """
    job = prepare_job(labelled, method_of(labelled))
    subset, evaluation = job.subset, job.splits.evaluation
    images = job.masked_images
    if subset is None or len(images) > _MOST_IMAGES:
        return None
    predict = feature_predictor(pretrained)
    features = _stored(features_folder, images)
    if features is None:
        features = predict(images)["features"]
    counter = Counter(len(images), "images compared with all others")
    near = nearest_neighbours(features, NEIGHBOURS, done=counter.add)
    graph = neighbour_graph(near)
    places = np.flatnonzero(images.labels != UNLABELLED)
    labels = images.labels[places]
    classes = len(images.class_names)
    without = held_out(graph, places, labels, classes)
    counts = np.bincount(labels, minlength=classes)
    estimate = None
    if np.any(counts[labels] > 1):
        estimate = float(np.mean(without.argmax(axis=1) == labels))
    report = None
    if evaluation is not None and evaluation.has_labels:
        found = spread_labels(graph, places, labels, classes)
        report = _score(evaluation, predict, features, found, labelled)
    return CarriedLabels(
        report, estimate, suspicious_labels(places, labels, without), images
    )


def _score(
    evaluation: ImageSet,
    predict: Predictor,
    features: np.ndarray,
    found: np.ndarray,
    config: Config,
) -> ClassificationReport:
    sample = evaluation_sample(evaluation, config.data)
    outputs = predict(sample.images)
    near = nearest_neighbours(outputs["features"], NEIGHBOURS, among=features)
    probabilities = carried_to(found, near)
    return classification_report(
        Predictions(
            labels=outputs["label"],
            logits=np.log(np.maximum(probabilities, 1e-6)),
            class_names=evaluation.class_names,
            ids=sample.images.ids,
            total=sample.total,
        )
    )


def feature_predictor(config: Config) -> Predictor:
    """Gives the features of the network of a finished part.

    Args:
      config: of the part.
    """
    stored = open_weights(config.run.model_dir, "model_dir")
    network = build_network(stored.architecture, config.data.image_size)
    assign_weights(network, stored, with_classifier=True)
    return Predictor(
        network,
        ["features"],
        image_size=config.data.image_size,
        batch_size=config.data.eval_batch_size,
    )


def _stored(folder: str, images: ImageSet) -> np.ndarray | None:
    """Features (N, d) that --mode=suggest left of these images."""
    path = os.path.join(folder, FEATURES_FILE)
    if not os.path.exists(path):
        return None
    try:
        ids, features = open_features(path)
    except UserError:
        return None
    return features if ids == images.ids else None
