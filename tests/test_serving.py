"""The requests of docs/serving.md, and its table of signatures."""

import base64
import json
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
import tiny
from serving_stand_in import serving

from tf_simclr.config import Config
from tf_simclr.config.flat import to_flat
from tf_simclr.evaluation.novelty import novelty_of
from tf_simclr.models.network import Architecture, build_network
from tf_simclr.models.resnet import ResNetShape
from tf_simclr.training.run_record import DatasetRecord, RunRecord
from tf_simclr.weights.export.folder import Exportable
from tf_simclr.weights.export.saved_model import export_saved_model
from tf_simclr.weights.stored import TEMPERATURE

PAGE = (tiny.ROOT / "docs" / "serving.md").read_text()
ADDRESS = "http://localhost:8501/v1/models/student:predict"
SIZE = 16
pytestmark = [pytest.mark.usefixtures("one_block"), pytest.mark.slow]


@pytest.fixture(scope="module")
def export(one_block, tmp_path_factory) -> str:
    """A classifier of three classes."""
    architecture = Architecture(
        backbone="resnet",
        encoder=ResNetShape(18, 0.05, cifar_stem=True),
        head_layers=3,
        kept_head_layers=3,
        projection_dim=16,
        num_classes=3,
        classifier_layer=1,
    )
    record = RunRecord(
        stage="finetune",
        architecture=architecture,
        dataset=DatasetRecord(class_names=("ant", "bee", "cät")),
        config={**to_flat(Config()), "image_size": SIZE},
    )
    network = build_network(architecture, SIZE)
    features = np.random.default_rng(0).normal(
        size=(30, network.encoder.feature_dim)
    )
    novelty = novelty_of(features.astype(np.float32), features[:0])
    source = Exportable(network, record, 3, {TEMPERATURE: 1.5}, novelty)
    folder = tmp_path_factory.mktemp("export")
    return export_saved_model(source, str(folder / "student"))


@pytest.fixture(scope="module")
def port(export):
    with serving(export, "student") as port:
        yield port


@pytest.fixture
def files(tmp_path) -> pathlib.Path:
    random = np.random.default_rng(0)
    for name, encode in (
        ("photo.jpg", tf.io.encode_jpeg),
        ("other.png", tf.io.encode_png),
    ):
        pixels = random.integers(0, 256, (20, 31, 3), np.uint8)
        (tmp_path / name).write_bytes(encode(pixels).numpy())
    return tmp_path


def blocks(language: str, port: int) -> list[str]:
    """The page's blocks that send requests, to the stand-in."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)
    return [
        text.replace("localhost:8501", f"127.0.0.1:{port}")
        for text in found
        if ADDRESS in text
    ]


def post(port: int, body: dict) -> dict:
    url = f"http://127.0.0.1:{port}/v1/models/student:predict"
    request = urllib.request.Request(url, json.dumps(body).encode())
    return json.load(urllib.request.urlopen(request))


def shell(text: str, folder: pathlib.Path) -> dict:
    subprocess.run(["bash", "-ec", text], cwd=folder, check=True)
    return json.loads((folder / "response.json").read_text())


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_the_pages_curl_classifies_a_photo(export, port, files):
    one, views = blocks("bash", port)
    (found,) = shell(one, files)["predictions"]
    serve = tf.saved_model.load(export).signatures["serving_bytes"]
    data = (files / "photo.jpg").read_bytes()
    expected = serve(image_bytes=tf.constant([data]))
    assert set(found) == set(expected)
    assert found["valid"] is True
    for name in ("probabilities", "calibrated_probabilities", "features"):
        np.testing.assert_allclose(found[name], expected[name][0], atol=1e-6)
    names = [name.decode() for name in expected["top_classes"][0].numpy()]
    assert found["top_classes"] == names
    assert found["class"] == names[0]
    (found,) = shell(views, files)["predictions"]
    assert len(found["logits"]) == 3


def test_the_pages_python_classifies_many(port, files):
    (code,) = blocks("python", port)
    (files / "other.png").write_bytes(b"no image")
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=files,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = process.stdout.splitlines()
    assert first.split()[1] in ("ant", "bee", "cät")
    assert second == "other.png is no image"


def test_an_image_among_others_is_answered_as_alone(port, files):
    images = [(files / n).read_bytes() for n in ("photo.jpg", "other.png")]
    images.insert(1, b"")
    body = {
        "signature_name": "serving_bytes",
        "instances": [
            {"b64": base64.b64encode(image).decode()} for image in images
        ],
    }
    found = post(port, body)["predictions"]
    assert [one["valid"] for one in found] == [True, False, True]
    assert found[1]["class"] == "" and not any(found[1]["probabilities"])
    for place in (0, 2):
        body["instances"] = [
            {"image_bytes": {"b64": base64.b64encode(images[place]).decode()}}
        ]
        (alone,) = post(port, body)["predictions"]
        np.testing.assert_allclose(
            alone["logits"], found[place]["logits"], atol=1e-5
        )
    assert post(port, {**body, "instances": []}) == {"predictions": []}


def test_the_url_safe_alphabet_is_refused(port):
    body = {"signature_name": "serving_bytes", "instances": [{"b64": "_-_-"}]}
    with pytest.raises(urllib.error.HTTPError) as error:
        post(port, body)
    assert "error" in json.load(error.value)


def test_the_page_lists_the_signatures(export):
    """Names, types and ranks are those of the export."""
    shapes = {"N": None, "C": 3, "K": 3, "H": None, "W": None, "3": 3}
    listed: dict[str, dict[str, tuple]] = {}
    section = PAGE.split("## gRPC")[1].split("## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    for line in rows[1:]:
        signature, names, kind, shape = map(str.strip, line.split("|")[1:-1])
        if signature:
            current = listed.setdefault(signature.strip("`"), {})
        sides = shape.strip("()").rstrip(",").split(", ")
        for name in re.findall(r"`(\w+)`", names):
            current[name] = kind, sides
    signatures = tf.saved_model.load(export).signatures
    assert set(listed) == set(signatures)
    for signature, named in listed.items():
        function = signatures[signature]
        specs = {
            **function.structured_input_signature[1],
            **function.structured_outputs,
        }
        # "proj_hidden1 ..." stands for one of each layer.
        others = {n for n in specs if re.fullmatch(r"proj_hidden\d", n)}
        assert set(named) | others == set(specs)
        for name, (kind, sides) in named.items():
            spec = specs[name]
            dtype = {"float": "float32"}.get(kind, kind)
            assert spec.dtype.name == dtype, name
            if sides[-1] != "...":
                assert len(sides) == len(spec.shape), name
                for side, size in zip(sides, spec.shape, strict=True):
                    assert side not in shapes or shapes[side] == size, name
