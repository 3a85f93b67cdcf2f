"""TFLite and ONNX: what they compute is what the network computes."""

import importlib.util
import json
import types

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.accuracy import export_formats
from tf_simclr import cli
from tf_simclr.data.batches import evaluation_batches
from tf_simclr.data.sources.arrays import load_digits
from tf_simclr.errors import UserError
from tf_simclr.models.resnet import ARCHITECTURES
from tf_simclr.weights.export.onnx_export import check_onnx
from tf_simclr.weights.export.small_runtimes import check_size

SIZE = 12
TRAINING = [
    "--mode=finetune",
    "--from_scratch",
    "--dataset=digits",
    f"--image_size={SIZE}",
    "--resnet_depth=18",
    "--width_multiplier=0.125",
    "--optimizer=adam",
    "--learning_rate=0.003",
    "--learning_rate_scaling=none",
    "--train_epochs=6",
    "--train_batch_size=64",
    "--warmup_epochs=0",
    "--flip_probability=0",
    "--crop_min_area=0.6",
    "--noexport",
]


@pytest.fixture(scope="module", autouse=True)
def shallow():
    with pytest.MonkeyPatch.context() as patch:
        # One block per group: every kind of layer, sooner converted.
        patch.setitem(ARCHITECTURES, 18, (False, (1, 1, 1, 1)))
        yield


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """(folder, rows): a small classifier of digits in all formats."""
    folder = tmp_path_factory.mktemp("digits")
    assert cli.main(["run.py", *TRAINING, f"--model_dir={folder / 'run'}"]) == 0
    rows = export_formats.compare_formats(
        str(folder / "run"), str(folder / "exported")
    )
    return folder, {row.name: row for row in rows}


@pytest.mark.slow
def test_the_classifier_has_learned(compared):
    folder, rows = compared
    result = json.loads((folder / "run" / "result.json").read_text())
    assert result["eval/label_top_1_accuracy"] > 0.8
    accuracy = rows["saved_model"].accuracy
    assert np.isclose(accuracy, result["eval/label_top_1_accuracy"], atol=3e-3)


@pytest.mark.slow
def test_float_formats_agree_with_the_saved_model(compared):
    _, rows = compared
    assert rows["tflite"].difference < 1e-4
    assert rows["onnx"].difference < 1e-4
    assert rows["tflite_float16"].difference < 0.05


@pytest.mark.slow
def test_int8_keeps_the_accuracy_at_a_fraction_of_the_size(compared):
    folder, rows = compared
    int8 = rows["tflite_int8"]
    assert abs(int8.accuracy - rows["saved_model"].accuracy) <= 0.01
    assert int8.difference > 0
    assert int8.bytes < 0.5 * rows["tflite"].bytes
    exported = folder / "exported"
    assert {path.name for path in exported.iterdir()} == {
        "saved_model",
        "tflite",
        "tflite_float16",
        "tflite_int8",
        "onnx",
    }
    for name in ("tflite_int8", "onnx"):
        (step,) = (exported / name).iterdir()
        assert len((step / "labels.txt").read_text().split()) == 10
        assert "model." in (step / "README.md").read_text()


@pytest.mark.slow
def test_the_runtime_of_devices_agrees(compared):
    from ai_edge_litert.interpreter import Interpreter

    folder, _ = compared
    images = load_digits(SIZE).splits["test"].take(range(5))
    views = next(iter(evaluation_batches(images, 5, SIZE)))["image"].numpy()
    (path,) = (folder / "exported" / "tflite").glob("*/model.tflite")
    runner = Interpreter(str(path)).get_signature_runner("serving_default")
    (export,) = (folder / "exported" / "saved_model").iterdir()
    module = tf.saved_model.load(str(export))
    expected = module(tf.constant(views), training=False)
    found = runner(images=views)
    assert set(found) == {"features", "logits", "probabilities"}
    for name, value in found.items():
        assert np.abs(value - expected[name]).max() < 1e-4, name


def test_missing_packages_are_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "tf2onnx" else find(name),
    )
    with pytest.raises(UserError, match="pip install tf2onnx$"):
        check_onnx()


def test_networks_beyond_one_file_are_refused():
    def source(parameters):
        network = types.SimpleNamespace(count_params=lambda: parameters)
        return types.SimpleNamespace(network=network)

    # ResNet-152 of double width with selective kernels, and of triple width.
    check_size(source(353_000_000), "onnx")
    with pytest.raises(UserError, match="this network takes 3.0 GiB: distill"):
        check_size(source(795_000_000), "onnx")


def test_quantizing_anything_but_tflite_is_refused(capsys):
    flags = ["--mode=export", "--quantize=int8", "--model_dir=x"]
    assert cli.main(["run.py", *flags]) == 2
    assert "add --export_format=tflite" in capsys.readouterr().err
