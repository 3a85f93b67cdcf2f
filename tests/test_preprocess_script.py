"""`preprocess.py` beside a small runtime's model: from any file to its class,
without TensorFlow."""

import csv
import pathlib
import runpy
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import Image

from tf_simclr import cli

pytest.importorskip("onnxruntime")
pytestmark = [pytest.mark.usefixtures("one_block"), pytest.mark.slow]
EXPORTS = {
    "onnx": ["--export_format=onnx"],
    "tflite": ["--export_format=tflite"],
    "tflite_int8": ["--export_format=tflite", "--quantize=int8"],
}


def main(*flags: str) -> int:
    return cli.main(["run.py", *flags])


def write_images(folder: pathlib.Path) -> None:
    """Files of many kinds, smooth enough for any JPEG decoder."""
    folder.mkdir()
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (5, 7, 4), np.uint8)
    image = Image.fromarray(small).resize((70, 50), Image.Resampling.BICUBIC)
    opaque = image.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    opaque.save(folder / "turned.jpg", exif=exif, quality=95)
    opaque.save(folder / "plain.png")
    opaque.save(folder / "picture.bmp")
    opaque.convert("L").save(folder / "gray.jpg", quality=95)
    opaque.convert("P").save(folder / "palette.png")
    opaque.convert("CMYK").save(folder / "print.jpg", quality=95)
    image.save(folder / "clear.png")
    image.save(folder / "clear.webp", lossless=True)
    deep = np.asarray(opaque.convert("L")).astype(np.uint16) * 256 + 17
    Image.fromarray(deep).save(folder / "deep.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """A run of three colors, its exports, its answers to files."""
    folder = tmp_path_factory.mktemp("preprocess")
    training = [
        "--mode=finetune",
        "--from_scratch",
        f"--dataset={tiny.write_npz(folder)}",
        *tiny.FLAGS,
        "--optimizer=adam",
        "--learning_rate=0.01",
        "--learning_rate_scaling=none",
        "--train_steps=20",
        "--alpha=black",
        "--noexport",
    ]
    assert main(*training, f"--model_dir={folder / 'run'}") == 0
    write_images(folder / "images")
    checkpoint = f"--checkpoint={folder / 'run'}"
    out = f"--model_dir={folder / 'out'}"
    images = f"--images={folder / 'images'}"
    assert main("--mode=predict", checkpoint, images, out) == 0
    for flags in EXPORTS.values():
        assert main("--mode=export", checkpoint, *flags, out) == 0
    return folder / "out"


def rows(folder: pathlib.Path) -> list[dict[str, str]]:
    with open(folder / "predictions.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", EXPORTS)
def test_files_have_the_classes_of_predictions(folder, name):
    (script,) = folder.glob(f"{name}/*/preprocess.py")
    script = runpy.run_path(str(script))
    assert len(rows(folder)) == 9
    for row in rows(folder):
        assert not row["problem"]
        pixels = script["read_image"](row["path"])
        found = script["outputs"](script["preprocess"](pixels))
        probability = found["probabilities"].max()
        assert abs(probability - float(row["probability"])) < 0.03, row["file"]


@pytest.mark.parametrize("name", ["onnx", "tflite"])
def test_it_runs_without_tensorflow(folder, name):
    (script,) = folder.glob(f"{name}/*/preprocess.py")
    row = rows(folder)[0]
    hidden = (
        "import runpy, sys; sys.modules['tensorflow'] = None;"
        " runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    )
    process = subprocess.run(
        [sys.executable, "-c", hidden, str(script), row["path"]],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    path, name, share = process.stdout.split()
    assert path == f"{row['path']}:"
    assert name == row["class"]
    assert abs(float(share) - float(row["probability"])) < 0.03


def test_cards_tell_how_far_they_agree(folder):
    for name in EXPORTS:
        (card,) = folder.glob(f"{name}/*/README.md")
        text = card.read_text()
        assert "\n- preprocess.py and TensorFlow, split test: " in text
        quantised = "\n- int8 and float32: " in text
        assert quantised == (name == "tflite_int8")


def test_pixels_of_any_size_are_framed_in_the_runtime(folder):
    import onnxruntime

    (path,) = folder.glob("onnx/*/preprocess.onnx")
    session = onnxruntime.InferenceSession(str(path))
    (argument,), (output,) = session.get_inputs(), session.get_outputs()
    assert (argument.name, argument.type) == ("pixels", "tensor(uint8)")
    assert output.name == "images"
    assert path.stat().st_size < 50_000


def test_what_cannot_be_compared_is_said(folder, tmp_path, capsys):
    run = folder.parent / "run"
    gone = tmp_path / "gone.npz"
    flags = ["--mode=export", f"--checkpoint={run}", f"--dataset={gone}"]
    flags += [f"--model_dir={tmp_path / 'out'}", "--export_format=tflite"]
    assert main(*flags, "--quantize=int8") == 2
    assert "name them by --dataset" in capsys.readouterr().err
    assert not (tmp_path / "out/tflite_int8").exists()
    assert main(*flags) == 0
    assert "not compared on image files: " in capsys.readouterr().out
    (card,) = tmp_path.glob("out/tflite/*/README.md")
    assert "Compared" not in card.read_text()


def test_views_are_those_of_the_saved_model(folder):
    (path,) = folder.glob("tflite/*/preprocess.py")
    script = runpy.run_path(str(path))
    pixels = np.random.default_rng(1).integers(0, 256, (2, 40, 30, 3), np.uint8)
    assert (
        main(
            "--mode=export",
            f"--checkpoint={folder.parent / 'run'}",
            f"--model_dir={folder}",
            "--noverify_export",
        )
        == 0
    )
    (export,) = folder.glob("saved_model/*")
    expected = tf.saved_model.load(str(export)).preprocess(tf.constant(pixels))
    np.testing.assert_allclose(
        script["preprocess"](pixels), expected, atol=1e-5
    )
