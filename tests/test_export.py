"""Exports: what a SavedModel computes; whole, or not there."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import venv

import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import Image

from tf_simclr.config import Config
from tf_simclr.config.flat import to_flat
from tf_simclr.data.augment.framing import ORIGINAL_FRAMING, Framing
from tf_simclr.data.augment.policy import evaluation_view
from tf_simclr.data.batches import evaluation_batches
from tf_simclr.data.decoding import AS_ORIGINAL, Decoding
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import FilePixels
from tf_simclr.errors import ExportFailed, UserError
from tf_simclr.evaluation.predict import Predictor
from tf_simclr.models.layers import LayerFactory
from tf_simclr.models.momentum import named_variables
from tf_simclr.models.network import Architecture, build_network
from tf_simclr.models.resnet import ARCHITECTURES, ResNetShape
from tf_simclr.modes.pipeline import _part_config, _parts
from tf_simclr.training.run_record import (
    DatasetRecord,
    LabelsRecord,
    RunRecord,
    read_record,
)
from tf_simclr.weights.assign import assign_weights
from tf_simclr.weights.export.folder import Exportable, ExportFolder
from tf_simclr.weights.export.hub_module import (
    ExportFunctions,
    make_hub_module,
)
from tf_simclr.weights.export.saved_model import export_saved_model
from tf_simclr.weights.export.verify import verify_saved_model
from tf_simclr.weights.open import open_weights

SIZE = 16
NAMES = ("ant", "bee", "cat")
STEP = 7
# One block per group: every kind of layer, a fraction of the time.
BLOCKS = (1, 1, 1, 1)
# Bottlenecks with selective kernels, and a smaller network for the rest.
SELECTIVE = Architecture(
    backbone="resnet",
    encoder=ResNetShape(50, 0.03, sk_ratio=0.0625, cifar_stem=True),
    head_layers=3,
    kept_head_layers=1,
    projection_dim=16,
    num_classes=3,
    classifier_layer=1,
)
SMALL = dataclasses.replace(
    SELECTIVE, encoder=ResNetShape(18, 0.03, cifar_stem=True)
)


@pytest.fixture(scope="module", autouse=True)
def shallow():
    with pytest.MonkeyPatch.context() as patch:
        for depth, bottleneck in ((18, False), (50, True)):
            patch.setitem(ARCHITECTURES, depth, (bottleneck, BLOCKS))
        yield


def exportable(architecture=SMALL, make=None) -> Exportable:
    """A network with weights as they might be after training."""
    network = build_network(architecture, SIZE, make)
    for index, variable in enumerate(network.variables):
        noise = tf.random.stateless_normal(variable.shape, [index, 0])
        scale = 1 / np.sqrt(np.prod(variable.shape[:-1]))
        if variable.shape.rank > 1:
            variable.assign(noise * scale)
        else:
            variable.assign(variable + 0.1 * tf.abs(noise))
    flags = {"image_size": SIZE, "weight_decay": 0.5}
    record = RunRecord(
        stage="finetune",
        architecture=architecture,
        dataset=DatasetRecord(
            name="zoo", train_split="train", train_images=30, class_names=NAMES
        ),
        labels=LabelsRecord(count=12, labels_per_class=4, label_seed=0),
        config={**to_flat(Config()), **flags},
        versions={"tf_simclr": "0"},
    )
    scores = {"global_step": STEP, "eval/label_top_1_accuracy": 0.875}
    return Exportable(network, record, STEP, scores)


@pytest.fixture(scope="module")
def small(two_replicas) -> Exportable:
    """As it comes from a run on two devices in mixed precision."""
    make = LayerFactory(synchronized=True, precision="mixed_bfloat16")
    with two_replicas.scope():
        return exportable(make=make)


def pictures(count: int = 3) -> np.ndarray:
    """Images (count, 20, 27, 3), which are no noise, of no special size."""
    rng = np.random.default_rng(1)
    coarse = rng.random((count, 4, 5, 3), np.float32)
    smooth = tf.image.resize(coarse, [20, 27], "bicubic", antialias=True)
    return np.round(np.clip(smooth, 0, 1) * 255).astype(np.uint8)


# What a user does who has nothing but the export. `exec` runs what README and
# the model card tell him to.
USER = """
import json, pathlib, sys
sys.modules["tf_simclr"] = None  # Whatever imports the package fails.
import numpy as np, tensorflow as tf, tf_keras, tensorflow_hub as hub

