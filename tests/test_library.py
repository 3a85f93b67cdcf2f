"""The Python API: what the command line does, as functions and objects."""

import csv
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pictures
import pytest
import tensorflow as tf
import tf_keras as keras
import tiny

import tf_simclr as ts
from tf_simclr import cli
from tf_simclr.config.flat import parse_flags, to_flat
from tf_simclr.methods.pretraining import Pretraining
from tf_simclr.metrics import Chart, Metric, declare
from tf_simclr.modes.execute import make_task
from tf_simclr.modes.prepare import prepare

pytestmark = pytest.mark.usefixtures("one_block")

# `tiny.FLAGS` as keywords.
OPTIONS = {
    "resnet_depth": 18,
    "width_multiplier": 0.05,
    "image_size": 8,
    "proj_out_dim": 16,
    "color_jitter_strength": 0.0,
    "export": False,
    "train_batch_size": 8,
    "train_epochs": 2,
    "warmup_epochs": 0,
    "checkpoint_steps": 2,
}
ADAM = {
    "optimizer": "adam",
    "learning_rate": 0.01,
    "learning_rate_scaling": "none",
}
DISTANCE = declare(
    Metric("distance", Chart("", "loss/distance"), progress="{value:.3f}")
)


class Distance(Pretraining):
    """A method of a user's own."""

    contrast_metrics = (DISTANCE,)
    shown = (DISTANCE,)

    def contrast(self, batch, outputs):
        difference = outputs["projection1"] - outputs["projection2"]
        loss = tf.reduce_mean(difference**2)
        return loss, {DISTANCE.name: loss}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    return tmp_path_factory.mktemp("library")


@pytest.fixture(scope="module")
def images(folder) -> str:
    return tiny.write_npz(folder)


@pytest.fixture(scope="module")
def pretrained(folder, images) -> ts.Result:
    config = ts.Config(
        data=ts.DataConfig(dataset=images, image_size=8),
        model=ts.ModelConfig(resnet_depth=18, width_multiplier=0.05),
    )
    rest = {
        name: value
        for name, value in OPTIONS.items()
        if name not in ("image_size", "resnet_depth", "width_multiplier")
    }
    return ts.pretrain(config, **rest, model_dir=folder / "pretrained")


@pytest.fixture(scope="module")
def finetuned(folder, images, pretrained) -> ts.Result:
    """Long enough to tell the three colors apart; with an export."""
    return ts.finetune(
        dataset=images,
        checkpoint=pretrained.path,
        image_size=8,
        color_jitter_strength=0.0,
        train_batch_size=8,
        train_steps=np.int64(40),
        warmup_epochs=0,
        **ADAM,
        model_dir=folder / "finetuned",
    )


@pytest.fixture
def rows(images) -> np.ndarray:
    with np.load(images) as stored:
        return stored["x_test"]


@pytest.fixture
def files(tmp_path, rows) -> list[pathlib.Path]:
    """`rows` as PNG files, in their order, one in a sub-folder."""
    paths = []
    for index, row in enumerate(rows):
        name = f"{index}.png" if index < len(rows) - 1 else f"more/{index}.png"
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tf.io.encode_png(row).numpy())
        paths.append(path)
    return paths


def test_three_ways_to_a_configuration_are_one(images):
    built = ts.Config(
        run=ts.RunConfig(mode="pretrain", model_dir="here"),
        data=ts.DataConfig(dataset=images, image_size=8),
        augment=ts.AugmentConfig(color_jitter_strength=0.0),
        model=ts.ModelConfig(
            resnet_depth=18, width_multiplier=0.05, proj_out_dim=16
        ),
        optimizer=ts.OptimizerConfig(train_batch_size=8, warmup_epochs=0),
        train=ts.TrainConfig(train_epochs=2, checkpoint_steps=2),
        output=ts.OutputConfig(export=False),
    )
    flags = [f"--dataset={images}", "--mode=pretrain", "--model_dir=here"]
    from_flags = ts.Config.from_flags([*flags, *tiny.FLAGS])
    assert to_flat(built) == to_flat(from_flags)
    # Those at their defaults are only known where they were spelt out.
    assert built.given <= from_flags.given
    assert from_flags.given == {
        *OPTIONS,
        "dataset",
        "mode",
        "model_dir",
    }


