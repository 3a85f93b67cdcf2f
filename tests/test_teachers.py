"""Teachers of any make: they answer as they do elsewhere, by their names."""

import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_simclr import cli
from tf_simclr.errors import UserError
from tf_simclr.methods.base import whole_loss
from tf_simclr.modes.execute import make_task, run_stage
from tf_simclr.modes.prepare import prepare
from tf_simclr.teachers.views import RANGES

pytestmark = pytest.mark.usefixtures("one_block")

SIZE = 12
# A bright channel tells the class; the names are in another order.
NAMES = ("2", "0", "1")
BUILD = """
import numpy as np
def model(size={size}, activation="softmax", scale=20.0):
    inputs = keras.Input((size, size, 3))
    found = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = keras.layers.Dense(3, activation=activation)(found)
    built = keras.Model(inputs, outputs)
    kernel = np.zeros((3, 3))
    kernel[2, 0] = kernel[0, 1] = kernel[1, 2] = scale
    built.layers[-1].set_weights([kernel, np.zeros(3)])
    return built
"""
KERAS_3 = """
model().save("keras3.keras")
model().export("exported")
model(activation=None).save("logits.keras")
model(scale=20.0 / 255).save("to_255.keras")
model(size=None).save("any_size.keras")
model(size=16).save("larger.keras")
"""
KERAS_2 = """
import tf2onnx
built = model()
built.save("keras2.keras")
built.save("keras2.h5")
built.save("saved")
convert = tf2onnx.convert.from_keras
convert(built, output_path="model.onnx")
name = built.inputs[0].name
convert(built, output_path="first.onnx", inputs_as_nchw=[name])
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> pathlib.Path:
    """Files of all kinds that hold the same model, and its names."""
    folder = tmp_path_factory.mktemp("models")
    build = BUILD.format(size=SIZE)
    for keras, save in (("keras", KERAS_3), ("tf_keras", KERAS_2)):
        # Each in a process that has only its own Keras.
        program = f"import {keras} as keras\n{build}\n{save}"
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            cwd=folder,
            capture_output=True,
        )
    for name in ("", "exported", "saved"):
        (folder / name / "labels.txt").write_text("\n".join(NAMES))
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> pathlib.Path:
    """A run of this project, of classes 0, 1, 2 and images of 8 pixels."""
    folder = tmp_path_factory.mktemp("own")
    flags = [*tiny.FLAGS, f"--dataset={tiny.write_npz(folder)}"]
    flags += ["--mode=finetune", "--from_scratch", "--train_epochs=1"]
    run_stage(cli.parse_config(["", *flags, f"--model_dir={folder}/run"]))
    return folder / "run"


@pytest.fixture
def config(tmp_path):
    """A distillation; flags may follow."""
    flags = [*tiny.FLAGS, f"--dataset={tiny.write_npz(tmp_path)}"]
    flags += ["--mode=distill", "--labels_per_class=2"]
    flags += [f"--model_dir={tmp_path}/run"]

    def parsed(*more: str):
        found = cli.parse_config(["run.py", *flags, *more])
        found.check()
        return found

    return parsed


def begun(config):
    """The method, its announcement and a batch."""
    method, job = prepare(config)
    method = method(job)
    pathlib.Path(job.run_dir.path).mkdir(exist_ok=True)
    lines = method.begin()
    return method, lines, make_task(job, method).batches.sample(8, 8, 1)


def answers(batch, size: int = SIZE) -> np.ndarray:
    """Answers of the model to a batch, in the order of the student's classes
    2, 0, 1, which are the teacher's."""
    images = batch["image"]
    if images.shape[1] != size:
        images = tf.image.resize(images, (size, size), antialias=True)
    means = np.mean(images, axis=(1, 2))
    powers = np.exp(20 * means[:, [2, 0, 1]])
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    "name",
    [
        *("keras3.keras", "exported", "keras2.keras", "keras2.h5", "saved"),
        *("model.onnx", "first.onnx"),
    ],
)
def test_files_of_all_kinds_answer_alike(models, config, name):
    method, lines, batch = begun(config(f"--teacher={models}/{name}"))
    assert f"/{name}, on images of 12 pixels in the range 0_1" in (
        "\n".join(method.notes)
    )
    assert lines[0] == "teacher    its answers look like probabilities"
    assert (
        lines[1] == "teacher    right on 100.0% of 6 labelled training images"
    )
    assert method.network.architecture.num_classes == 3
    assert tuple(method.class_names) == NAMES
    # Pixels of the images there are, no more.
    assert batch["image"].shape[1] == 8
    found = method.targets(batch)["teacher_logits"]
    assert np.allclose(tf.nn.softmax(found), answers(batch), atol=1e-4)
    # The labels that the student is scored on are numbered alike.
    labels = method.job.splits.evaluation.labels
    known = [method.class_names[label] for label in labels]
    assert known == [str(place % 3) for place in range(len(labels))]
    loss, _, _ = tf.function(lambda b: whole_loss(method, b))(batch)
    assert np.isfinite(float(loss))


