"""Metrics, each declared once: name, chart, level of chance.

Curves that belong together carry one name in several TensorBoard runs, so
that they share a chart: those of training lie in the run's own directory,
those of the evaluation split, of the nearest neighbours and the chance levels
in sub-directories.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

EVALUATION, NEIGHBOURS, CHANCE = "evaluation", "knn", "chance"
# Sub-directories of a run that hold event files; '' for the run itself.
RUNS = ("", EVALUATION, NEIGHBOURS, CHANCE)


class Chart(NamedTuple):
    """The place of a metric in TensorBoard.

    Attributes:
      run: sub-directory of the run; '' for the run itself.
      tag: name of the chart, GROUP/NAME.
    """

    run: str
    tag: str


@dataclasses.dataclass(frozen=True)
class Metric:
    """One figure of a run.

    Attributes:
      name: its key in `metrics.jsonl` and `result.json`; scores of the
        evaluation split begin with `eval/`.
      chart: where TensorBoard draws it.
      title: what people call it.
      legend: what the report calls it beside others; '' for the title.
      report: the chart of the report that shows it; '' for none.
      style: CSS class of its curve there.
      progress: how a progress line shows it; {value} and {chance} stand for
        its value and its level of chance.
      chance: from a method, what a network that knows nothing scores; None
        where there is no such level.
      counted_by: the name of the metric that counts what it is a sum of; ''
        for one that is a mean over the steps.
    """

    name: str
    chart: Chart
    title: str = ""
    legend: str = ""
    report: Literal["", "loss", "accuracy"] = ""
    style: str = "c0"
    progress: str = ""
    chance: Callable[[Any], float | None] | None = dataclasses.field(
        default=None, compare=False
    )
    counted_by: str = ""

    @property
    def split(self) -> str:
        """The lines of `metrics.jsonl` that hold it."""
        return "eval" if self.name.startswith("eval/") else "train"

    def uncounted(self) -> "Metric":
        """The metric as a mean over the steps."""
        return dataclasses.replace(self, counted_by="")

    def shown(self, value: float, chance: float | None = None) -> str:
        """Its part of a progress line."""
        return self.progress.format(value=value, chance=chance)


_DECLARED: dict[str, Metric] = {}


def declare(metric: Metric) -> Metric:
    """Makes a metric known by its name.

    Raises:
      ValueError: another metric has this name.
    """
    known = _DECLARED.setdefault(metric.name, metric)
    if known != metric:
        raise ValueError(
            f"Two metrics have the name {metric.name!r}: rename one of them."
            f" Received: {metric} and {known}"
        )
    return metric


def metric_named(name: str) -> Metric:
    """The metric of a key of `metrics.jsonl`; an undeclared one is drawn
    under its key."""
    if name in _DECLARED:
        return _DECLARED[name]
    if name.startswith("eval/"):
        return Metric(name, Chart(EVALUATION, name))
    return Metric(name, Chart("", name if "/" in name else f"train/{name}"))


def chart_of(name: str) -> Chart:
    """The chart of a key of `metrics.jsonl`."""
    return metric_named(name).chart


def chance_charts(chance: Mapping[str, float]) -> dict[str, float]:
    """The levels of charts, {tag: value}, of {metric: value}."""
    return {chart_of(name).tag: value for name, value in chance.items()}


def counts(metrics: Iterable[Metric]) -> dict[str, str]:
    """{metric: the one that counts it} of those that are counted."""
    return {m.name: m.counted_by for m in metrics if m.counted_by}


LEARNING_RATE = declare(
    Metric("learning_rate", Chart("", "learning_rate"), "learning rate")
)
# What each step adds to the metrics of its method.
GRADIENT_NORM = declare(
    Metric("gradient_norm", Chart("", "gradient_norm/all"), "gradient norm")
)
# Where losses are scaled: the factor, and the shares of steps that were
# skipped because their gradients were not finite, and taken.
LOSS_SCALE = declare(
    Metric("loss_scale", Chart("", "train/loss_scale"), "loss scale")
)
SKIPPED_UPDATES = declare(
    Metric("skipped_updates", Chart("", "train/skipped_updates"))
)
TAKEN_UPDATES = declare(
    Metric("taken_updates", Chart("", "train/taken_updates"))
)
# The norm is then that of the steps that were taken.
COUNTED_GRADIENT_NORM = dataclasses.replace(
    GRADIENT_NORM, counted_by=TAKEN_UPDATES.name
)
# Of a pretrained encoder's features.
KNN = declare(
    Metric(
        "eval/knn_top_1_accuracy",
        Chart(NEIGHBOURS, "accuracy/top_1"),
        "k-NN accuracy",
        "eval k-NN",
        report="accuracy",
        style="c3",
    )
)
TOP_1 = declare(
    Metric(
        "eval/label_top_1_accuracy",
        Chart(EVALUATION, "accuracy/top_1"),
        "top-1 accuracy",
        "eval top-1",
        report="accuracy",
        style="c1",
        chance=lambda method: method.guessed(1),
    )
)
TOP_5 = declare(
    Metric(
        "eval/label_top_5_accuracy",
        Chart(EVALUATION, "accuracy/top_5"),
        "top-5 accuracy",
        chance=lambda method: method.guessed(5),
    )
)
MACRO_F1 = declare(
    Metric("eval/macro_f1", Chart(EVALUATION, "accuracy/macro_f1"), "macro-F1")
)
# What the best checkpoint is the best by; the first that was measured.
BEST_BY = (KNN, TOP_1)
