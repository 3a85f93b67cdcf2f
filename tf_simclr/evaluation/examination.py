"""Everything that a classifier's predictions on a labelled split tell."""

import dataclasses

import numpy as np

from tf_simclr.evaluation.bootstrap import Interval, bootstrap_intervals
from tf_simclr.evaluation.calibration import (
    Reliability,
    fit_temperature,
    reliability,
    softmax,
)
from tf_simclr.evaluation.class_scores import (
    ClassCounts,
    class_counts,
    cohen_kappa,
    macro_f1,
)
from tf_simclr.evaluation.confusion import confusion_matrix
from tf_simclr.evaluation.mistakes import Mistake, worst_mistakes
from tf_simclr.evaluation.predictions import Predictions

TOP = 5
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
class Examination:
    """The scores of one classifier on one split.

    Attributes:
      count: labelled images.
      scores: with 95 % bootstrap intervals: `top_1`, `top_5`, `macro_f1`,
        `cohen_kappa`.
      class_names: C names.
      classes: what the scores of each class are made of.
      matrix: int (C, C), see `confusion_matrix`.
      calibration: None where there are fewer than two labelled images.
      mistakes: the worst ones.
      mistake_ids: the names of their images.
    """

    count: int
    scores: dict[str, Interval]
    class_names: tuple[str, ...]
    classes: ClassCounts
    matrix: np.ndarray
    calibration: Calibration | None
    mistakes: list[Mistake]
    mistake_ids: list[str]


def examine(predictions: Predictions, seed: int = SEED) -> Examination:
    """Scores a classifier's predictions.

    Images without a label do not count; one must have one.

    Args:
      predictions: of a whole split.
      seed: of the bootstrap, and of the half that fits the temperature.
    """
    known = np.flatnonzero(predictions.labels >= 0)
    labels = predictions.labels[known]
    logits = predictions.logits[known]
    num_classes = len(predictions.class_names)
    guesses = np.argmax(logits, axis=1)
    mistakes = worst_mistakes(
        predictions.labels, softmax(predictions.logits), MISTAKES
    )
    return Examination(
        count=len(known),
        scores=_scores(labels, logits, seed),
        class_names=predictions.class_names,
        classes=class_counts(labels, guesses, num_classes),
        matrix=confusion_matrix(labels, guesses, num_classes),
        calibration=_calibrate(labels, logits, seed),
        mistakes=mistakes,
        mistake_ids=[predictions.ids[mistake.index] for mistake in mistakes],
    )


def _scores(
    labels: np.ndarray, logits: np.ndarray, seed: int
) -> dict[str, Interval]:
    ranked = np.argsort(-logits, axis=1, kind="stable")[:, :TOP]
    hits = ranked == labels[:, None]
    first, among = hits[:, 0], hits.any(axis=1)
    num_classes = logits.shape[1]

    def statistics(drawn: np.ndarray) -> list[float]:
        counts = class_counts(labels[drawn], ranked[drawn, 0], num_classes)
        return [
            np.mean(first[drawn]),
            np.mean(among[drawn]),
            macro_f1(counts),
            cohen_kappa(counts),
        ]

    names = ("top_1", "top_5", "macro_f1", "cohen_kappa")
    found = bootstrap_intervals(statistics, len(labels), seed=seed)
    return dict(zip(names, found, strict=True))


def _calibrate(
    labels: np.ndarray, logits: np.ndarray, seed: int
) -> Calibration | None:
    half = len(labels) // 2
    if not half:
        return None
    order = np.random.default_rng(seed).permutation(len(labels))
    fit, rest = order[:half], order[half:]
    temperature = fit_temperature(labels[fit], logits[fit])
    return Calibration(
        temperature=temperature,
        before=reliability(labels[rest], logits[rest]),
        after=reliability(labels[rest], logits[rest] / temperature),
        fitted_on=half,
        measured_on=len(rest),
    )