export = sys.argv[1]
images = tf.constant(np.load("views.npy"))
photo = open("photo.jpg", "rb").read()
png = open("photo.png", "rb").read()

module = tf.saved_model.load(export)
found = {f"call_{k}": v for k, v in module(images, training=False).items()}
assert np.array_equal(module(images, False)["features"], found["call_features"])
large = tf.constant(np.load("large.npy"))
found["preprocess"] = module.preprocess(large)
as_float = tf.image.convert_image_dtype(large, tf.float32)
served = module.signatures["serving_default"](images=as_float)
found |= {f"served_{k}": v for k, v in served.items()}
files = tf.constant([png, photo])
named = module.signatures["serving_bytes"](image_bytes=files)
found |= {f"bytes_{k}": v for k, v in named.items()}
found["labels"] = open(module.labels.asset_path.numpy()).read().split()
found["decay"] = tf.add_n([loss() for loss in module.regularization_losses])

# Another batch and another size than it was trained on, and its gradients.
with tf.GradientTape() as tape:
    outputs = module(large[:2, :18, :18] / 255, training=True)
    loss = tf.reduce_mean(outputs["logits"] ** 2)
gradients = tape.gradient(loss, module.trainable_variables)
assert all(gradient is not None for gradient in gradients)

# hub.load predicts on the bytes of a JPEG file.
loaded = hub.load(export)
answer = loaded.signatures["serving_bytes"](image_bytes=tf.constant([photo]))
assert answer["class"][0] == named["class"][1]

# hub.KerasLayer trains it.
layer = hub.KerasLayer(export, trainable=True, output_key="logits")
model = tf_keras.Sequential([layer])
model.compile(tf_keras.optimizers.SGD(0.05), tf_keras.losses.
              SparseCategoricalCrossentropy(from_logits=True))
before = [v.numpy() for v in layer.variables]
model.fit(images, np.arange(len(images)) % 3, batch_size=4, epochs=3, verbose=0)
assert model.optimizer.iterations == 3 and len(layer.losses) == 1
for variable, value in zip(layer.variables, before):
    assert not np.array_equal(variable, value), variable.name
found["variables"] = len(layer.variables)
found["trainable"] = len(layer.trainable_variables)
np.savez("found.npz", **{k: np.asarray(v).astype("S") if getattr(v, "dtype", 0)
         == tf.string else v for k, v in found.items()})

