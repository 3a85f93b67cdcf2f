"""`--mode=embed`: the features of a split, and the pictures of them."""

import json
import pathlib
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf
import tiny
from google.protobuf import text_format
from tensorboard.plugins.projector import ProjectorConfig

from tf_simclr import cli
from tf_simclr.config.flat import from_flat
from tf_simclr.errors import UserError
from tf_simclr.evaluation.embedding_map import (
    check_method,
    draw_map,
    sprite,
    thumbnail_size,
)
from tf_simclr.evaluation.embeddings import two_dimensions
from tf_simclr.evaluation.feature_file import FeatureFile, MostSimilar
from tf_simclr.modes.loaded import _with_stored_data

pytestmark = pytest.mark.usefixtures("one_block")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> str:
    return tiny.write_npz(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, dataset) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    flags = ["--dataset=tiny.npz", *tiny.FLAGS, "--model_dir=run"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        shutil.copy(dataset, "tiny.npz")
        assert main("--mode=finetune", "--from_scratch", *flags) == 0
    return folder


def test_empty_strings_of_earlier_runs_are_no_values():
    stored = types.SimpleNamespace(
        config={"dataset": "photos", "label_ids": "", "unlabeled_dataset": ""},
        record=None,
    )
    data = _with_stored_data(from_flat({"image_size": 8}), stored).data
    assert (data.dataset, data.image_size) == ("photos", 8)
    assert data.label_ids is None and data.unlabeled_dataset is None


def main(*flags: str) -> int:
    return cli.main(["run.py", *flags])


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, trained, dataset):
    """The folder that embedding wrote, from batches that do not divide."""
    folder = tmp_path_factory.mktemp("embedded")
    photo = folder / "photo.png"
    pixels = np.zeros((9, 9, 3), np.uint8)
    pixels[..., 2] = 200
    photo.write_bytes(tf.io.encode_png(pixels).numpy())
    code = main(
        "--mode=embed",
        f"--checkpoint={trained}",
        "--eval_batch_size=5",
        f"--neighbours_of=tiny/train/4,{photo}",
        f"--model_dir={folder / 'out'}",
    )
    assert code == 0
    return folder / "out"


def test_a_run_finds_its_images_from_another_directory(
    trained, dataset, tmp_path, monkeypatch, capsys
):
    stored = json.loads((trained / "config.json").read_text())["config"]
    assert stored["dataset"] == str(trained.parent / "tiny.npz")
    assert stored["model_dir"] == str(trained)
    monkeypatch.chdir(tmp_path)
    with np.load(dataset) as archive:
        arrays = dict(archive)
    # Of the same name, here.
    np.savez("tiny.npz", **arrays | {"y_test": (arrays["y_test"] + 1) % 3})
    flags = [f"--checkpoint={trained}", "--model_dir=scored"]
    assert main("--mode=eval", *flags) == 0
    found = json.loads((tmp_path / "scored" / "result.json").read_text())
    wanted = json.loads((trained / "result.json").read_text())
    name = "eval/label_top_1_accuracy"
    assert found[name] == pytest.approx(wanted[name])
    assert "not what they were" not in capsys.readouterr().out


def test_features_are_those_of_the_network(embedded, dataset, trained):
    from tf_simclr.models.network import build_network
    from tf_simclr.weights.assign import assign_weights
    from tf_simclr.weights.open import open_weights

    stored = open_weights(str(trained), "checkpoint")
    network = build_network(stored.architecture, 8)
    assign_weights(network, stored, with_classifier=True)
    with np.load(dataset) as archive:
        images, labels = archive["x_train"], archive["y_train"]
    outputs = network(tf.constant(images / np.float32(255))).by_name()
    with np.load(embedded / "features.npz", allow_pickle=False) as found:
        # It was fine-tuned from the encoder: it has no projection.
        names = {"features": "final_avg_pool", "logits": "logits_sup"}
        assert set(found.files) == {*names, "ids", "labels"}
        for ours, name in names.items():
            assert found[ours].dtype == np.float32
            assert np.allclose(found[ours], outputs[name], atol=1e-5)
        assert list(found["ids"]) == [f"tiny/train/{i}" for i in range(24)]
        assert np.array_equal(found["labels"], labels)


def test_the_projector_finds_its_files(embedded):
    config = ProjectorConfig()
    text = (embedded / "projector_config.pbtxt").read_text()
    (embedding,) = text_format.Parse(text, config).embeddings
    with np.load(embedded / "features.npz") as found:
        features = np.loadtxt(embedded / embedding.tensor_path, delimiter="\t")
        assert np.allclose(features, found["features"], rtol=1e-4, atol=1e-6)
    lines = (embedded / embedding.metadata_path).read_text().splitlines()
    assert lines[:3] == ["class\tid", "0\ttiny/train/0", "1\ttiny/train/1"]
    assert len(lines) == 25
    picture = tf.io.decode_png(
        tf.io.read_file(str(embedded / embedding.sprite.image_path))
    )
    assert list(embedding.sprite.single_image_dim) == [8, 8]
    # 24 images fill five rows of five.
    assert picture.shape == (40, 40, 3)
    assert not np.any(picture[32:, 32:])


