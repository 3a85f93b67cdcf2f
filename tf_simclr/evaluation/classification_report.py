"""Scores of a classifier's predictions on a labelled split."""

import dataclasses
from typing import NamedTuple

import numpy as np

from tf_simclr.evaluation.accuracy import (
    Interval,
    bootstrap_intervals,
    by_blocks,
    label_ranks,
    wilson_interval,
)
from tf_simclr.evaluation.calibration import (
    Reliability,
    confidences,
    fit_temperature,
    reliability,
)
from tf_simclr.evaluation.confusion import (
    ClassCounts,
    Confusions,
    class_counts,
    cohen_kappa,
    count_confusions,
    macro_f1,
)
from tf_simclr.evaluation.predict import Predictions
from tf_simclr.losses.classification import has_top_5


class Mistake(NamedTuple):
    """One image that was taken for something else.

    Attributes:
      index: the image's place among those that were scored.
      label: its class.
      prediction: the class that it was taken for.
      confidence: the probability that the network gave to that.
    """

    index: int
    label: int
    prediction: int
    confidence: float


def worst_mistakes(
    labels: np.ndarray, logits: np.ndarray, limit: int
) -> list[Mistake]:
    """Wrong predictions, the most confident ones first.

    Args:
      labels: int (N,), -1 where unknown; those images do not count.
      logits: (N, C).
      limit: how many to return.
    """
    predictions = by_blocks(lambda block: np.argmax(block, axis=1), logits)
    confidence = confidences(logits)
    wrong = np.flatnonzero((labels >= 0) & (predictions != labels))
    order = np.argsort(-confidence[wrong], kind="stable")[:limit]
    return [
        Mistake(
            int(i), int(labels[i]), int(predictions[i]), float(confidence[i])
        )
        for i in wrong[order]
    ]


MISTAKES = 12
SEED = 0


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy, before and after temperature scaling.

    Attributes:
      temperature: fitted on `fitted_on` images, half of the labelled ones.
      before, after: on the other half.
      fitted_on: how many images the temperature was fitted on.
      measured_on: how many images `before` and `after` are of.
    """

    temperature: float
    before: Reliability
    after: Reliability
    fitted_on: int
    measured_on: int


@dataclasses.dataclass(frozen=True)
class ClassificationReport:
    """The scores of one classifier on one split.

    Attributes:
      count: labelled images that were scored.
      total: images of the split.
      scores: with 95 % intervals: Wilson's of `top_1` and `top_5` (where there
        are more than 5 classes), bootstrap of `macro_f1` and `cohen_kappa`.
      class_names: C names.
      classes: what the scores of each class are made of.
      confusions: the filled cells of the confusion matrix.
      calibration: None where there are fewer than two labelled images.
      mistakes: the worst ones.
      mistake_ids: the names of their images.
    """

    count: int
    total: int
    scores: dict[str, Interval]
    class_names: tuple[str, ...]
    classes: ClassCounts
    confusions: Confusions
    calibration: Calibration | None
    mistakes: list[Mistake]
    mistake_ids: list[str]

    @property
    def classes_never_predicted(self) -> list[str]:
        """Names of the classes that have images, none of which, nor any
        other, is classified so."""
        counts = self.classes
        places = np.flatnonzero((counts.present > 0) & (counts.called == 0))
        return [self.class_names[place] for place in places]


def classification_report(
    predictions: Predictions, seed: int = SEED
) -> ClassificationReport:
    """Scores a classifier's predictions.

    Images without a label do not count; one must have one.

    Args:
      predictions: of a whole split.
      seed: of the bootstrap, and of the half that fits the temperature.
    """
    known = np.flatnonzero(predictions.labels >= 0)
    labels, logits = predictions.labels[known], predictions.logits
    num_classes = len(predictions.class_names)
    guesses = by_blocks(lambda block: np.argmax(block, axis=1), logits, known)
    ranks = label_ranks(labels, logits, known)
    mistakes = worst_mistakes(predictions.labels, logits, MISTAKES)
    return ClassificationReport(
        count=len(known),
        total=predictions.total or len(predictions.labels),
        scores=_scores(labels, guesses, ranks, num_classes, seed),
        class_names=predictions.class_names,
        classes=class_counts(labels, guesses, num_classes),
        confusions=count_confusions(labels, guesses, num_classes),
        calibration=_calibrate(labels, logits, known, seed),
        mistakes=mistakes,
        mistake_ids=[predictions.ids[mistake.index] for mistake in mistakes],
    )


def _scores(
    labels: np.ndarray,
    guesses: np.ndarray,
    ranks: np.ndarray,
    num_classes: int,
    seed: int,
) -> dict[str, Interval]:
    hits = {"top_1": ranks < 1}
    if has_top_5(num_classes):
        hits["top_5"] = ranks < 5

    def measure(drawn: np.ndarray) -> list[float]:
        counts = class_counts(labels[drawn], guesses[drawn], num_classes)
        return [macro_f1(counts), cohen_kappa(counts)]

    f1, kappa = bootstrap_intervals(measure, len(labels), seed=seed)
    shares = {
        name: wilson_interval(int(np.sum(hit)), len(labels))
        for name, hit in hits.items()
    }
    return {**shares, "macro_f1": f1, "cohen_kappa": kappa}


def _calibrate(
    labels: np.ndarray, logits: np.ndarray, known: np.ndarray, seed: int
) -> Calibration | None:
    half = len(labels) // 2
    if not half:
        return None
    order = np.random.default_rng(seed).permutation(len(labels))
    fit, rest = order[:half], order[half:]
    temperature = fit_temperature(labels[fit], logits, known[fit])
    return Calibration(
        temperature=temperature,
        before=reliability(labels[rest], logits, rows=known[rest]),
        after=reliability(
            labels[rest], logits, rows=known[rest], temperature=temperature
        ),
        fitted_on=half,
        measured_on=len(rest),
    )