def test_logits_are_told_from_probabilities(models, config):
    teacher = f"--teacher={models}/logits.keras"
    method, lines, batch = begun(config(teacher))
    assert lines[0] == "teacher    its answers look like logits"
    found = tf.nn.softmax(method.targets(batch)["teacher_logits"])
    assert np.allclose(found, answers(batch), atol=1e-4)
    with pytest.raises(UserError, match="no probabilities, with sums from"):
        begun(config(teacher, "--teacher_answers=probabilities"))


def test_a_range_is_what_the_teacher_sees(models, config):
    flags = [f"--teacher={models}/to_255.keras", "--teacher_range=0_255"]
    method, _, batch = begun(config(*flags))
    found = tf.nn.softmax(method.targets(batch)["teacher_logits"])
    assert np.allclose(found, answers(batch), atol=1e-4)


@pytest.mark.parametrize("name", RANGES)
def test_every_range_runs_a_step(models, config, name):
    flags = [f"--teacher={models}/logits.keras", f"--teacher_range={name}"]
    method, _, batch = begun(config(*flags, "--teacher_answers=logits"))
    loss, _, _ = whole_loss(method, batch)
    assert np.isfinite(float(loss))


def test_a_model_for_any_size_takes_the_one_that_is_asked_for(models, config):
    for size, flags in ((8, []), (12, ["--teacher_image_size=12"])):
        teacher = f"--teacher={models}/any_size.keras"
        method, _, batch = begun(config(teacher, *flags))
        assert f"on images of {size} pixels" in "\n".join(method.notes)
        found = tf.nn.softmax(method.targets(batch)["teacher_logits"])
        assert np.allclose(found, answers(batch, size), atol=1e-4)


def test_a_teacher_no_better_than_chance_is_told(models, tmp_path, config):
    # The classes of 24 images are each taken for another one.
    (tmp_path / "names").write_text("0\n1\n2")
    flags = [f"--teacher={models}/keras3.keras", "--labels_per_class=0"]
    flags.append(f"--class_names_file={tmp_path}/names")
    _, lines, _ = begun(config(*flags))
    assert lines[1:] == [
        "teacher    right on 0.0% of 24 labelled training images",
        "teacher    that is no better than chance: are --teacher_range and the"
        " order of its class names right?",
    ]


def test_several_teachers_are_averaged_by_their_names(models, own, config):
    teachers = f"{own},{models}/keras3.keras"
    method, _, batch = begun(config(f"--teacher={teachers}"))
    # The first one's order.
    assert tuple(method.class_names) == ("0", "1", "2")
    own, other = (
        teacher.logits(batch["image"], batch["index"])
        for teacher in method.teachers
    )
    found = tf.nn.softmax(method.targets(batch)["teacher_logits"])
    expected = tf.nn.softmax(own) + tf.gather(
        tf.nn.softmax(other), [1, 2, 0], axis=1
    )
    assert np.allclose(found, expected / 2, atol=1e-5)
    assert "2 teachers, of which the mean is learned" in method.notes[-1]


