"""Contents and size of the TensorBoard files."""

import json
import math
import types

import event_files
import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.config import TrainConfig
from tf_simclr.errors import UserError
from tf_simclr.metrics import chart_of
from tf_simclr.optimizers.schedule import SchedulePlan
from tf_simclr.training import profiler
from tf_simclr.training import tensorboard as writer
from tf_simclr.training.pictures import (
    SHOWN,
    SIDE,
    EmbeddingWatch,
    write_final_evaluation,
)
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.training.tensorboard import memory_in_use

MEGABYTE = 2**20
BATCH = 256
# Levels of chance of pretraining with labels of ten classes.
CONTRASTIVE_CHANCE = {
    "contrast_loss": math.log(2 * BATCH - 1),
    "contrast_acc": 1.0 / BATCH,
    "contrast_entropy": math.log(BATCH),
}
CHANCE = {
    **CONTRASTIVE_CHANCE,
    "supervised_loss": math.log(10),
    "supervised_acc": 0.1,
    "eval/label_top_1_accuracy": 0.1,
    "eval/label_top_5_accuracy": 0.5,
}
METRICS = {
    **CONTRASTIVE_CHANCE,
    "total_loss": 5.123456789,
    "weight_decay": 0.1,
    "supervised_loss": 2.3,
    "supervised_acc": 0.5,
    "learning_rate": 0.3,
}
SCORES = {
    "eval/label_top_1_accuracy": 0.7,
    "eval/label_top_5_accuracy": 0.9,
    "eval/knn_top_1_accuracy": 0.6,
}
PARTS = ("stem", "block_group1", "block_group2", "block_group3")
PARTS += ("block_group4", "projection_head", "classifier")


