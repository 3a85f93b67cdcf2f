"""The original's weights load, whatever wrote them, or are refused."""

import dataclasses
import pathlib
import shutil

import golden_figures as golden
import numpy as np
import pytest
import tensorflow as tf
import tiny
from tensorflow.core.protobuf import trackable_object_graph_pb2

from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.data.sources.image_set import image_set_of_array
from tf_simclr.errors import UserError
from tf_simclr.keras_compat import VALUE_SUFFIX, stored_paths
from tf_simclr.models.momentum import named_variables
from tf_simclr.models.network import build_network
from tf_simclr.modes.execute import run_stage
from tf_simclr.modes.loaded import load_network
from tf_simclr.weights.assign import assign_weights
from tf_simclr.weights.export.model_card import model_card
from tf_simclr.weights.infer import infer_tf1, infer_tf2
from tf_simclr.weights.open import open_weights
from tf_simclr.weights.stored import PREFIX

KINDS = {
    "checkpoint_tf2_r50_w0125_sk": ("forward.npz", "r50_w0125_sk"),
    "savedmodel_r50_w0125_sk": ("forward.npz", "r50_w0125_sk"),
    "checkpoint_tf1_r50_w0125_sk": ("tf1_forward.npz", "tf1_r50_w0125_sk"),
}


def copy_of(name: str, folder: pathlib.Path) -> pathlib.Path:
    path = folder / name
    shutil.copytree(golden.FOLDER / name, path)
    return path


@pytest.mark.parametrize("name", KINDS)
def test_the_originals_formats_give_its_figures(name):
    stored = open_weights(str(golden.FOLDER / name), "checkpoint")
    assert stored.architecture.encoder.depth == 50
    assert stored.architecture.encoder.width_multiplier == 0.125
    network = build_network(stored.architecture, 64)
    report = assign_weights(network, stored, with_classifier=True)
    assert len(report.loaded) == len(named_variables(network))
    assert not report.skipped and not report.fresh
    outputs = network(tf.constant(golden.images(64))).by_name()
    file, prefix = KINDS[name]
    figures = golden.load(file)
    for key in ("final_avg_pool", "proj_head_output", "logits_sup"):
        error = golden.relative_error(outputs[key], figures[f"{prefix}/{key}"])
        assert error < 1e-4, key


@pytest.mark.parametrize("suffix", ["ckpt-7", ""])
def test_a_prefix_is_as_good_as_its_folder(suffix):
    folder = golden.FOLDER / "checkpoint_tf2_r50_w0125_sk"
    stored = open_weights(str(folder / suffix), "checkpoint")
    assert stored.path.endswith("ckpt-7")


@pytest.mark.parametrize(
    "file", ["forward_variables.json", "tf1_variables.json"]
)
def test_architectures_follow_from_names_and_shapes(file):
    infer = infer_tf2 if file.startswith("forward") else infer_tf1
    for name, described in golden.load_json(file).items():
        shapes = {key: tuple(shape) for key, shape in described["variables"]}
        expected = golden.architecture(described["config"])
        found = infer(shapes, 0)
        # Ratios are known as far as they change a network.
        assert found.encoder == expected.encoder, name
        assert found.head_layers == expected.head_layers, name
        assert found.num_classes == expected.num_classes, name


def rewritten(folder: pathlib.Path, change) -> str:
    """The golden TF1 checkpoint with `change` applied to its tensors."""
    source = golden.FOLDER / "checkpoint_tf1_r50_w0125_sk" / "model.ckpt-7"
    reader = tf.train.load_checkpoint(str(source))
    tensors = {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
    }
    change(tensors)
    path = str(folder / "model.ckpt-7")
    with tf.Graph().as_default():
        variables = {
            name: tf.compat.v1.Variable(value)
            for name, value in tensors.items()
        }
        saver = tf.compat.v1.train.Saver(variables)
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            saver.save(session, path, write_meta_graph=False)
    return path


NORM = "base_model/batch_normalization_5/gamma"
KERNEL = "base_model/conv2d_9/kernel"