def table(folder: pathlib.Path, probabilities, ids) -> str:
    path = folder / "targets.csv"
    lines = ["file;2;0;1"]
    for name, row in zip(ids, probabilities, strict=True):
        lines.append(";".join([name, *map(str, row)]))
    path.write_text("\n".join(lines))
    return f"--teacher_targets={path}"


def archive(folder: pathlib.Path, probabilities, ids) -> str:
    path = folder / "targets.npz"
    np.savez(
        path,
        ids=np.array(ids),
        logits=np.log(probabilities),
        classes=np.array(NAMES),
    )
    return f"--teacher_targets={path}"


@pytest.mark.parametrize("write", [table, archive])
def test_answers_of_a_file_go_by_id_and_name(own, config, tmp_path, write):
    _, job = prepare(config(f"--teacher={own}"))
    ids = job.splits.train.ids
    given = np.random.default_rng(0).dirichlet([1, 1, 1], len(ids))
    order = np.random.default_rng(1).permutation(len(ids))
    more = np.concatenate([given[order], [[0.2, 0.5, 0.3]]])
    flag = write(tmp_path, more, [*(ids[place] for place in order), "other"])
    method, lines, batch = begun(config(flag))
    assert not lines
    assert tuple(method.class_names) == NAMES
    assert "of each image, one for all of its crops" in "\n".join(method.notes)
    found = tf.nn.softmax(method.targets(batch)["teacher_logits"])
    assert np.allclose(found, given[batch["index"].numpy()], atol=1e-4)


def test_features_alone_make_a_teacher(own, config, tmp_path):
    _, job = prepare(config(f"--teacher={own}"))
    ids = job.splits.train.ids
    features = np.eye(3)[np.arange(24) % 3] * 3
    features += np.random.default_rng(0).normal(size=(24, 3)) * 0.1
    np.savez(
        tmp_path / "f.npz", ids=np.array(ids[::-1]), features=features[::-1]
    )
    flags = ["--teacher=features", f"--features={tmp_path}/f.npz"]
    method, lines, batch = begun(config(*flags))
    assert lines == [
        "teacher    fitted to 6 labels, of which it gives 100.0% back"
    ]
    found = method.targets(batch)["teacher_logits"].numpy()
    assert (
        found.argmax(axis=1).tolist() == (batch["index"] % 3).numpy().tolist()
    )
    # Along the same features labels are carried.
    method, lines, batch = begun(config(*flags, "--propagate_labels=both"))
    assert lines[-1] == (
        f"labels     6 carried along the features of {tmp_path}/f.npz to 24"
        " images (propagated.npz)"
    )
    mean = tf.nn.softmax(method.targets(batch)["teacher_logits"])
    with np.load(tmp_path / "run" / "propagated.npz") as propagated:
        carried = propagated["probabilities"][batch["index"].numpy()]
    expected = (tf.nn.softmax(found) + carried) / 2
    assert np.allclose(mean, expected, atol=1e-4)


def test_a_teacher_of_larger_images_sees_their_detail(models, config, tmp_path):
    """The crops of both are cut at the size of the larger one."""
    images = np.random.default_rng(0).integers(
        0, 256, (24, 20, 20, 3), dtype=np.uint8
    )
    classes = np.arange(24) % 3
    np.savez(
        tmp_path / "large.npz",
        x_train=images,
        y_train=classes,
        x_test=images[:7],
        y_test=classes[:7],
    )
    flags = [f"--teacher={models}/larger.keras"]
    flags.append(f"--dataset={tmp_path}/large.npz")
    method, _, batch = begun(config(*flags))
    assert batch["image"].shape[1] == 16 == method.view_size
    found = tf.nn.softmax(method.targets(batch)["teacher_logits"])
    assert np.allclose(found, answers(batch, 16), atol=1e-4)
    student = tf.image.resize(batch["image"], (8, 8), antialias=True)
    expected = method.network(student, training=True).logits
    assert np.allclose(method.forward(batch)["logits"], expected, atol=1e-4)


