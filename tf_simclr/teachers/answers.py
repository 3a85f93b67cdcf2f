"""Answers of a classifier of unknown origin: logits or probabilities."""

import numpy as np
import tensorflow as tf

from tf_simclr.errors import UserError
from tf_simclr.losses.mean_of_teachers import logits_of

KINDS = ("auto", "logits", "probabilities")
# Rows of probabilities in half precision add up to 1 as closely.
_TOLERANCE = 1e-2


def kind_of(answers: np.ndarray, asked: str, where: str) -> str:
    """Tells what answers are.

    Args:
      answers: (N, C), of real images.
      asked: a value of `KINDS`.
      where: names their source in messages.

    Returns:
      'logits' or 'probabilities'.

    Raises:
      UserError: they are not what was asked for, or no numbers.
    """
    if not np.all(np.isfinite(answers)):
        raise UserError(
            f"{where} answers with numbers that are not finite: are its size"
            " and --teacher_range right?"
        )
    sums = answers.sum(axis=1)
    distributions = bool(
        np.all(answers >= -_TOLERANCE)
        and np.all(np.abs(sums - 1.0) <= _TOLERANCE)
    )
    if asked == "probabilities" and not distributions:
        raise UserError(
            f"{where} has answers that are no probabilities, with sums from"
            f" {sums.min():.3g} to {sums.max():.3g}: leave"
            " --teacher_answers at auto. Received: probabilities"
        )
    if asked == "auto":
        return "probabilities" if distributions else "logits"
    return asked


def as_logits(answers: tf.Tensor, kind: str | None) -> tf.Tensor:
    """Answers (n, C) as float32 logits (n, C).

    Args:
      answers: (n, C).
      kind: 'logits' or 'probabilities'.

    Raises:
      ValueError: it is not known.
    """
    answers = tf.cast(answers, tf.float32)
    if kind == "probabilities":
        return logits_of(answers)
    if kind != "logits":
        raise ValueError(f"Nobody has told what answers are: {kind}")
    return answers
