"""Labels carried along the pretrained features: a baseline without training,
an estimate of the accuracy, and labels that look wrong."""

import dataclasses
import os

import numpy as np

from tf_simclr.config.run import Config
from tf_simclr.data.label_table import is_label_table, table_ids
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.errors import UserError
from tf_simclr.evaluation.classification_report import (
    ClassificationReport,
    classification_report,
)
from tf_simclr.evaluation.feature_file import open_features
from tf_simclr.evaluation.predict import Predictions, Predictor
from tf_simclr.evaluation.sample import evaluation_sample
from tf_simclr.labels.approximate_neighbours import neighbours_by
from tf_simclr.labels.distributions import carried_to
from tf_simclr.labels.graph import NEIGHBOURS, neighbour_graph
from tf_simclr.labels.spent import Spent, estimated, spent_labels
from tf_simclr.labels.spreading import held_out, spread_labels
from tf_simclr.labels.suspicious import Suspicion, suspicious_labels
from tf_simclr.methods.registry import method_of
from tf_simclr.models.network import build_network
from tf_simclr.modes.embed import FEATURES_FILE
from tf_simclr.modes.prepare import prepare_job
from tf_simclr.progress import Counter, say
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
      spent: what the first labels of a table were worth; empty without one.
    """

    report: ClassificationReport | None
    estimate: float | None
    suspicious: list[Suspicion]
    images: ImageSet
    spent: list[Spent]


def carry_labels(
    pretrained: Config, labelled: Config, features_folder: str
) -> CarriedLabels | None:
    """Carries the labels of one part along the features of another.

    Args:
      pretrained: of the part whose network gives the features.
      labelled: of a part that chooses the labels, on the same images.
      features_folder: where features of the training images may lie.

    Returns:
      None without labels, and where there are too many images.
    """
    job = prepare_job(labelled, method_of(labelled))
    subset, evaluation = job.subset, job.splits.evaluation
    images = job.masked_images
    search = labelled.objective.neighbour_search
    if subset is None:
        return None
    if search == "exact" and len(images) > _MOST_IMAGES:
        say(
            f"Labels are not carried along the features of {len(images):,}"
            " images: to compare each with all others takes long."
            " --neighbour_search=approximate does not."
        )
        return None
    predict = feature_predictor(pretrained)
    features = _stored(features_folder, images)
    if features is None:
        features = predict(images)["features"]
    counter = Counter(len(images), "images whose neighbours are found")
    near = neighbours_by(search, features, NEIGHBOURS, counter.add)
    graph = neighbour_graph(near)
    places = _in_order(images, labelled)
    labels = images.labels[places]
    classes = len(images.class_names)
    without = held_out(graph, places, labels, classes)
    scored, report = None, None
    if evaluation is not None and evaluation.has_labels:
        scored = _Scored(evaluation, predict, features, labelled)
        found = spread_labels(graph, places, labels, classes)
        report = scored.report(found)
    estimate, spent = estimated(labels, without), []
    if is_label_table(labelled.data.label_ids):
        accuracy = scored.accuracy if scored else None
        spent = spent_labels(graph, places, labels, classes, accuracy)
        top_1 = report.scores["top_1"].value if report else None
        spent.append(Spent(len(places), top_1, estimate))
    return CarriedLabels(
        report,
        estimate,
        suspicious_labels(places, labels, without),
        images,
        spent,
    )


def _in_order(images: ImageSet, config: Config) -> np.ndarray:
    """Places of the labelled images; of a table of labels, in its order."""
    path = config.data.label_ids
    if not is_label_table(path):
        return np.flatnonzero(images.labels != UNLABELLED)
    numbers = {name: place for place, name in enumerate(images.ids)}
    return np.array([numbers[name] for name in table_ids(images, path)])


class _Scored:
    """Evaluation images, to which labels are carried from training images."""

    def __init__(
        self,
        evaluation: ImageSet,
        predict: Predictor,
        features: np.ndarray,
        config: Config,
    ):
        self._sample = evaluation_sample(evaluation, config.data)
        self._class_names = evaluation.class_names
        outputs = predict(self._sample.images)
        self._labels = outputs["label"]
        self._near = neighbours_by(
            config.objective.neighbour_search,
            outputs["features"],
            NEIGHBOURS,
            among=features,
        )

    def accuracy(self, found: np.ndarray) -> float:
        """Accuracy of distributions (N, C) of the training images."""
        best = carried_to(found, self._near).argmax(axis=1)
        known = self._labels != UNLABELLED
        return float(np.mean((best == self._labels)[known]))

    def report(self, found: np.ndarray) -> ClassificationReport:
        """Classification report of distributions (N, C) of the training
        images."""
        probabilities = carried_to(found, self._near)
        return classification_report(
            Predictions(
                labels=self._labels,
                logits=np.log(np.maximum(probabilities, 1e-6)),
                class_names=self._class_names,
                ids=self._sample.images.ids,
                total=self._sample.total,
            )
        )


def feature_predictor(config: Config) -> Predictor:
    """Predicts features with the network of a finished part.

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
