"""Backbones: one registered here, Keras's ConvNeXt, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
import tiny

from tf_simclr import cli
from tf_simclr.config import Config, ModelConfig
from tf_simclr.config.flat import from_flat, to_flat
from tf_simclr.errors import UserError
from tf_simclr.models import registry
from tf_simclr.models.encoder import Encoder, EncoderOutputs
from tf_simclr.models.layers import ConvNorm, LayerFactory
from tf_simclr.models.network import Architecture, build_network
from tf_simclr.training.run_record import DatasetRecord, RunRecord
from tf_simclr.training.step_probe import network_parts
from tf_simclr.weights.export.folder import Exportable
from tf_simclr.weights.export.onnx_export import export_onnx
from tf_simclr.weights.export.tflite_export import export_tflite
from tf_simclr.weights.open import open_weights


@dataclasses.dataclass(frozen=True)
class TinyShape(registry.Shape):
    channels: int = 8

    @classmethod
    def described(cls, model, image_size):
        return cls(round(8 * model.width_multiplier))


class TinyCNN(Encoder):
    """Two convolutions."""

    Shape = TinyShape

    def __init__(self, make, shape):
        super().__init__(make, shape)
        self.first = ConvNorm(make, shape.channels, 3, 2)
        self.second = ConvNorm(make, 2 * shape.channels, 3, 2)
        self.feature_dim = 2 * shape.channels

    def parts(self):
        return {"first": self.first, "second": self.second}

    def encode(self, images, training):
        maps = {"map1": self.first(images, training=training)}
        maps["map2"] = self.second(maps["map1"], training=training)
        pooled = tf.reduce_mean(tf.cast(maps["map2"], tf.float32), [1, 2])
        return EncoderOutputs(pooled, maps)


TINY = registry.Backbone(
    name="tiny_cnn",
    encoder=TinyCNN,
    groups=("first", "second"),
    maps=("map1", "map2"),
    flags={"width_multiplier": "channels"},
)
DATA = ["--dataset=tiny.npz", *tiny.SCHEDULE, "--train_epochs=1"]
DATA += ["--proj_out_dim=8", "--color_jitter_strength=0", "--noexport"]
SIZE = "--image_size=8"


@pytest.fixture
def registered():
    registry.register(TINY)
    yield
    del registry.BACKBONES["tiny_cnn"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with the images `tiny.npz`."""
    tiny.write_npz(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*flags) -> int:
    return cli.main(["run.py", *flags])


def read(path) -> dict:
    return json.loads(path.read_text())


def weights(run_dir) -> dict[str, np.ndarray]:
    stored = open_weights(str(run_dir), "checkpoint")
    return {
        key.removeprefix("network/").removesuffix(
            "/.ATTRIBUTES/VARIABLE_VALUE"
        ): stored.read(key)
        for key in stored.shapes
    }


@pytest.mark.slow
def test_a_backbone_from_outside_goes_through_all_stages(
    registered, folder, capsys
):
    flags = [*DATA, SIZE, "--backbone=tiny_cnn", "--width_multiplier=0.5"]
    assert call("--mode=pretrain", *flags, "--model_dir=pretrained") == 0
    record = read(folder / "pretrained/config.json")
    assert record["architecture"]["backbone"] == "tiny_cnn"
    assert record["architecture"]["channels"] == 4
    assert call("--mode=pretrain", *flags, "--model_dir=pretrained") == 0
    assert "nothing left to do" in capsys.readouterr().out

    # The flags are not repeated: what is stored tells.
    data = [*DATA, SIZE, "--checkpoint=pretrained"]
    linear = ["--fine_tune_after_block=4", "--model_dir=linear"]
    assert call("--mode=finetune", *data, *linear) == 0
    before, after = weights("pretrained"), weights("linear")
    encoder = [name for name in before if name.startswith("encoder/")]
    assert len(encoder) == 10
    for name in encoder:
        assert np.array_equal(before[name], after[name]), name
    half = ["--fine_tune_after_block=0", "--model_dir=half"]
    assert call("--mode=finetune", *data, *half) == 0
    after = weights("half")
    for name in encoder:
        frozen = name.startswith("encoder/first/")
        assert np.array_equal(before[name], after[name]) == frozen, name

    # A teacher of one backbone, a student of another.
    taught = [*DATA, *tiny.NETWORK, "--teacher=half", "--model_dir=student"]
    assert call("--mode=distill", *taught) == 0
    record = read(folder / "student/config.json")
    assert record["architecture"]["depth"] == 18
    assert "backbone" not in record["architecture"]

    capsys.readouterr()
    for flags, told in (
        (["--backbone=resnet"], "--backbone contradicts the weights"),
        (["--resnet_depth=18"], "--resnet_depth does not describe the weig"),
        (["--width_multiplier=1.5"], "they have channels 4, the flag asks for"),
        (["--recompute"], "--recompute has no effect on the weights"),
    ):
        wrong = [*data, "--model_dir=wrong", *flags]
        assert call("--mode=finetune", *wrong) == 2
        assert told in capsys.readouterr().err