class Probe:
    """As large as a real one of a ResNet with 128-d projections."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self._views = rng.normal(size=(2, 64, 128)).astype("float32")

    def aim(self, steps):
        pass

    def gradients(self):
        kinds = ("gradient_norm", "trust_ratio")
        return {f"{kind}/{part}": 0.5 for kind in kinds for part in PARTS}

    def embeddings(self):
        return self._views, np.arange(128.0).reshape(64, 2)


class Noise:
    """Training batches that no PNG can shrink."""

    view_names = ("view1", "view2")
    images = range(1000)
    views = staticmethod(dict)

    def sample(self, count, batch_size, steps):
        rng = np.random.default_rng(0)
        views = rng.random((2, count, 224, 224, 3), dtype=np.float32)
        return {"view1": views[0], "view2": views[1]}


def summaries_of(folder, total_steps, **kwargs) -> writer.Summaries:
    task = types.SimpleNamespace(
        probe=Probe(),
        batches=Noise(),
        batch_size=BATCH,
        num_micro_batches=1,
        method=types.SimpleNamespace(chance=lambda: CHANCE),
    )
    plan = SchedulePlan(0.1, "", 0, total_steps)
    folder.mkdir(exist_ok=True)
    return writer.Summaries(task, plan, RunDirectory(str(folder)), **kwargs)


def test_event_files_of_a_long_run_stay_small(tmp_path):
    """A 100-epoch run on ImageNet at batch 256: 500,000 steps, a line of
    metrics every 50. Written are some of the points, so that the bytes of
    all that may be written follow."""
    points, histograms = 40, 4
    total, sizes = 500_000, []
    for most_histograms in (0.5, histograms):
        folder = tmp_path / str(most_histograms)
        with summaries_of(
            folder,
            total,
            first_step=0,
            most_points=points,
            most_histograms=most_histograms,
        ) as summaries:
            summaries.flush()
            start = event_files.size(folder)
            for step in range(50, total + 1, 50):
                summaries.stepped(50, 10.0, 1.0)
                summaries.train(step, METRICS)
            for step in range(0, total, total // 100):
                summaries.evaluation(step, SCORES)
        sizes.append(event_files.size(folder) - start)
    written = len(event_files.read(folder)["loss/total"])
    assert points <= written <= points + 1
    histograms_cost = (sizes[1] - sizes[0]) / (histograms - 1)
    bound = start + sizes[0] / points * writer.MOST_POINTS
    bound += histograms_cost * writer.MOST_HISTOGRAMS
    pictures = {"confusion": 300_000, "reliability": 60_000, "mistakes": 10**6}
    bound += sum(pictures.values())
    assert bound < 15 * MEGABYTE
    # The grid of views is most of what a start writes.
    assert start < 2 * SHOWN * SIDE**2 * 3 * 1.1


def test_chance_shares_the_charts_of_the_curves(tmp_path):
    with summaries_of(tmp_path, 10, first_step=0) as summaries:
        for step in (5, 10):
            summaries.train(step, METRICS)
        summaries.evaluation(10, SCORES)
    curves, chance, evaluation, knn = (
        event_files.read(tmp_path / run)
        for run in (".", "chance", "evaluation", "knn")
    )
    for metric, level in CONTRASTIVE_CHANCE.items():
        tag = chart_of(metric).tag
        assert tag in curves
        assert chance[tag] == [
            (5, pytest.approx(level)),
            (10, pytest.approx(level)),
        ]
    assert set(evaluation) == {"accuracy/top_1", "accuracy/top_5"}
    assert set(knn) == {"accuracy/top_1"}
    assert chance["accuracy/top_5"] == [(10, 0.5)]
    # No level without a curve.
    assert set(chance) <= set(curves) | set(evaluation)


def test_an_evaluation_in_the_next_process_repeats_no_level(tmp_path):
    with summaries_of(tmp_path, 10, first_step=0) as summaries:
        summaries.train(5, METRICS)
    with summaries_of(tmp_path, 10, first_step=5) as summaries:
        summaries.continues(5, list(METRICS))
        summaries.evaluation(5, SCORES)
    chance = event_files.read(tmp_path / "chance")
    assert {tag: len(found) for tag, found in chance.items()} == dict.fromkeys(
        chance, 1
    )
    assert "accuracy/top_5" in chance


def test_speed_is_that_of_the_steps_after_tracing(tmp_path):
    with summaries_of(tmp_path, 10, first_step=0) as summaries:
        summaries.stepped(1, 60.0, 0.0)
        summaries.stepped(4, 2.0, 0.5)
        summaries.stepped(5, 2.0, 0.5)
        summaries.train(10, METRICS)
    found = event_files.read(tmp_path)
    assert found["speed/images_per_second"] == [(10, 9 * BATCH / 4)]
    assert found["speed/input_wait"] == [(10, 0.25)]
    assert 0.05 < found["memory/resident_gib"][0][1] < 100


def test_a_run_that_continues_draws_its_views_once(tmp_path):
    for first_step in (0, 5):
        with summaries_of(tmp_path, 10, first_step=first_step):
            pass
    assert len(event_files.read(tmp_path)["views"]) == 1


def test_memory_is_measured():
    assert memory_in_use()["memory/resident_gib"] > 0.05


def test_a_collapse_is_told_once_and_not_at_the_start(capsys):
    watch = EmbeddingWatch(SchedulePlan(0.1, "", 20, 100))
    same = np.ones((32, 16))
    with tf.summary.create_noop_writer().as_default():
        watch.write(10, same, same)
        assert capsys.readouterr().out == ""
        for step in (30, 40):
            watch.write(step, same, same)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Collapse at step 30")
    assert "alarm below 0.1" in lines[0]


def test_healthy_and_broken_embeddings_raise_no_alarm(capsys):
    watch = EmbeddingWatch(SchedulePlan(0.1, "", 0, 100))
    healthy = np.random.default_rng(0).normal(size=(32, 16))
    with tf.summary.create_noop_writer().as_default():
        watch.write(50, healthy, healthy)
        watch.write(60, healthy, np.full((32, 16), np.nan))
    assert capsys.readouterr().out == ""


def test_final_scores_pictures_and_card(tmp_path):
    png = tf.io.encode_png(tf.zeros([4, 4, 3], tf.uint8)).numpy()
    write_final_evaluation(
        str(tmp_path),
        9,
        {"global_step": 9.0, **SCORES},
        CHANCE,
        {"confusion": png},
        "| a | b |",
    )
    found = event_files.read(tmp_path / "evaluation")
    assert found["accuracy/top_1"] == [(9, pytest.approx(0.7))]
    assert {"confusion", "card"} <= set(found)
    chance = event_files.read(tmp_path / "chance")
    assert chance["accuracy/top_5"] == [(9, 0.5)]
    assert not list(tmp_path.glob("events*"))


@pytest.mark.parametrize("text", ["5", "5,5", "7,5", "a,b", "-1,4", "1,2,3"])
def test_profiled_steps_that_cannot_be(text):
    with pytest.raises(UserError, match="--profile_steps is written as"):
        TrainConfig(profile_steps=text)


def test_the_profiler_meets_its_steps(tmp_path, monkeypatch):
    calls = []
    for name in ("start", "stop"):
        monkeypatch.setattr(
            tf.profiler.experimental,
            name,
            lambda *_, name=name: calls.append((name, step)),
        )
    config = TrainConfig(profile_steps="3,8")
    step = 0
    with profiler.StepProfiler(config, str(tmp_path)) as steps:
        while step < 20:
            steps.at(step)
            step += int(min(4, steps.room(step)))
    assert calls == [("start", 3), ("stop", 8)]
    calls.clear()
    step = 0
    with profiler.StepProfiler(TrainConfig(), str(tmp_path)) as steps:
        assert steps.room(0) == float("inf")
        steps.at(0)
    assert not calls


def test_hyperparameters_have_the_same_columns_for_every_stage():
    from tf_simclr.config import Config, ModelConfig
    from tf_simclr.config.flat import to_flat
    from tf_simclr.models.network import Architecture
    from tf_simclr.training.hparams import hyperparameters
    from tf_simclr.training.run_record import RunRecord

    record = RunRecord(
        config=to_flat(Config()),
        stage="pretrain",
        architecture=Architecture.for_pretraining(
            ModelConfig(resnet_depth=18), 8, 0
        ),
    )
    columns = hyperparameters(record)
    assert columns["stage"] == "pretrain" and columns["depth"] == 18
    kinds = (bool, int, float, str)
    assert all(isinstance(value, kinds) for value in columns.values())
    json.dumps(columns)
