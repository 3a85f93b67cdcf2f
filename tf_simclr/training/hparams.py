"""The charts of TensorBoard, and its HParams tab.

Curves that belong together carry one name in several TensorBoard runs, so
that they share a chart: those of training lie in the run's own directory,
those of the evaluation split, of the nearest neighbours and the chance levels
in sub-directories.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from tf_simclr.config.flat import options
from tf_simclr.training.run_record import RunRecord

EVALUATION, NEIGHBOURS, CHANCE = "evaluation", "knn", "chance"
# Sub-directories of a run that hold event files; '' for the run itself.
RUNS = ("", EVALUATION, NEIGHBOURS, CHANCE)


class Chart(NamedTuple):
    """Where a metric is drawn.

    Attributes:
      run: sub-directory of the run; '' for the run itself.
      tag: name of the chart, GROUP/NAME.
    """

    run: str
    tag: str


_CHARTS = {
    "total_loss": Chart("", "loss/total"),
    "contrast_loss": Chart("", "loss/contrastive"),
    "supervised_loss": Chart("", "loss/supervised"),
    "distillation_loss": Chart("", "loss/distillation"),
    "weight_decay": Chart("", "loss/weight_decay"),
    "contrast_acc": Chart("", "accuracy/contrastive"),
    "supervised_acc": Chart("", "accuracy/top_1"),
    "contrast_entropy": Chart("", "similarity/entropy"),
    "gradient_norm": Chart("", "gradient_norm/all"),
    "learning_rate": Chart("", "learning_rate"),
    "eval/label_top_1_accuracy": Chart(EVALUATION, "accuracy/top_1"),
    "eval/label_top_5_accuracy": Chart(EVALUATION, "accuracy/top_5"),
    "eval/knn_top_1_accuracy": Chart(NEIGHBOURS, "accuracy/top_1"),
}


def chart_of(metric: str) -> Chart:
    """The chart of a metric of `metrics.jsonl`."""
    if metric in _CHARTS:
        return _CHARTS[metric]
    if metric.startswith("eval/"):
        return Chart(EVALUATION, metric)
    return Chart("", metric if "/" in metric else f"train/{metric}")


def chance_levels(chance: Mapping[str, float]) -> dict[str, float]:
    """The levels of charts, {tag: value}, of {metric: value}."""
    return {chart_of(metric).tag: value for metric, value in chance.items()}


_SCORES = {
    "eval/label_top_1_accuracy": "top-1 accuracy",
    "eval/label_top_5_accuracy": "top-5 accuracy",
    "eval/knn_top_1_accuracy": "k-NN accuracy",
}


def hyperparameters(record: RunRecord) -> dict[str, Any]:
    """The columns of a run, which are those of every run.

    What a flag describes is taken from the architecture: a run that starts
    from weights has theirs.
    """
    architecture = record.architecture.to_json()
    columns = {"stage": record.stage}
    for option in options():
        name, described = option.field.name, option.role["describes"]
        if option.role["hparam"] and described:
            columns[described] = architecture.get(described)
        elif option.role["hparam"]:
            columns[name] = record.config.get(name)
    return {
        name: "" if value is None else value for name, value in columns.items()
    }


def write_hyperparameters(record: RunRecord, name: str) -> None:
    """Writes a run's row, with the default writer.

    Args:
      record: that of the run.
      name: of the row.
    """
    from tensorboard.plugins.hparams import api

    columns = hyperparameters(record)
    metrics = [
        api.Metric(chart_of(score).tag, chart_of(score).run, title)
        for score, title in _SCORES.items()
    ]
    api.hparams_config([api.HParam(column) for column in columns], metrics)
    api.hparams(columns, trial_id=name)


def write_session_end() -> None:
    """Marks the run as ended, with the default writer."""
    from tensorboard.plugins.hparams import api_pb2, summary

    end = summary.session_end_pb(api_pb2.STATUS_SUCCESS)
    tf.summary.experimental.write_raw_pb(end.SerializeToString(), step=0)
