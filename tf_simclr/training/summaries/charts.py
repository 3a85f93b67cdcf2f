"""The charts of TensorBoard: which metric is drawn where.

Curves that belong together carry one name in several TensorBoard runs, so
that they share a chart: those of training lie in the run's own directory,
those of the evaluation split, of the nearest neighbours and the chance levels
in sub-directories.
"""

from collections.abc import Mapping
from typing import NamedTuple

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