def test_keywords_are_the_same_configuration(monkeypatch, images):
    found = []

    def run(config):
        found.append(config)
        return {"global_step": 6.0}

    monkeypatch.setattr("tf_simclr.library.run_stage", run)
    config = ts.Config.from_flags(tiny.FLAGS)
    path = pathlib.Path("here")
    ts.pretrain(config, dataset=images, model_dir=path)
    ts.pretrain(dataset=images, model_dir=path, **OPTIONS)
    # Keywords win, and a mode of the configuration is not read.
    ts.pretrain(
        ts.Config.from_flags([*tiny.FLAGS, "--mode=pipeline"]),
        dataset=images,
        model_dir=path,
        mode="pretrain",
        proj_out_dim=np.int32(16),
    )
    flags = [f"--dataset={images}", "--mode=pretrain", "--model_dir=here"]
    expected = ts.Config.from_flags([*flags, *tiny.FLAGS])
    assert [dataclasses.replace(c, shared=frozenset()) for c in found] == [
        expected
    ] * 3


def test_what_a_flag_file_sets_for_other_modes_is_left_out(
    tmp_path, images, monkeypatch, capsys
):
    monkeypatch.setattr(
        "tf_simclr.library.run_stage", lambda _: {"global_step": 0.0}
    )
    (tmp_path / "shared.cfg").write_text("--distillation_temperature=0.5\n")
    config = parse_flags([f"--flagfile={tmp_path / 'shared.cfg'}"])
    ts.pretrain(config, dataset=images, model_dir=tmp_path / "run")
    assert capsys.readouterr().out == (
        "Without effect on pretraining: --distillation_temperature.\n"
    )


def test_a_result_tells_where_and_how_good(folder, pretrained):
    assert pretrained.path == str(folder / "pretrained")
    stored = json.loads((folder / "pretrained" / "result.json").read_text())
    assert dict(pretrained.metrics) == stored
    assert pretrained.metrics["global_step"] == 7
    assert {"config.json", "metrics.jsonl", "result.json"} <= set(
        pretrained.files
    )
    assert all(map(os.path.exists, pretrained.files.values()))
    assert pretrained.network is pretrained.model.network


def test_the_same_call_returns_the_finished_run(pretrained, images, capsys):
    again = ts.pretrain(dataset=images, model_dir=pretrained.path, **OPTIONS)
    assert again == pretrained
    assert "nothing left to do" in capsys.readouterr().out