for text in json.load(open("snippets.json")):
    exec(text)
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """(source, folder of the photos, views, what the user found)."""
    folder = tmp_path_factory.mktemp("elsewhere")
    source = exportable(SELECTIVE)
    export = export_saved_model(
        source, str(folder / "saved_model"), new_process=True
    )
    large = pictures()
    views = np.concatenate([evaluation_view(large, SIZE)] * 2)[:4]
    np.save(folder / "views.npy", views)
    np.save(folder / "large.npy", large)
    jpeg = tf.io.encode_jpeg(large[1], quality=95)
    (folder / "photo.jpg").write_bytes(jpeg.numpy())
    png = tf.io.encode_png(large[0])
    (folder / "photo.png").write_bytes(png.numpy())
    (folder / "snippets.json").write_text(json.dumps(snippets(export)))
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    environment.pop("PYTHONPATH", None)
    result = subprocess.run(
        [sys.executable, "-c", USER, export],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert "Will likely fail" not in result.stderr
    with np.load(folder / "found.npz") as found:
        return source, folder, views, dict(found)


def snippets(export: str) -> list[str]:
    """The Python code of README, of the page on exports and of the model card,
    for this export."""
    pages = [tiny.ROOT / "README.md", tiny.ROOT / "docs" / "export.md"]
    pages.append(pathlib.Path(export, "README.md"))
    found = [
        code
        for page in pages
        for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
        if "import tf_simclr" not in code
    ]
    assert len(found) >= 3
    return [
        re.sub(
            r'"(PATH_OF_THIS_FOLDER|runs/[^"]*saved_model/[^"]*)"',
            f"'{export}'",
            c,
        )
        for c in found
    ]


@pytest.mark.slow
def test_elsewhere_it_computes_what_the_network_does(elsewhere):
    source, _, views, found = elsewhere
    expected = source.network(tf.constant(views))
    for name, value in expected.by_name().items():
        assert np.allclose(found[f"call_{name}"], value, atol=1e-5), name
    for plain, original in (
        ("features", "final_avg_pool"),
        ("projection", "proj_head_output"),
        ("logits", "logits_sup"),
    ):
        assert np.array_equal(found[f"call_{plain}"], found[f"call_{original}"])
    probabilities = found["call_probabilities"]
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.ptp(probabilities) > 0.01
    names = {name.removeprefix("call_") for name in found}
    groups = {f"block_group{i}" for i in range(1, 5)}
    assert {"proj_head_input", "initial_conv", *groups} <= names


@pytest.mark.slow
def test_elsewhere_files_give_what_the_runs_evaluation_gives(elsewhere):
    source, folder, _, found = elsewhere
    files = ("photo.png", "photo.jpg")
    images = ImageSet(
        name="files",
        pixels=FilePixels(str(folder), files),
        labels=np.zeros(2, np.int32),
        class_names=NAMES,
        ids=files,
    )
    predict = Predictor(
        source.network,
        ["features", "logits"],
        image_size=SIZE,
        batch_size=2,
    )
    expected = predict(images)
    features = expected["features"]
    assert np.abs(found["bytes_features"] - features).max() < 1e-5
    likeliest = np.argmax(expected["logits"], axis=1)
    assert [NAMES[i].encode() for i in likeliest] == list(found["bytes_class"])
    assert np.allclose(
        found["bytes_probability"], found["bytes_probabilities"].max(axis=1)
    )
    assert sorted(found["bytes_top_classes"][0]) == [b"ant", b"bee", b"cat"]
    assert np.abs(found["served_features"][0] - features[0]).max() < 1e-5
    view = evaluation_view(pictures(), SIZE)
    assert np.abs(found["preprocess"] - view).max() < 1e-6
    assert list(found["labels"]) == list(NAMES)


@pytest.mark.slow
def test_elsewhere_it_trains(elsewhere):
    source, _, _, found = elsewhere
    network = source.network
    assert found["variables"] == len(network.variables)
    assert found["trainable"] == len(network.trainable_variables)
    kernels = [v for v in network.trainable_variables if v.shape.rank > 1]
    decay = 0.5 * sum(float(tf.nn.l2_loss(v)) for v in kernels)
    assert np.isclose(found["decay"], decay, rtol=1e-4)


@pytest.mark.parametrize("size", [16, 40])
@pytest.mark.parametrize("shape", [(40, 40), (16, 16), (50, 61)])
def test_the_view_is_that_of_the_evaluation(size, shape):
    functions = ExportFunctions(None, size, ())
    preprocess = tf.function(
        functions.preprocess,
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)],
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, *shape, 3), np.uint8)
    expected = evaluation_view(tf.constant(images), size)
    assert np.abs(preprocess(images) - expected).max() < 1e-6


