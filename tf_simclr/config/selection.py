"""Choices that the evaluations during a training decide."""

import dataclasses
from typing import Any

from tf_simclr.config.field import TRAINING, Needs, check_fields, option
from tf_simclr.errors import UserError

METRICS = ("auto", "accuracy", "macro_f1", "knn")


def _evaluates(config: Any) -> bool:
    return config.train.eval_every_epochs > 0


_WITHOUT = Needs("without --eval_every_epochs", _evaluates)


@dataclasses.dataclass(frozen=True)
class SelectionConfig:
    """Best checkpoint and early stopping."""

    best_metric: str = option(
        "auto",
        "Score of --eval_every_epochs that the best checkpoint has the"
        " highest of: accuracy or macro_f1 of the classifier, or knn while"
        " pretraining. auto takes knn while pretraining, macro_f1 where one"
        " class has more than 1.5 times the labels or evaluation images of"
        " another, accuracy elsewhere.",
        choices=METRICS,
        on_resume="told",
        read_by=TRAINING,
        needs=_WITHOUT,
    )
    early_stop_evals: int = option(
        0,
        "Early stopping: ends the run after this many evaluations"
        " (--eval_every_epochs) in a row without a new best score; 0 never"
        " does.",
        minimum=0,
        on_resume="told",
        read_by=TRAINING,
        needs=_WITHOUT,
    )
    export_checkpoint: str = option(
        "last",
        "Which checkpoint a stage scores at its end and exports: last, or best,"
        " which later stages take, too, where they are given the run's folder.",
        choices=("last", "best"),
        on_resume="told",
        read_by=TRAINING,
        needs=_WITHOUT,
    )

    def __post_init__(self) -> None:
        check_fields(self)

    def check(self, stage: str, *, evaluates: bool) -> None:
        """Refuses a score that a stage does not have.

        Args:
          stage: pretrain, finetune or distill.
          evaluates: whether `--eval_every_epochs` is set.

        Raises:
          UserError: names the metric.
        """
        if evaluates and self.best_metric == "knn" and stage != "pretrain":
            raise UserError(
                "--best_metric=knn is measured while pretraining only: take"
                f" accuracy or macro_f1. Received: {self.best_metric}"
            )