def test_suggestions_are_those_of_the_command_line(
    tmp_path, pretrained, images
):
    common = {
        "checkpoint": pretrained.path,
        "dataset": images,
        "ignore_labels": True,
        "label_budget": 5,
    }
    found = ts.suggest(**common, model_dir=tmp_path)
    assert len(found) == 5 and found == ts.suggest(**common, model_dir=tmp_path)
    with open(tmp_path / "to_label.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [x.path for x in found] == [row["path"] for row in rows]
    assert [x.cluster for x in found] == [int(row["cluster"]) for row in rows]
    # What has a label is not chosen again.
    table = "path,label\n" + "".join(f"{x.path},a\n" for x in found)
    (tmp_path / "labels.csv").write_text(table)
    more = ts.suggest(**common, model_dir=tmp_path)
    assert not {x.path for x in found} & {x.path for x in more}
    with pytest.raises(ts.UserError, match="The first argument of suggest is"):
        ts.suggest("photos")


def test_a_run_can_be_started_in_a_thread(tmp_path, images):
    """There, Python takes no signals."""
    found = []

    def run():
        found.append(
            ts.pretrain(
                dataset=images,
                model_dir=tmp_path / "run",
                **{**OPTIONS, "train_epochs": 1},
            )
        )

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found[0].metrics["global_step"] == 4


def test_a_run_its_checkpoint_and_its_export_are_one_network(finetuned, rows):
    run = ts.load(finetuned.path)
    checkpoint = ts.load(f"{finetuned.path}/checkpoints/ckpt-40")
    export = ts.load(pathlib.Path(finetuned.path) / "saved_model" / "40")
    assert run.image_size == checkpoint.image_size == export.image_size == 8
    assert run.classes == checkpoint.classes == export.classes
    assert repr(run).endswith("ckpt-40', image_size=8, classes=3)")
    features = run.embed(rows)
    assert features.shape[0] == 7 and features.dtype == np.float32
    np.testing.assert_array_equal(checkpoint.embed(rows), features)
    np.testing.assert_array_equal(export.embed(rows), features)


def test_an_output_of_the_head_is_there_where_the_head_is(pretrained, rows):
    model = pretrained.model
    network = model.network(rows / np.float32(255), training=False)
    np.testing.assert_allclose(
        model.embed(rows, "projection"), network.projection, atol=1e-5
    )


def test_images_may_come_in_any_way(finetuned, rows, files, monkeypatch):
    model = finetuned.model
    expected = model.embed(rows)
    network = model.network(rows / np.float32(255), training=False)
    np.testing.assert_allclose(expected, network.features, atol=1e-5)

    def check(images, places=slice(None)):
        np.testing.assert_allclose(
            model.embed(images), expected[places], atol=1e-6
        )

    check(rows / 255.0)
    check((rows / 255.0).astype(np.float32))
    check(tf.constant(rows))
    check(rows[3], [3])
    check(files[3], [3])
    check(str(files[3]), [3])
    check(files)
    check(files[::-1], slice(None, None, -1))
    check(str(path) for path in files)
    # Sorted by name.
    check(files[0].parent)
    monkeypatch.chdir(files[0].parent)
    check(".")
    answers = model.predict("more")
    assert answers.ids == (os.path.join("more", "6.png"),)
    logits = model.embed(rows, "logits")
    np.testing.assert_array_equal(logits, model.predict(rows).logits)


def test_predictions_are_those_of_the_command_line(
    tmp_path, finetuned, rows, files
):
    found = finetuned.model.predict(files[0].parent)
    assert len(found) == 7
    assert found.ids == tuple(map(str, files))
    code = cli.main(
        [
            "run.py",
            "--mode=predict",
            f"--checkpoint={finetuned.path}",
            f"--images={files[0].parent}",
            f"--model_dir={tmp_path / 'predicted'}",
        ]
    )
    assert code == 0
    with open(tmp_path / "predicted" / "predictions.csv") as file:
        lines = [line for line in csv.DictReader(file) if line["class"]]
    assert [line["class"] for line in lines] == list(found.classes)
    np.testing.assert_allclose(
        [float(line["probability"]) for line in lines],
        found.probabilities.max(axis=1),
        atol=2e-6,
    )
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, atol=1e-6)


def test_predictions_are_those_that_were_scored(finetuned, rows):
    truth = [finetuned.model.classes[index % 3] for index in range(len(rows))]
    found = finetuned.model.predict(rows)
    right = np.mean([a == b for a, b in zip(found.classes, truth, strict=True)])
    assert right == finetuned.metrics["eval/label_top_1_accuracy"]
    assert right > 0.9


def test_features_do_not_depend_on_the_batch(finetuned, rows):
    model = ts.load(finetuned.path, eval_batch_size=3)
    features = model.embed(rows)
    np.testing.assert_allclose(features, finetuned.model.embed(rows), atol=1e-6)


def test_evaluate_scores_as_the_run_did(tmp_path, finetuned, images):
    before = sorted(finetuned.files)
    scores = ts.evaluate(finetuned.path)
    assert scores == dict(finetuned.metrics)
    assert sorted(finetuned.files) == before
    scores = ts.evaluate(
        finetuned.path, model_dir=tmp_path / "scored", eval_split="train"
    )
    assert (tmp_path / "scored" / "evaluation.md").exists()
    stored = json.loads((tmp_path / "scored" / "result.json").read_text())
    assert stored == scores


def test_export_writes_what_the_stage_exported(tmp_path, finetuned, rows):
    path = ts.export(finetuned.path, tmp_path / "out", verify_export=False)
    assert path == str(tmp_path / "out" / "saved_model" / "40")
    served = tf.saved_model.load(path).signatures["serving_default"]
    outputs = served(tf.constant(rows / 255.0, tf.float32))
    np.testing.assert_allclose(
        outputs["logits"], finetuned.model.predict(rows).logits, atol=1e-4
    )