def _rename(tensors):
    tensors[NORM + "_old"] = tensors.pop(NORM)


def _reshape(tensors):
    tensors[KERNEL] = tensors[KERNEL][..., :-1]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda tensors: tensors.pop(NORM), f"{NORM} is missing"),
        (_rename, f"{NORM} is missing"),
        (_reshape, f"{KERNEL} has shape"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(tmp_path, change, message):
    stored = open_weights(rewritten(tmp_path, change), "checkpoint")
    network = build_network(stored.architecture, 64)
    before = [variable.numpy() for variable in network.variables]
    with pytest.raises(UserError, match=message):
        assign_weights(network, stored, with_classifier=True)
    for variable, value in zip(network.variables, before, strict=True):
        assert np.array_equal(variable.numpy(), value)


def test_a_selector_beyond_the_stored_head_is_refused():
    folder = golden.FOLDER / "checkpoint_tf2_r50_w0125_sk"
    with pytest.raises(UserError, match="which has 3 layers"):
        open_weights(str(folder), "teacher", classifier_layer=4)


def test_a_file_that_is_no_network_is_refused(tmp_path):
    prefix = tf.train.Checkpoint(x=tf.Variable(1.0)).write(str(tmp_path / "c"))
    with pytest.raises(UserError, match="holds no network"):
        open_weights(prefix, "checkpoint")


def test_sizes_that_weights_do_not_tell_are_said(capsys):
    path = str(golden.FOLDER / "checkpoint_tf2_r50_w0125_sk")
    flags = {"mode": "export", "checkpoint": path, "model_dir": "x"}
    loaded = load_network(from_flat(flags))
    assert "taken for 224x224; name another by" in capsys.readouterr().out
    source = loaded.exportable()
    assert source.image_size == 224
    card = model_card(source, "saved_model")
    assert "of 224x224 pixels; its weights do not tell what" in card
    squares = image_set_of_array(np.zeros((2, 64, 64, 3), np.uint8))
    assert loaded.image_size(squares) == 64
    assert "images of 64x64 stay as they are" in capsys.readouterr().out
    others = image_set_of_array(np.zeros((2, 64, 60, 3), np.uint8))
    assert loaded.image_size(others) == 224
    given = from_flat({**flags, "image_size": 48})
    loaded = load_network(
        dataclasses.replace(given, given=frozenset({"image_size"}))
    )
    assert loaded.exportable().image_size == loaded.image_size(squares) == 48
    assert "taken for" not in capsys.readouterr().out


def test_objects_that_refer_to_their_owners_end():
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    root, network, layer = (graph.nodes.add() for _ in range(3))
    root.children.add(node_id=1, local_name="network")
    network.children.add(node_id=2, local_name="layer")
    network.children.add(node_id=1, local_name="itself")
    network.children.add(node_id=2, local_name="first")
    layer.children.add(node_id=1, local_name="owner")
    layer.attributes.add(name="VALUE", checkpoint_key="variables/3")
    paths = stored_paths(graph.SerializeToString(), lambda path: True)
    assert sorted(paths) == [
        ("network/first", "variables/3"),
        ("network/layer", "variables/3"),
    ]


def test_objects_with_endlessly_many_paths_end():
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    nodes = [graph.nodes.add() for _ in range(60)]
    for index, node in enumerate(nodes[:-1]):
        for name in ("a", "b"):
            node.children.add(node_id=index + 1, local_name=name)
    nodes[-1].attributes.add(name="VALUE", checkpoint_key="x")
    paths = list(stored_paths(graph.SerializeToString(), lambda path: True))
    assert 0 < len(paths) <= 1000


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_embed_reads_the_original_without_any_flag(tmp_path, name):
    dataset = tmp_path / "golden.npz"
    np.savez(dataset, x_train=np.load(golden.FOLDER / "forward_input.npy"))
    result = tiny.run(
        "--mode=embed",
        f"--checkpoint={golden.FOLDER / name}",
        f"--dataset={dataset}",
        f"--model_dir={tmp_path / 'features'}",
    )
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "features" / "features.npz") as features:
        found = dict(features)
    file, prefix = KINDS[name]
    expected = golden.load(file)[f"{prefix}/final_avg_pool"]
    assert golden.relative_error(found["features"], expected) < 1e-4
    assert found["projection"].shape == (16, 128)
    assert found["logits"].shape == (16, 10)
    assert found["ids"].shape == (16,)
    assert found["labels"].tolist() == [-1] * 16


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage, message",
    [
        ("flag", "--resnet_depth contradicts the weights"),
        ("data", "cannot be read"),
        ("index", "cannot be read"),
    ],
)
def test_bad_weights_end_with_one_sentence(tmp_path, damage, message):
    weights = copy_of("checkpoint_tf2_r50_w0125_sk", tmp_path)
    for path in weights.iterdir():
        path.chmod(0o644)
    flags = ["--resnet_depth=101"] if damage == "flag" else []
    if damage != "flag":
        (file,) = weights.glob("*.data*" if damage == "data" else "*.index")
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    result = tiny.run(
        "--mode=finetune",
        "--dataset=digits",
        "--image_size=64",
        f"--checkpoint={weights}",
        "--train_batch_size=8",
        *flags,
        f"--model_dir={tmp_path / 'run'}",
    )
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


