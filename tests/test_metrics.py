"""A metric is declared once: name, chart, chance, and how it is counted."""

import dataclasses
import math

import pytest
from small_job import small_job
from tiny_network import tiny_network

from tf_simclr.config.methods import METHODS, MethodEntry
from tf_simclr.methods.distill import Distillation
from tf_simclr.methods.registry import metrics_of
from tf_simclr.methods.simclr import CONTRAST_LOSS, SimCLR
from tf_simclr.metrics import (
    BEST_BY,
    CHANCE,
    EVALUATION,
    GRADIENT_NORM,
    KNN,
    LEARNING_RATE,
    LOSS_SCALE,
    NEIGHBOURS,
    RUNS,
    TOP_1,
    Chart,
    Metric,
    chance_charts,
    chart_of,
    counts,
    declare,
    metric_named,
)
from tf_simclr.training.run_record import RunRecord

TEN = range(10)


def metrics(name: str) -> tuple[Metric, ...]:
    entry: MethodEntry = METHODS[name]
    return metrics_of(RunRecord(stage=entry.stage, config={"method": name}))


def test_a_name_belongs_to_one_metric():
    # A module that is read twice declares twice.
    assert declare(dataclasses.replace(TOP_1)) == TOP_1
    for change in ({"title": "another"}, {"chart": Chart("", "mine")}):
        other = dataclasses.replace(TOP_1, **change)
        with pytest.raises(ValueError, match="Two metrics have the name 'eval"):
            declare(other)
    assert metric_named(TOP_1.name) is TOP_1


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_measures_is_declared(name):
    found = metrics(name)
    assert len({metric.name for metric in found}) == len(found)
    for metric in found:
        assert metric_named(metric.name) == metric
        assert metric.chart.run in RUNS
        assert not metric.counted_by or metric.counted_by in {
            other.name for other in found
        }
        assert ("{chance" in metric.progress) <= (metric.chance is not None)
        assert metric.name.startswith("eval/") == (metric.split == "eval")


@pytest.mark.parametrize("name", METHODS)
def test_curves_of_a_run_have_charts_of_their_own(name):
    charts = [metric.chart for metric in metrics(name)]
    charts += [m.chart for m in (LEARNING_RATE, GRADIENT_NORM, LOSS_SCALE)]
    assert len(set(charts)) == len(charts)


def test_one_chart_holds_the_accuracies_of_all_splits():
    tag = "accuracy/top_1"
    assert chart_of("supervised_acc") == Chart("", tag)
    assert chart_of(TOP_1.name) == Chart(EVALUATION, tag)
    assert chart_of(KNN.name) == Chart(NEIGHBOURS, tag)
    assert BEST_BY == (KNN, TOP_1) and CHANCE in RUNS


@pytest.mark.parametrize(
    "name, chart, split",
    [
        ("my_loss", Chart("", "train/my_loss"), "train"),
        ("similarity/mine", Chart("", "similarity/mine"), "train"),
        ("eval/mine", Chart(EVALUATION, "eval/mine"), "eval"),
    ],
)
def test_a_metric_that_nobody_declared_is_drawn_by_its_name(name, chart, split):
    found = metric_named(name)
    assert (found.chart, found.split, found.title) == (chart, split, "")


@pytest.mark.parametrize(
    "config", [{"method": "no_such_module:Mine"}, {"method": None}, {}]
)
def test_a_record_that_names_no_known_method_has_those_of_its_stage(config):
    found = metrics_of(RunRecord(stage="pretrain", config=config))
    assert found == metrics("simclr")


def test_chance_of_a_method_that_knows_its_batch_and_classes():
    contrastive = {
        "contrast_loss": math.log(2 * 16 - 1),
        "contrast_acc": 1 / 16,
        "contrast_entropy": math.log(16),
    }
    classes = {
        "supervised_loss": math.log(10),
        "supervised_acc": 0.1,
        "eval/label_top_1_accuracy": 0.1,
        "eval/label_top_5_accuracy": 0.5,
    }
    batch = {"train_batch_size": 16}
    job = small_job(
        tiny_network(classes=10), labels=TEN, classes=10, optimizer=batch
    )
    assert SimCLR(job).chance() == pytest.approx(contrastive | classes)
    without = small_job(tiny_network(), optimizer=batch)
    assert SimCLR(without).chance() == pytest.approx(contrastive)


def test_chance_of_a_student_weighs_its_terms():
    job = small_job(
        tiny_network(),
        tiny_network(),
        stage="distill",
        labels=[0, 1, 2],
        teacher=tiny_network(),
        objective={
            "distillation_alpha": 0.75,
            "distillation_temperature": 2.0,
            "distillation_temperature_squared": True,
        },
    )
    # Five guesses of three classes cannot be wrong.
    assert Distillation(job).chance() == pytest.approx(
        {
            "distillation_loss": 0.75 * 4.0 * math.log(3),
            "supervised_loss": 0.25 * math.log(3),
            "supervised_acc": 1 / 3,
            "eval/label_top_1_accuracy": 1 / 3,
        }
    )


def test_levels_lie_in_the_charts_of_their_curves():
    levels = {TOP_1.name: 0.1, "contrast_loss": 3.0, "mine": 1.0}
    assert chance_charts(levels) == {
        "accuracy/top_1": 0.1,
        "loss/contrastive": 3.0,
        "train/mine": 1.0,
    }


def test_what_is_a_sum_names_its_count():
    image = Metric("images", Chart("", "train/images"))
    loss = Metric("loss", Chart("", "loss/mine"), counted_by="images")
    assert counts([image, loss]) == {"loss": "images"}
    assert counts([image, loss.uncounted()]) == {}
    assert loss.counted_by == "images"


def test_a_progress_line_shows_value_and_chance():
    assert CONTRAST_LOSS.shown(2.0, 3.4339) == "loss 2.000 (chance 3.434)"
    assert Metric("x", Chart("", "x"), progress="x {value:.1%}").shown(0.5) == (
        "x 50.0%"
    )