@pytest.mark.parametrize(
    "how, framing",
    [
        (Decoding("white", 12), Framing("pad")),
        (Decoding("black"), Framing("whole", antialias=True)),
        (Decoding(), Framing("center", antialias=True)),
    ],
)
def test_files_are_shown_as_the_evaluation_shows_them(tmp_path, how, framing):
    """Transparent, of 16 bits, wide and large ones."""
    rng = np.random.default_rng(0)
    clear = rng.integers(0, 256, (30, 70, 4), dtype=np.uint8)
    deep = rng.integers(0, 4096, (40, 40), dtype=np.uint16)
    large = np.kron(clear[..., :3], np.ones((8, 8, 1), np.uint8))
    for number, array in enumerate((clear, deep, large)):
        name = f"{number}.{'jpg' if number == 2 else 'png'}"
        Image.fromarray(array).save(tmp_path / name)
    names = tuple(sorted(os.listdir(tmp_path)))
    labels = np.full(3, -1, np.int32)
    images = ImageSet("x", FilePixels(str(tmp_path), names), labels, (), names)
    images = images.shown(how, framing)
    (batch,) = evaluation_batches(images, 3, SIZE)
    encoded = tf.constant([(tmp_path / name).read_bytes() for name in names])
    found, _ = ExportFunctions(None, SIZE, (), how, framing).decode(encoded)
    assert np.abs(found - batch["image"]).max() < 1e-6
    plain, _ = ExportFunctions(None, SIZE, ()).decode(encoded)
    assert np.abs(found - plain).max(axis=(1, 2, 3)).all()


def test_what_is_no_image_spoils_no_batch(small):
    signatures = make_hub_module(small).signatures
    serve = signatures["serving_bytes"]
    one, two, _ = (tf.io.encode_png(x).numpy() for x in pictures())
    cut = tf.io.encode_jpeg(pictures()[0]).numpy()[:300]
    found = serve(tf.constant([one, b"no image", two, b"", cut]))
    assert found["valid"].numpy().tolist() == [True, False, True, False, False]
    alone = serve(tf.constant([two]))
    assert alone["valid"].numpy().tolist() == [True]
    for name, value in found.items():
        value = value.numpy()
        assert value.shape[0] == 5 and not np.any(value[[1, 3, 4]]), name
        if name not in ("class", "top_classes"):
            assert np.allclose(value[2], alone[name][0], atol=1e-6), name
        else:
            assert np.all(value[2] == alone[name][0].numpy()), name
    none = serve(tf.constant([], tf.string))
    assert {len(value) for value in none.values()} == {0}
    for size in (SIZE, SIZE + 5):
        none = signatures["serving_default"](tf.zeros([0, size, size, 3]))
        assert {len(value) for value in none.values()} == {0}


def test_the_record_says_how_images_are_shown(small):
    """Exports of version 0.1.0 do not: they were decoded as the original
    does."""
    flags = {"alpha": "black", "eval_crop": "pad", "antialias": True}
    before = {k: v for k, v in small.record.config.items() if k not in flags}
    record = dataclasses.replace(small.record, config=before)
    earlier = dataclasses.replace(small, record=record)
    assert earlier.decoding == AS_ORIGINAL
    assert earlier.framing == ORIGINAL_FRAMING
    record = dataclasses.replace(
        small.record,
        config={**small.record.config, **flags},
        dataset=dataclasses.replace(small.record.dataset, bits=12),
    )
    found = dataclasses.replace(small, record=record)
    assert found.decoding == Decoding("black", 12)
    assert found.framing == Framing("pad", antialias=True)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, small) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("exported") / "saved_model"
    return pathlib.Path(export_saved_model(small, str(folder)))


