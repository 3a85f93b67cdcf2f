"""`--mode=preview`: originals, their views, and evaluation's, in a picture."""

import re

import event_files
import numpy as np
import pictures
import pytest
import tensorflow as tf

from tf_simclr import cli

LINE = 2


def preview(folder, *flags) -> list[list[np.ndarray]]:
    """The cells of the picture, row by row, after checking its lines."""
    side = 96
    command = ["--mode=preview", "--image_size=32", f"--model_dir={folder}"]
    assert cli.main(["run.py", *command, *flags]) == 0
    data = (folder / "preview.png").read_bytes()
    picture = tf.io.decode_png(data, channels=3).numpy()
    step = side + LINE
    rows, columns = (length // step for length in picture.shape[:2])
    assert picture.shape == (rows * step + LINE, columns * step + LINE, 3)
    assert np.all(picture[::step] == 255) and np.all(picture[:, ::step] == 255)
    ((_, shown),) = event_files.read(folder)["preview"]
    encoded = shown.tensor.string_val[2]
    assert np.array_equal(tf.io.decode_png(encoded, channels=3), picture)
    return [
        [
            picture[y : y + side, x : x + side]
            for x in range(LINE, columns * step, step)
        ]
        for y in range(LINE, rows * step, step)
    ]


def small(image: np.ndarray, side: int = 8) -> np.ndarray:
    """An image of few pixels, float32 in [0, 255]."""
    return tf.image.resize(image, (side, side), method="area").numpy()


def test_the_embedded_digits(tmp_path):
    rows = preview(
        tmp_path / "look",
        "--dataset=digits",
        "--color_jitter_strength=0",
        "--nouse_blur",
        "--crop_min_area=1",
        "--flip_probability=0",
    )
    assert [len(row) for row in rows] == [8] * 4
    # All four rows show the same images, of which there are eight.
    for row in rows[1:]:
        for cell, original in zip(row, rows[0], strict=True):
            assert np.abs(cell.astype(int) - original).max() <= 1
    for number, cell in enumerate(rows[0]):
        for other in rows[0][:number]:
            assert np.abs(small(cell) - small(other)).max() > 20


def test_classes_are_said(tmp_path, capfd):
    counts = {"cat": 3, "a dog": 2, "unlabeled": 1}
    photos = pictures.write_photos(tmp_path / "photos", counts)
    preview(tmp_path / "look", f"--dataset={photos}")
    said = capfd.readouterr().out
    assert f"{photos}: 6 images to train on\n" in said
    for name, count in (("cat", 3), ("a dog", 2), ("unlabelled", 1)):
        assert re.search(rf"^  {name} +{count} ", said, re.M)


def test_a_small_folder(tmp_path, capfd):
    photos = pictures.write_photos(tmp_path / "photos", {"": 3})
    looks = [
        preview(
            tmp_path / where,
            f"--dataset={photos}",
            f"--augment_on={where}",
            "--ignore_labels",
        )
        for where in ("host", "device")
    ]
    said = capfd.readouterr().out
    assert "preview.png: 3 images in columns" in said
    assert "3 images to train on, none with a label" in said
    for one, other in zip(*looks, strict=True):
        for cell, same in zip(one, other, strict=True):
            assert np.abs(cell.astype(int) - same).max() <= 1
    originals, first, second, evaluated = looks[0]
    for column in range(3):
        middle = small(originals[column], 16)[6:10, 6:10]
        seen = small(evaluated[column], 16)[6:10, 6:10]
        assert np.abs(middle - seen).mean() < 40
        assert np.abs(small(first[column]) - small(second[column])).max() > 5
    assert list((tmp_path / "host").glob("index-*.npz"))


@pytest.mark.parametrize(
    "flag, message",
    [("--dataset=nowhere", "nowhere"), ("--image_size=0", "image_size")],
)
def test_mistakes_write_nothing(tmp_path, capfd, flag, message):
    folder = tmp_path / "look"
    command = ["run.py", "--mode=preview", f"--model_dir={folder}", flag]
    assert cli.main(command) == 2
    assert message in capfd.readouterr().err
    assert not folder.exists()