@pytest.mark.slow
def test_distillation_and_a_pipeline(tmp_path, finetuned, images, rows):
    student = ts.distill(
        teacher=finetuned.path,
        dataset=images,
        model_dir=tmp_path / "student",
        **OPTIONS,
    )
    assert student.model.classes == finetuned.model.classes
    shared = {
        name: value for name, value in OPTIONS.items() if name != "export"
    }
    whole = ts.pipeline(
        dataset=images,
        model_dir=tmp_path / "pipeline",
        finetune_flags="--train_epochs=1",
        **{**shared, "train_epochs": 1},
    )
    assert {"distill", "report.html", "report.md"} <= set(whole.files)
    assert whole.metrics["distilled_top_1"] is not None
    assert whole.model.path.startswith(str(tmp_path / "pipeline" / "distill"))
    assert len(whole.model.predict(rows)) == 7


def test_a_method_may_be_given_as_a_class(tmp_path, images):
    result = ts.pretrain(
        method=Distance,
        dataset=images,
        model_dir=tmp_path / "run",
        **{**OPTIONS, "train_epochs": 1},
    )
    with open(result.files["metrics.jsonl"]) as file:
        assert "distance" in json.loads(file.readline())
    assert result.model.record.config["method"] == "test_library:Distance"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda path: ts.pretrain(tempratur=0.1, model_dir=path),
            r"There is no option 'tempratur'. Did you mean temperature\?",
        ),
        (lambda path: ts.load(path, xyzzy=1), "no option 'xyzzy'.$"),
        (
            lambda path: ts.pretrain({"dataset": "digits"}),
            r"first argument of pretrain is a Config;.*Received: \{'dataset'",
        ),
        (
            lambda path: ts.pretrain(mode="finetune", model_dir=path),
            "sets mode itself: leave it out. Received: 'finetune'",
        ),
        (
            lambda path: ts.evaluate(path, checkpoint="other"),
            "sets checkpoint itself",
        ),
        (lambda path: ts.load(path, model_dir="x"), "sets model_dir itself"),
        (
            lambda path: ts.load(path, temperature=1.0),
            "--temperature is for pretraining and has no effect",
        ),
        (
            lambda path: ts.finetune(teacher="x", model_dir=path),
            "--teacher is for distillation .*or give --checkpoint",
        ),
        (lambda path: ts.pretrain(dataset="digits"), "--model_dir is missing"),
        (
            lambda path: ts.pretrain(train_epochs="2", model_dir=path),
            "train_epochs must be .*Received: '2'",
        ),
        (
            lambda path: ts.load(f"{path}/none"),
            "none is neither a run directory, nor",
        ),
        (lambda path: ts.load(path), "no checkpoint"),
        (
            lambda path: ts.data.views(
                np.zeros([3, 8, 8, 3], np.uint8), image_size=8, batch_size=4
            ),
            "at most the 3 images there are. Received: 4",
        ),
        (
            lambda path: ts.models.build(image_size=8, resnet_depth=19),
            "resnet_depth",
        ),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, call, message):
    with pytest.raises(ts.UserError, match=message) as caught:
        call(str(tmp_path))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_images_that_cannot_be(tmp_path, finetuned, pretrained, rows):
    model = finetuned.model
    (tmp_path / "empty").mkdir()
    for images, message in (
        (tmp_path / "none.png", "Received: .*none.png"),
        (tmp_path / "empty", "holds no image"),
        ([], "Received: none"),
        (list(rows), "numpy.stack. Received: ndarray"),
        (rows[..., :2], "Received: shape"),
        (rows.astype(np.float32), "floats outside"),
        (rows.astype(np.int64), "Received: int64"),
    ):
        with pytest.raises(ts.UserError, match=message):
            model.embed(images)
    with pytest.raises(ts.UserError, match="outputs are features, logits. Rec"):
        model.embed(rows, "stem")
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    with pytest.raises(ts.DataFailed, match="broken.png is no image of"):
        model.embed([broken])
    unlabelled = dataclasses.replace(pretrained)
    unlabelled.model.classes = ()
    with pytest.raises(ts.UserError, match="learned no classes"):
        unlabelled.model.predict(rows)
    with pytest.raises(
        ts.UserError, match="outputs are features, projection. R"
    ):
        unlabelled.model.embed(rows, "logits")