def labelled_golden_images(folder: pathlib.Path) -> str:
    path = folder / "labelled.npz"
    images = np.load(golden.FOLDER / "forward_input.npy")
    np.savez(
        path,
        x_train=images,
        y_train=np.arange(16) % 10,
        x_test=images[:4],
        y_test=np.arange(4),
    )
    return str(path)


def original_stage(stage: str, tmp_path: pathlib.Path, text: str) -> None:
    """Runs two steps of a stage on the golden images, in this process."""
    words = "--image_size=64 --train_batch_size=8 --train_steps=2"
    text = f"{words} --warmup_epochs=0 --noexport {text}"
    flags = parse_overrides(text, "flags")
    flags |= {
        "mode": stage,
        "model_dir": str(tmp_path / "run"),
        "dataset": labelled_golden_images(tmp_path),
    }
    run_stage(from_flat(flags))


@pytest.mark.slow
def test_an_original_network_teaches(tmp_path):
    weights = golden.FOLDER / "checkpoint_tf1_r50_w0125_sk"
    original_stage(
        "distill",
        tmp_path,
        f"--teacher={weights} --resnet_depth=18 --width_multiplier=0.05",
    )
    assert (tmp_path / "run" / "result.json").exists()


def test_an_original_network_of_more_classes_is_no_teacher(tmp_path):
    weights = golden.FOLDER / "checkpoint_tf1_r50_w0125_sk"
    images = np.load(golden.FOLDER / "forward_input.npy")
    # Its classes have no names to compare.
    np.savez(tmp_path / "x.npz", x_train=images, y_train=np.arange(16) % 3)
    flags = {
        "mode": "distill",
        "teacher": str(weights),
        "dataset": str(tmp_path / "x.npz"),
        "image_size": 64,
        "train_batch_size": 8,
        "model_dir": str(tmp_path / "run"),
    }
    with pytest.raises(UserError, match=r"know 10 classes, but .* has 3 \(0"):
        run_stage(from_flat(flags))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("keep", [True, False])
def test_a_stored_classifier_is_kept_only_on_request(tmp_path, keep):
    weights = golden.FOLDER / "savedmodel_r50_w0125_sk"
    # The encoder is not differentiated.
    text = f"--checkpoint={weights} --learning_rate=0 --fine_tune_after_block=4"
    original_stage("finetune", tmp_path, text + " --keep_head" * keep)
    stored = open_weights(str(tmp_path / "run"), "checkpoint")
    kernel = stored.read(f"{PREFIX}classifier/dense/kernel{VALUE_SUFFIX}")
    original = open_weights(str(weights), "checkpoint")
    keys = original.keys(["classifier/dense/kernel"], original.architecture)
    expected = original.read(keys["classifier/dense/kernel"])
    assert np.array_equal(kernel, expected) == keep
    assert kernel.any() == keep