def test_charts_and_outputs_have_the_names_that_are_registered(registered):
    model = ModelConfig(backbone="tiny_cnn", proj_out_dim=4)
    network = build_network(Architecture.for_pretraining(model, 8, 3), 8)
    assert list(network_parts(network)) == [
        "first",
        "second",
        "projection_head",
        "classifier",
    ]
    outputs = network(tf.zeros([2, 8, 8, 3]))
    assert list(outputs.by_name())[:3] == ["map1", "map2", "final_avg_pool"]


def refusal(**flags) -> str:
    with pytest.raises(UserError) as error:
        from_flat({"model_dir": "x", "mode": "pretrain", **flags}).check()
    return str(error.value)


@pytest.mark.parametrize(
    "flags, told",
    [
        ({"resnet_depth": 18}, "with a --backbone that it does not describe"),
        ({"sk_ratio": 0.1}, "with a --backbone that it does not describe"),
        ({"stem": "cifar"}, "with a --backbone that it does not describe"),
        ({"model": "r50_1x_sk0"}, "--model has no effect with a --backbone"),
        ({"recompute": True}, "a --backbone that keeps all activations"),
        (
            {"backbone": "resnet", "backbone_weights": "x.h5"},
            "--backbone_weights has no effect with",
        ),
        ({"backbone": "vgg"}, "--backbone must be one of resnet, convnext_t"),
    ],
)
def test_flags_of_another_backbone_are_refused(flags, told):
    assert told in refusal(**{"backbone": "convnext_tiny", **flags})


def test_weights_of_an_unknown_backbone_are_told():
    record = Architecture.for_pretraining(ModelConfig(), 32, 0).to_json()
    assert "backbone" not in record
    assert Architecture.from_json(record).backbone == "resnet"
    with pytest.raises(UserError, match="'vgg', which is not registered"):
        Architecture.from_json({**record, "backbone": "vgg"})


class NoParts(TinyCNN):
    parts = Encoder.parts


class ForgetfulShape(TinyCNN):
    Shape = dict


@pytest.mark.parametrize(
    "change, told",
    [
        ({"name": "resnet"}, "'resnet' is there already"),
        ({"name": "Tiny CNN"}, "lower-case letters"),
        ({"groups": ()}, "needs 1 to 5 groups"),
        ({"groups": tuple("abcdef")}, "needs 1 to 5 groups"),
        ({"groups": ("first", "first")}, "differ from each other"),
        ({"groups": ("first", "classifier")}, "the network's other parts"),
        ({"maps": ("map1", "logits_sup")}, "the network's other parts"),
        ({"maps": ("map1", "map/2")}, "letters, digits and underscores"),
        ({"min_image_size": 0}, "min_image_size of at least 1"),
        ({"encoder": keras.layers.Dense}, "must be a subclass of"),
        ({"encoder": "tests.TinyCNN"}, "'package.module:Class'"),
        ({"encoder": NoParts}, r"needs a method parts\(\)"),
        ({"encoder": ForgetfulShape}, "needs a class Shape"),
        ({"flags": {"stem": "stem"}}, "fields that its Shape does not have"),
        ({"loads_keras_weights": True}, r"a method load_keras_weights\(\)"),
    ],
)
def test_what_is_missing_is_told_at_registration(change, told):
    with pytest.raises(ValueError, match=told):
        registry.register(dataclasses.replace(TINY, **change))
    assert "tiny_cnn" not in registry.BACKBONES