@pytest.mark.parametrize("source", ["npz", "folder"])
def test_views_are_the_batches_of_a_run(tmp_path, images, source):
    dataset = images
    if source == "folder":
        dataset = str(pictures.write_photos(tmp_path / "photos", {"": 12}))
    flags = [*tiny.FLAGS, "--mode=pretrain", f"--dataset={dataset}"]
    config = ts.Config.from_flags([*flags, f"--model_dir={tmp_path / 'run'}"])
    method, job = prepare(config)
    task = make_task(job, method(job))
    steps = job.plan.total_steps
    expected = list(task.batches.dataset(8, 0, steps))
    found = list(
        ts.data.views(
            dataset,
            image_size=8,
            batch_size=8,
            steps=steps,
            augment=config.augment,
            seed=config.train.seed,
        )
    )
    assert len(found) == steps
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name], name)


def test_equal_images_have_one_index():
    rows = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    rows[3] = rows[1]
    [batch] = ts.data.views(rows, image_size=8, batch_size=4)
    assert sorted(batch["index"].numpy()) == [0, 1, 1, 2]


def test_a_loop_of_ones_own_learns(images):
    keras.utils.set_random_seed(0)
    network = ts.models.build(
        image_size=8, resnet_depth=18, width_multiplier=0.05, proj_out_dim=16
    )
    optimizer = ts.optimizers.LARS(1.0, momentum=0.9, weight_decay=1e-4)
    variables = network.trainable_variables

    @tf.function
    def step(batch):
        both = tf.concat([batch["view1"], batch["view2"]], axis=0)
        with tf.GradientTape() as tape:
            outputs = network(both, training=True)
            first, second = tf.split(outputs.projection, 2)
            loss = ts.losses.nt_xent(
                first, second, temperature=0.5, ids=batch["index"]
            ).loss
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    augment = ts.AugmentConfig(color_jitter_strength=0.0)
    batches = ts.data.views(images, image_size=8, batch_size=8, augment=augment)
    losses = [float(step(batch)) for batch in batches.repeat(10)]
    assert len(losses) == 30
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.2


def test_one_view_without_contrast(images):
    [batch] = ts.data.views(
        images, image_size=8, batch_size=8, steps=1, contrastive=False
    )
    assert set(batch) == {"image", "label", "index"}
    assert batch["image"].shape == (8, 8, 8, 3)


def in_a_new_process(program: str, **environment: str) -> tuple[int, str, str]:
    kept = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**kept, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        cwd=tiny.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_configurations_need_no_tensorflow():
    code, output, errors = in_a_new_process(
        "import sys, tf_simclr as ts;"
        "ts.Config.from_flags(['--dataset=digits']), ts.UserError;"
        "print('tensorflow' in sys.modules, 'pretrain' in dir(ts))"
    )
    assert (code, output) == (0, "False True\n"), errors


def test_all_public_names_exist():
    for name in ts.__all__:
        assert getattr(ts, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'pretain'"):
        ts.pretain  # noqa: B018


@pytest.mark.slow
def test_tensorflow_may_come_first_where_keras_2_is_chosen():
    program = "import tensorflow, tf_simclr as ts; print(ts.load.__name__)"
    code, output, errors = in_a_new_process(program, TF_USE_LEGACY_KERAS="1")
    assert (code, output) == (0, "load\n"), errors
    code, _, errors = in_a_new_process(program)
    assert code == 1
    assert errors.splitlines()[-1].startswith(
        "ImportError: tf_simclr needs Keras 2 (tf_keras): set"
    )


def test_predictions_are_summed_up():
    found = ts.Predictions(
        ids=("a", "b", "c"),
        classes=("dog", "cat", "dog"),
        probabilities=np.zeros((3, 2), np.float32),
        logits=np.zeros((3, 2), np.float32),
    )
    assert repr(found) == "Predictions of 3 images: 2 dog, 1 cat"


def test_user_errors_are_told_shortly(tmp_path):
    with pytest.raises(ts.UserError, match="Did you mean") as error:
        ts.pretrain(dataset="digts", model_dir=tmp_path / "run")
    assert len(error.traceback) == 2
    assert error.value.__suppress_context__