def test_the_pictures(embedded):
    for name in ("map.png", "neighbours.png"):
        picture = tf.io.decode_png((embedded / name).read_bytes(), channels=3)
        colors = np.unique(picture.numpy().reshape(-1, 3), axis=0)
        assert len(colors) > 20, name
    assert list(embedded.glob("events.out.tfevents.*"))


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--neighbours_of=tiny/train/99", "takes ids of features.npz and"),
        ("--neighbours_of=text.png", "text.png is no image of a known format"),
        ("--embed_split=nothing", "nothing"),
    ],
)
def test_mistakes(tmp_path, trained, capsys, monkeypatch, flag, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("not an image")
    capsys.readouterr()
    code = main(
        "--mode=embed", f"--checkpoint={trained}", flag, "--model_dir=x"
    )
    assert code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_features_of_a_file_are_drawn_like_those_of_a_network(
    embedded, dataset, tmp_path, capsys
):
    with np.load(embedded / "features.npz") as archive:
        ids, features = archive["ids"], archive["features"]
    np.savez(tmp_path / "given.npz", ids=ids[::-1], features=features[::-1])
    asked = ",".join(ids[:2])
    flags = [f"--dataset={dataset}", "--mode=embed", "--image_size=8"]
    flags += [f"--features={tmp_path}/given.npz", f"--neighbours_of={asked}"]
    flags += [f"--model_dir={tmp_path}/drawn"]
    assert main(*flags) == 0
    found = {path.name for path in (tmp_path / "drawn").iterdir()}
    assert {"map.png", "neighbours.png", "projector_config.pbtxt"} <= found
    assert "features.npz" not in found
    photo = embedded.parent / "photo.png"
    assert main(*flags, f"--neighbours_of={photo}") == 2
    assert "a file of one's own has no features" in capsys.readouterr().err
    assert main(*flags, f"--checkpoint={tmp_path}") == 2
    assert "give one of them" in capsys.readouterr().err


def test_umap_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_method("pca")
    with pytest.raises(UserError, match="pip install umap-learn"):
        check_method("umap")


def test_a_file_grows_in_rows(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "vectors": rng.random((7, 3), np.float32),
        "names": np.array([f"ä{i}" for i in range(7)], "U2"),
        "numbers": np.arange(7, dtype=np.int32),
    }
    file = FeatureFile(str(tmp_path), 7)
    for rows in (slice(0, 3), slice(3, 6)):
        file.append({name: array[rows] for name, array in arrays.items()})
    with pytest.raises(ValueError, match="6 rows, not 7"):
        file.pack(str(tmp_path / "x.npz"))
    with pytest.raises(ValueError, match="float64 of shape"):
        file.append({"vectors": np.zeros((1, 3))})
    file.append({name: array[6:] for name, array in arrays.items()})
    file.pack(str(tmp_path / "x.npz"))
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
    with np.load(tmp_path / "x.npz") as found:
        assert set(found.files) == set(arrays)
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            assert np.array_equal(found[name], array)


def test_neighbours_of_a_stream_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((50, 8)).astype(np.float32)
    queries = np.concatenate([features[[13]], rng.standard_normal((1, 8))])
    search = MostSimilar(queries, own=[13, -1], count=5)
    for start in range(0, 50, 7):
        search.add(start, features[start : start + 7])
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosine = queries @ unit.T / np.linalg.norm(queries, axis=1, keepdims=True)
    cosine[0, 13] = -np.inf
    expected = np.argsort(-cosine, axis=1)[:, :5]
    assert np.array_equal(search.indices, expected)
    assert np.allclose(
        search.similarities, np.take_along_axis(cosine, expected, axis=1)
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
def test_classes_that_lie_apart_are_drawn_apart(tmp_path, method):
    if method == "umap":
        pytest.importorskip("umap")
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 10)
    features = 20 * np.eye(3)[labels] + rng.standard_normal((30, 3))
    points = two_dimensions(features.astype(np.float32), method)
    centers = np.stack([points[labels == k].mean(axis=0) for k in range(3)])
    distances = np.linalg.norm(points[:, None] - centers, axis=2)
    assert np.array_equal(distances.argmin(axis=1), labels)
    labels[::7] = -1
    path = tmp_path / "map.png"
    draw_map(str(path), points, labels, ["a", "b", "c"], "title", method)
    assert path.stat().st_size > 5000


def test_a_texture_holds_all_pictures():
    pictures = np.arange(5, dtype=np.uint8)[:, None, None, None] + np.zeros(
        (5, 2, 2, 3), np.uint8
    )
    square = sprite(pictures)
    assert square.shape == (6, 6, 3)
    assert square[::2, ::2, 0].tolist() == [[0, 1, 2], [3, 4, 0], [0, 0, 0]]
    assert thumbnail_size(5000, 224) == 64
    assert thumbnail_size(5000, 12) == 12
    assert 200 * thumbnail_size(40_000, 224) <= 8192