def test_its_folder(exported, small):
    assert exported.name == str(STEP)
    assert [path.name for path in exported.parent.iterdir()] == [str(STEP)]
    names = (exported / "assets" / "labels.txt").read_text()
    assert names == "ant\nbee\ncat\n"
    card = (exported / "README.md").read_text()
    for fact in (
        "ResNet-18",
        "zoo, split train: 30 images",
        "labels used: 12 (4 per class, seed 0)",
        "ant, bee, cat",
        "| eval/label_top_1_accuracy | 0.8750 |",
        "--weight_decay=0.5",
    ):
        assert fact in card, fact
    assert read_record(str(exported)) == small.record


def test_it_can_be_read_back_as_weights(exported, small):
    stored = open_weights(str(exported), "checkpoint")
    assert (stored.step, stored.class_names) == (STEP, NAMES)
    assert stored.scores["eval/label_top_1_accuracy"] == 0.875
    network = build_network(stored.architecture, SIZE)
    report = assign_weights(network, stored, with_classifier=True)
    assert not report.skipped and not report.fresh
    expected = named_variables(small.network)
    for name, variable in named_variables(network).items():
        value = tf.convert_to_tensor(expected[name])
        assert np.array_equal(variable, value), name


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_failing_write_leaves_what_was_there(exported, small, monkeypatch):
    before = contents(exported.parent)

    def broken(trackable, path, **kwargs):
        pathlib.Path(path, "saved_model.pb").write_text("half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", broken)
    with pytest.raises(OSError, match="No space left"):
        export_saved_model(small, str(exported.parent))
    assert contents(exported.parent) == before


def test_an_export_that_computes_something_else_is_not_kept(
    tmp_path, small, monkeypatch
):
    save = tf.saved_model.save

    def wrong(trackable, path, **kwargs):
        bias = trackable.network.classifier.dense.bias
        bias.assign_add(tf.ones_like(bias))
        save(trackable, path, **kwargs)
        bias.assign_sub(tf.ones_like(bias))

    monkeypatch.setattr(tf.saved_model, "save", wrong)
    with pytest.raises(ExportFailed, match="logits.* has a difference of 1"):
        export_saved_model(small, str(tmp_path / "saved_model"))
    assert contents(tmp_path) == {}


KILLED = """
import os, signal, sys
import tf_simclr, tensorflow as tf
import test_export
save = tf.saved_model.save

def cut_off(trackable, path, **kwargs):
    save(trackable, path, **kwargs)
    graph = os.path.join(path, "saved_model.pb")
    os.truncate(graph, os.path.getsize(graph) // 2)
    os.kill(os.getpid(), signal.SIGKILL)

tf.saved_model.save = cut_off
test_export.export_saved_model(test_export.exportable(), sys.argv[1])
"""


@pytest.mark.slow
def test_a_killed_write_leaves_nothing_to_load(small, tmp_path):
    folder = tmp_path / "saved_model"
    paths = [str(tiny.ROOT), str(tiny.ROOT / "tests")]
    result = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == -signal.SIGKILL, result.stderr[-2000:]
    (half,) = folder.iterdir()
    # TensorFlow Serving looks at numbers only.
    assert half.name.startswith(".")
    with pytest.raises(OSError, match="Cannot parse file"):
        tf.saved_model.load(str(half))
    # The next export clears it away.
    with ExportFolder(str(folder), small.record).writing(STEP, {}) as partial:
        assert os.listdir(partial) == []
    assert [path.name for path in folder.iterdir()] == [str(STEP)]


def test_only_the_wanted_number_of_exports_stays(tmp_path, small):
    def write(step, keep):
        folder = ExportFolder(str(tmp_path), small.record, keep)
        with folder.writing(step, small.scores) as partial:
            pathlib.Path(partial, "model").write_text("")

    def steps():
        return sorted(path.name for path in tmp_path.iterdir())

    for step in (1, 2, 3):
        write(step, keep=2)
    assert steps() == ["2", "3"]
    write(4, keep=4)
    assert steps() == ["2", "3", "4"]
    write(3, keep=2)
    assert steps() == ["3", "4"]
    # The one that was asked for stays, whatever its step.
    write(1, keep=1)
    assert steps() == ["1"]


