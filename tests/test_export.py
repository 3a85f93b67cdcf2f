"""The exported SavedModel, in a process that does not have this package."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_simclr.models.network import Architecture, build_network
from tf_simclr.weights.export import export_saved_model

ARCHITECTURE = Architecture(
    depth=50,
    width_multiplier=0.03,
    sk_ratio=0.0625,
    se_ratio=0.0,
    cifar_stem=True,
    head_layers=3,
    kept_head_layers=1,
    projection_dim=16,
    num_classes=3,
    classifier_layer=1,
)

USER = """
import sys
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
module = tf.saved_model.load(folder + "/7")
images = tf.constant(np.load(folder + "/images.npy"))
outputs = module(images, training=False)
np.save(folder + "/logits.npy", outputs["logits_sup"])
served = module.signatures["serving_default"](images)
assert np.allclose(served["logits_sup"], outputs["logits_sup"], atol=1e-5)
before = [v.numpy() for v in module.variables]
with tf.GradientTape() as tape:
    outputs = module(images, training=True)
    loss = tf.reduce_mean(outputs["final_avg_pool"] ** 2)
    loss += tf.reduce_mean((outputs["logits_sup"] - 1.0) ** 2)
variables = module.trainable_variables
for variable, gradient in zip(variables, tape.gradient(loss, variables)):
    assert gradient is not None, variable.name
    variable.assign_sub(0.1 * gradient)
trained = {v.ref() for v in variables}
for variable, value in zip(module.variables, before):
    if variable.ref() not in trained:
        assert not np.array_equal(variable.numpy(), value), variable.name
assert "tf_simclr" not in sys.modules
"""


@pytest.mark.slow
def test_it_computes_and_trains_elsewhere(tmp_path):
    network = build_network(ARCHITECTURE, 16)
    for variable in network.trainable_variables:
        shape = variable.shape
        variable.assign(tf.random.stateless_normal(shape, [1, 2], 0.1, 0.3))
    images = np.random.default_rng(0).random((4, 16, 16, 3), dtype="float32")
    np.save(tmp_path / "images.npy", images)
    export_saved_model(network, 16, str(tmp_path), step=7)
    result = subprocess.run(
        [sys.executable, "-c", USER, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "", "TF_USE_LEGACY_KERAS": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    expected = network(tf.constant(images))["logits_sup"].numpy()
    found = np.load(tmp_path / "logits.npy")
    assert np.allclose(found, expected, atol=1e-5)


def test_only_the_latest_exports_stay(tmp_path):
    architecture = Architecture(**{**vars(ARCHITECTURE), "depth": 18})
    network = build_network(architecture, 8)
    for step in (1, 2):
        path = export_saved_model(network, 8, str(tmp_path), step, keep=1)
    assert pathlib.Path(path).name == "2"
    assert [child.name for child in tmp_path.iterdir()] == ["2"]


@pytest.mark.slow
def test_the_originals_way_ends_with_its_files(tmp_path):
    dataset = tiny.write_npz(tmp_path)
    result = tiny.run(
        "--mode=train_then_eval",
        "--train_mode=finetune",
        "--from_scratch",
        "--variable_schema=(?!global_step)",
        "--use_tpu=False",
        f"--dataset={dataset}",
        "--eval_split=test",
        *tiny.FLAGS,
        f"--model_dir={tmp_path / 'run'}",
    )
    assert result.returncode == 0, result.stderr
    assert "--variable_schema no longer means anything" in result.stdout
    names = {child.name for child in (tmp_path / "run").iterdir()}
    assert {
        "result.json",
        "result_7.json",
        "flags.json",
        "saved_model",
    } <= names
    assert (tmp_path / "run" / "saved_model" / "7").is_dir()