@pytest.mark.slow
def test_a_run_with_a_foreign_teacher_ends_and_goes_on(models, config, capsys):
    flags = [f"--teacher={models}/keras3.keras", "--train_epochs=1"]
    run_stage(config(*flags))
    assert "right on 100.0% of 6" in capsys.readouterr().out
    run_stage(config(*flags[:1], "--train_epochs=2"))
    # Another teacher is another run.
    with pytest.raises(UserError, match="sources differs .teacher is"):
        run_stage(config(f"--teacher={models}/saved", "--train_epochs=3"))


@pytest.mark.parametrize(
    "change, message",
    [
        ({}, "does not tell the names of its classes"),
        (
            {"labels.txt": "0\n1\n2\n3"},
            r"answers with shape \(n, 3\), not with one",
        ),
        ({"labels.txt": "0\n1\n1"}, "several classes one name"),
        ({"labels.txt": "0\n1\nx"}, "do not know: 2"),
        ({"labels.txt": ""}, "at least two classes"),
    ],
)
def test_names_are_needed(models, config, tmp_path, change, message):
    shutil.copy(models / "keras3.keras", tmp_path)
    for name, text in change.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        begun(config(f"--teacher={tmp_path}/keras3.keras"))


def test_what_cannot_be_right_is_refused(models, own, config, tmp_path):
    (tmp_path / "bad.keras").write_bytes(b"none")
    (tmp_path / "bad.onnx").write_bytes(b"none")
    shutil.copy(models / "labels.txt", tmp_path)
    for flags, message in [
        ([f"--teacher={own}", "--teacher_range=-1_1"], "this one is .*/run"),
        (
            [f"--teacher={own}", "--teacher_answers=logits"],
            "--teacher_answers is for a teacher of other make",
        ),
        (
            [f"--teacher={own}", f"--class_names_file={tmp_path}/labels.txt"],
            "lists '2' in place 0",
        ),
        ([f"--teacher={tmp_path}/bad.keras"], "cannot be read as a Keras"),
        ([f"--teacher={tmp_path}/bad.onnx"], "cannot be read as an ONNX"),
        (["--teacher=features"], "name their file by --features"),
        (
            [f"--teacher={models}/saved", "--teacher_signature=x"],
            "no signature 'x'.* There are: serving_default",
        ),
        (
            [f"--teacher={models}/exported", "--teacher_output=x"],
            "no output 'x'.* There are: output_0",
        ),
        (
            [f"--teacher={models}/exported", "--teacher_image_size=16"],
            "takes images of 12 pixels: leave --teacher_image_size out",
        ),
        (
            [f"--teacher={models}/exported", "--propagate_labels=both"],
            "does not give: name their file by --features",
        ),
        (
            [f"--teacher={models}/model.onnx", "--jit_compile"],
            "which XLA cannot compile",
        ),
        ([table(tmp_path, np.eye(3), "abc")], "no answer for 24 of the 24"),
        (
            [f"--teacher={own},{tmp_path}/four.keras"],
            "is neither a run directory",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            begun(config(*flags))


def test_teachers_of_other_classes_are_not_averaged(
    models, own, config, tmp_path
):
    shutil.copy(models / "keras3.keras", tmp_path)
    (tmp_path / "labels.txt").write_text("cat\ndog\nemu")
    with pytest.raises(UserError, match="must know the same classes"):
        begun(config(f"--teacher={own},{tmp_path}/keras3.keras"))