@pytest.mark.parametrize("other", ["foreign", "seed", "model_dir"])
def test_a_folder_in_use_is_refused(tmp_path, small, other):
    used = tmp_path / "5"
    used.mkdir()
    if other == "foreign":
        (used / "saved_model.pb").write_bytes(b"of somebody else")
    else:
        config = {**small.record.config, other: 9}
        record = dataclasses.replace(small.record, config=config)
        (used / "config.json").write_text(json.dumps(record.to_json()))
    before = contents(tmp_path)
    with pytest.raises(UserError, match=f"{used} is in use"):
        export_saved_model(small, str(tmp_path))
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_the_check_finds_tensorflow_wherever_this_process_has_it(
    tmp_path, small, capsys
):
    path = export_saved_model(small, str(tmp_path / "saved_model"))
    venv.create(tmp_path / "bare", with_pip=False)
    module = make_hub_module(small)

    def check(python, path=path):
        verify_saved_model(
            path, module, small.image_size, new_process=True, python=python
        )

    # Its own packages lack TensorFlow, as with PYTHONPATH or modules of a
    # cluster.
    check(str(tmp_path / "bare/bin/python"))
    assert not capsys.readouterr().out
    # No process starts: not the export's fault.
    for python in (str(tmp_path / "none"), "/bin/false"):
        check(python)
        said = capsys.readouterr().out
        assert "is checked in this process, since no other one" in said
    damaged = tmp_path / "damaged"
    shutil.copytree(path, damaged)
    (damaged / "saved_model.pb").write_bytes(b"\xff")
    with pytest.raises(ExportFailed, match="damaged cannot be loaded: "):
        check(sys.executable, str(damaged))


def test_files_of_systems_that_show_folders_are_none_of_ours(tmp_path, small):
    for name in (".DS_Store", "._5", ".directory"):
        (tmp_path / name).write_text("x")
    ExportFolder(str(tmp_path), small.record).check()
    export_saved_model(small, str(tmp_path))
    assert (tmp_path / ".DS_Store").exists()


def test_a_record_that_lacks_what_networks_need_is_refused(tmp_path, small):
    path = export_saved_model(small, str(tmp_path))
    record = pathlib.Path(path, "config.json")
    values = json.loads(record.read_text())
    del values["config"]["image_size"]
    record.write_text(json.dumps(values))
    with pytest.raises(UserError, match="has no 'image_size': it is damaged"):
        open_weights(path, "checkpoint")


def test_a_folder_of_exports_stands_for_its_last(tmp_path, small, capsys):
    export_saved_model(small, str(tmp_path))
    (tmp_path / "9").mkdir()
    stored = open_weights(str(tmp_path), "checkpoint")
    assert stored.path.startswith(str(tmp_path / "7"))
    assert "its export 7 is taken" in capsys.readouterr().out


@pytest.mark.parametrize("flag, fits", [("model_dir", True), ("seed", False)])
def test_exports_of_a_run_stay_its_own_wherever_it_lies(
    tmp_path, small, flag, fits
):
    before = tmp_path / "5"
    before.mkdir()
    config = {**small.record.config, flag: 9}
    record = dataclasses.replace(
        small.record, config=config, labels=LabelsRecord(count=3)
    )
    (before / "config.json").write_text(json.dumps(record.to_json()))
    folder = ExportFolder(str(tmp_path), small.record, in_place=True)
    with (
        contextlib.nullcontext()
        if fits
        else pytest.raises(UserError, match="in use")
    ):
        folder.check()


def test_a_pipeline_exports_its_teacher_and_its_student():
    config = dataclasses.replace(Config())
    config = dataclasses.replace(
        config, run=dataclasses.replace(config.run, model_dir="x")
    )
    exports = {
        part.name
        for part in _parts(config)
        if _part_config(config, part).output.export
    }
    assert exports == {"finetune", "distill"}