class Lost(TinyCNN):
    """One of its layers stands in a dictionary."""

    def __init__(self, make, shape):
        super().__init__(make, shape)
        self.first = {"conv": ConvNorm(make, shape.channels, 3, 2)}

    def parts(self):
        return {"first": self.first["conv"], "second": self.second}

    def encode(self, images, training):
        maps = {"map1": self.first["conv"](images, training=training)}
        maps["map2"] = self.second(maps["map1"], training=training)
        pooled = tf.reduce_mean(tf.cast(maps["map2"], tf.float32), [1, 2])
        return EncoderOutputs(pooled, maps)


class Half(TinyCNN):
    def parts(self):
        return {"first": self.first, "second": self.second.conv}


class Unpooled(TinyCNN):
    def encode(self, images, training):
        outputs = super().encode(images, training)
        return outputs._replace(features=outputs.maps["map2"])


@pytest.mark.parametrize(
    "change, told",
    [
        ({"encoder": Lost}, "checkpoints would lose the others"),
        ({"encoder": Half}, "must belong to one of its parts"),
        ({"encoder": Unpooled}, "must be float32"),
        ({"groups": ("first", "last")}, "not the groups that it registers"),
        ({"maps": ("map1",)}, "not those that it registers"),
    ],
)
def test_an_encoder_unlike_its_registration_is_told(change, told, monkeypatch):
    backbone = dataclasses.replace(TINY, **change)
    monkeypatch.setitem(registry.BACKBONES, "tiny_cnn", backbone)
    architecture = Architecture("tiny_cnn", TinyShape(), 0, 0, 4, 0, 0)
    with pytest.raises(ValueError, match=told):
        build_network(architecture, 8)


def test_all_registered_encoders_are_what_they_must_be():
    for backbone in registry.BACKBONES.values():
        assert issubclass(backbone.encoder_class(), Encoder)


# ConvNeXt-Tiny with one narrow block per stage.
SHALLOW = {"depths": [1, 1, 1, 1], "projection_dims": [4, 6, 8, 10]}
CONVNEXT = Config(model=ModelConfig(backbone="convnext_tiny", proj_out_dim=4))


@pytest.fixture
def shallow(monkeypatch):
    from tf_keras.src.applications import convnext

    for name, value in SHALLOW.items():
        monkeypatch.setitem(convnext.MODEL_CONFIGS["tiny"], name, value)


def application(seed: int = 0) -> keras.Model:
    """Keras's own network, with random weights."""
    model = keras.applications.ConvNeXtTiny(
        weights=None,
        include_top=False,
        input_shape=(None, None, 3),
        pooling="avg",
    )
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.normal(0, 0.3, w.shape).astype("f") for w in model.get_weights()]
    )
    return model


def convnext(make: LayerFactory | None = None):
    architecture = Architecture.for_pretraining(CONVNEXT.model, 32, 3)
    return build_network(architecture, 32, make)


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras"])
def test_features_are_those_of_keras(suffix, shallow, tmp_path):
    model, path = application(), str(tmp_path / f"weights{suffix}")
    (model.save if suffix == ".keras" else model.save_weights)(path)
    images = np.random.default_rng(1).random((2, 48, 40, 3), np.float32)
    expected = model(images * 255).numpy()
    assert np.ptp(expected) > 0.5
    for precision, tolerance in (("float32", 1e-4), ("mixed_bfloat16", 0.2)):
        network = convnext(LayerFactory(precision=precision))
        network.encoder.load_keras_weights(path)
        found = network(tf.constant(images))
        assert found.features.dtype == tf.float32
        assert np.abs(found.features - expected).max() < tolerance
        assert found.maps["stage4"].dtype == network.encoder.compute_dtype


def test_all_of_convnext_is_trained_on_two_replicas(shallow, two_replicas):
    with two_replicas.scope():
        network = convnext()
    images = tf.random.stateless_uniform([4, 32, 32, 3], [1, 2])

    @tf.function
    def gradients():
        def on_replica():
            with tf.GradientTape() as tape:
                outputs = network(images, training=True)
                loss = tf.reduce_sum(outputs.projection[:, 0])
                loss += tf.reduce_sum(outputs.logits[:, 0])
            return tape.gradient(loss, network.trainable_variables)

        return two_replicas.run(on_replica)

    for found in gradients():
        first, second = two_replicas.experimental_local_results(found)
        assert np.array_equal(first, second)
    network.encoder.freeze_up_to(2)
    trained = network_parts(network)
    assert list(trained)[:2] == ["stage3", "stage4"]
    network.encoder.freeze_up_to(4)
    assert not network.encoder.trainable_variables


