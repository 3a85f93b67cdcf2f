"""The charts of TensorBoard, and its HParams tab.

Curves that belong together carry one name in several TensorBoard runs, so
that they share a chart: those of training lie in the run's own directory,
those of the evaluation split, of the nearest neighbours and the chance levels
in sub-directories.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

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


# Besides the stage; every run writes the same columns.
_ARCHITECTURE = ("depth", "width_multiplier", "sk_ratio", "projection_dim")
_OPTIONS = (
    "dataset",
    "image_size",
    "labels_per_class",
    "label_fraction",
    "label_seed",
    "optimizer",
    "learning_rate",
    "learning_rate_scaling",
    "warmup_epochs",
    "weight_decay",
    "momentum",
    "train_batch_size",
    "train_epochs",
    "temperature",
    "distillation_temperature",
    "distillation_alpha",
    "fine_tune_after_block",
    "from_scratch",
    "crop_min_area",
    "color_jitter_strength",
    "precision",
    "seed",
)
_SCORES = {
    "eval/label_top_1_accuracy": "top-1 accuracy",
    "eval/label_top_5_accuracy": "top-5 accuracy",
    "eval/knn_top_1_accuracy": "k-NN accuracy",
}


def hyperparameters(record: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a run, from what its `config.json` holds."""
    columns = {
        "stage": record["stage"],
        **{name: record["architecture"].get(name) for name in _ARCHITECTURE},
        **{name: record["config"].get(name) for name in _OPTIONS},
    }
    return {
        name: "" if value is None else value for name, value in columns.items()
    }


def write_hyperparameters(record: Mapping[str, Any], name: str) -> None:
    """Writes a run's row, with the default writer.

    Args:
      record: what `config.json` holds.
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