def test_small_images_and_other_files_are_refused(shallow, tmp_path):
    with pytest.raises(UserError, match="at least 32 .* Received: 16"):
        build_network(Architecture.for_pretraining(CONVNEXT.model, 16, 0), 16)
    network = convnext()
    with pytest.raises(OSError, match="no such file"):
        network.encoder.load_keras_weights(str(tmp_path / "none.h5"))
    with pytest.raises(ValueError, match="ends in none of"):
        network.encoder.load_keras_weights(str(tmp_path / "ckpt-3"))
    path = str(tmp_path / "top.h5")
    keras.applications.ConvNeXtTiny(weights=None).save_weights(path)
    with pytest.raises(ValueError):
        network.encoder.load_keras_weights(path)


@pytest.mark.slow
def test_small_runtimes_compute_what_convnext_does(shallow, tmp_path):
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    network = convnext()
    record = RunRecord(
        stage="finetune",
        architecture=network.architecture,
        dataset=DatasetRecord(name="", class_names=("a", "b", "c")),
        config={**to_flat(CONVNEXT), "image_size": 32},
    )
    source = Exportable(network, record, 3, {})
    # Both raise where the numbers differ.
    export_onnx(source, str(tmp_path / "onnx"))
    export_tflite(source, str(tmp_path / "tflite"), "none")
    card = (tmp_path / "tflite/3/README.md").read_text()
    assert "- ConvNeXt-Tiny\n" in card


KERAS = ["--backbone=convnext_tiny", "--backbone_weights=keras.h5"]
DATA_32 = [*DATA, "--image_size=32"]


@pytest.mark.slow
def test_convnext_starts_from_keras_and_continues(shallow, folder, capsys):
    application().save_weights("keras.h5")
    application(seed=1).save_weights("other.h5")
    pretrain = ["--mode=pretrain", *DATA_32, "--model_dir=pretrained"]
    assert call(*pretrain, *KERAS) == 0
    assert "keras.h5: the encoder" in capsys.readouterr().out
    other = [KERAS[0], "--backbone_weights=other.h5"]
    assert call(*pretrain, *other) == 2
    assert "sources differs (backbone_weights is" in capsys.readouterr().err
    assert call(*pretrain, "--resnet_depth=18") == 2
    told = "architecture differs (backbone is convnext_tiny, not resnet)"
    assert told in capsys.readouterr().err
    # It goes on where it was, not from the file.
    assert call(*pretrain, *KERAS, "--train_epochs=2") == 0
    assert "Continuing from step 4 of 7" in capsys.readouterr().out


@pytest.mark.slow
def test_convnext_is_teacher_student_and_export(shallow, folder, capsys):
    application().save_weights("keras.h5")
    linear = ["--mode=finetune", *DATA_32, "--fine_tune_after_block=4"]
    linear += ["--model_dir=linear"]
    assert call(*linear, *KERAS, "--export") == 0
    found = weights("linear")
    expected = application().get_weights()
    encoder = [v for k, v in found.items() if k.startswith("encoder/")]
    assert len(encoder) == len(expected)
    total = sum(float(np.abs(v).sum()) for v in expected)
    assert sum(float(np.abs(v).sum()) for v in encoder) == pytest.approx(total)
    (card,) = (folder / "linear/saved_model").glob("*/README.md")
    text = card.read_text()
    assert text.startswith("# SimCLRv2 ConvNeXt-Tiny: fine-tuned on labels")
    assert "10 features" in text

    distill = ["--mode=distill", *DATA_32, "--teacher=linear"]
    student = ["--backbone=convnext_tiny", "--model_dir=student"]
    assert call(*distill, *student) == 0
    scored = ["--mode=eval", "--checkpoint=student", "--dataset=tiny.npz"]
    assert call(*scored, "--model_dir=scored") == 0
    wanted, found = (
        read(folder / name / "result.json") for name in ("student", "scored")
    )
    name = "eval/label_top_1_accuracy"
    assert found[name] == pytest.approx(wanted[name])
    again = ["--mode=finetune", *DATA_32, "--checkpoint=linear", *KERAS]
    capsys.readouterr()
    assert call(*again, "--model_dir=again") == 2
    assert "--backbone_weights has no effect with" in capsys.readouterr().err
