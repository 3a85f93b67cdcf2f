"""`--mode=predict`: a CSV line for every file, whatever state it is in."""

import csv
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_simclr import cli
from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.folder import walk
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.errors import UserError

pytestmark = pytest.mark.usefixtures("one_block")


def main(*flags: str) -> int:
    return cli.main(["run.py", *flags])


def write_image(path: pathlib.Path, color: int, encode=tf.io.encode_png):
    """A picture of one primary color, with noise; of no special size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(color)
    pixels = rng.integers(0, 100, (11, 14, 3), dtype=np.uint8)
    pixels[..., color] += 150
    path.write_bytes(encode(pixels).numpy())


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory) -> pathlib.Path:
    """A run with its export, which knows three colors as classes.

    The command has the original's spelling.
    """
    folder = tmp_path_factory.mktemp("finetuned")
    code = main(
        "--mode=train_then_eval",
        "--train_mode=finetune",
        "--variable_schema=(?!global_step)",
        "--use_tpu=False",
        "--eval_split=test",
        "--from_scratch",
        f"--dataset={tiny.write_npz(folder)}",
        *tiny.FLAGS,
        "--optimizer=adam",
        "--learning_rate=0.01",
        "--learning_rate_scaling=none",
        "--train_steps=60",
        "--checkpoint_steps=60",
        "--export",
        f"--model_dir={folder / 'run'}",
    )
    assert code == 0
    return folder / "run"


def test_the_originals_way_ends_with_its_files(finetuned):
    names = {path.name for path in finetuned.iterdir()}
    assert {"result.json", "result_60.json", "flags.json"} <= names
    assert [path.name for path in (finetuned / "saved_model").iterdir()] == [
        "60"
    ]


@pytest.fixture
def images(tmp_path) -> pathlib.Path:
    folder = tmp_path / "images"
    write_image(folder / "green.png", 1)
    write_image(folder / "more" / "red.JPG", 0, tf.io.encode_jpeg)
    write_image(folder / "blue.png", 2)
    jpeg = (folder / "more" / "red.JPG").read_bytes()
    (folder / "cut off.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (folder / "text, really.png").write_text("not an image")
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "notes.txt").write_text("not an image either")
    (folder / "red").write_bytes(jpeg)
    (folder / ".hidden.png").touch()
    return folder


def predictions(folder: pathlib.Path) -> list[list[str]]:
    with open(folder / "predictions.csv", newline="") as file:
        return list(csv.reader(file))


def test_every_file_has_its_line(tmp_path, finetuned, images, capsys):
    (export,) = (finetuned / "saved_model").iterdir()
    names = tmp_path / "names.txt"
    names.write_text("red\ngreen\nblue\n")
    found = {}
    # All in one batch, or each bad file between good ones.
    for checkpoint, batch in ((finetuned, 256), (export, 2)):
        code = main(
            "--mode=predict",
            f"--checkpoint={checkpoint}",
            f"--images={images}",
            f"--class_names_file={names}",
            f"--eval_batch_size={batch}",
            f"--model_dir={tmp_path / 'out'}",
        )
        assert code == 0
        found[checkpoint] = predictions(tmp_path / "out")
    output = capsys.readouterr().out
    assert "4 files could not be read: cut off.jpg is damaged" in output
    header, *rows = found[finetuned]
    # No temperature was fitted: all images were right.
    assert header[:4] == ["file", "class", "probability", "problem"]
    assert header[4:] == ["path", "novelty"]
    classes = {file: name for file, name, *_ in rows}
    assert classes == {
        "blue.png": "blue",
        "cut off.jpg": "",
        "gone.png": "",
        "green.png": "green",
        "more/red.JPG": "red",
        "notes.txt": "",
        "red": "red",
        "text, really.png": "",
    }
    for file, name, probability, problem, path, novelty in rows:
        assert bool(novelty) == (not problem)
        assert probability == "" if not name else float(probability) > 1 / 3
        assert bool(problem) != bool(name)
        assert path == str(images / file)
    # The export says the same.
    for one, other in zip(rows, found[export][1:], strict=True):
        assert one[:2] == other[:2]
        assert not one[2] or np.isclose(float(one[2]), float(other[2]))


def test_the_next_likeliest_and_the_unsure(tmp_path, finetuned, images, capsys):
    flags = ["--mode=predict", f"--checkpoint={finetuned}"]
    flags += [f"--images={images}", f"--model_dir={tmp_path / 'out'}"]
    assert main(*flags, "--top_k=2", "--min_probability=0.999") == 0
    header, *rows = predictions(tmp_path / "out")
    assert header[5:] == ["class_2", "probability_2", "novelty"]
    good = [row for row in rows if not row[3]]
    assert len(good) == 4
    unsure = [row for row in good if not row[1]]
    assert unsure and all(float(row[2]) < 0.999 for row in unsure)
    assert f"{len(unsure)} of them are unsure" in capsys.readouterr().out
    for row in good:
        assert float(row[2]) >= float(row[6]) and row[5] in "012"
    assert all(row[5:] == ["", "", ""] for row in rows if row[3])
    page = (tmp_path / "out" / "predictions.html").read_text()
    # The least sure first, and why a file is not there.
    places = [page.index(f"<br>{row[0]}<") for row in good]
    shares = [float(row[2]) for row in good]
    assert np.argsort(places).tolist() == np.argsort(shares).tolist()
    assert page.count("<img") == 4 and "notes.txt" in page
    assert main(*flags, "--top_k=9") == 0
    assert predictions(tmp_path / "out")[0][-3:-1] == [
        "class_3",
        "probability_3",
    ]


def test_what_is_unlike_the_training_is_said(tmp_path, finetuned, capsys):
    folder = tmp_path / "images"
    write_image(folder / "green.png", 1)
    # Nothing in the training has stripes, or a corner of another color.
    stripes = np.zeros([14, 14, 3], np.uint8)
    stripes[::2] = 255
    stripes[:7, :7] = (255, 0, 255)
    (folder / "odd.png").write_bytes(tf.io.encode_png(stripes).numpy())
    flags = ["--mode=predict", f"--images={folder}"]
    run = finetuned
    (export,) = (finetuned / "saved_model").iterdir()
    for checkpoint in (run, export):
        out = tmp_path / checkpoint.name
        code = main(*flags, f"--checkpoint={checkpoint}", f"--model_dir={out}")
        assert code == 0
        _, green, odd = predictions(out)
        assert float(green[-1]) < 0.9 and float(odd[-1]) == 1
        said = capsys.readouterr().out
        assert "1 are less like the training images than 99 %" in said
        assert said.count("odd.png") == 1
        page = (out / "predictions.html").read_text()
        assert page.count("unlike the training images") == 1
    # Of other weights it would say nothing.
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "novelty.npz").unlink()
    code = main(*flags, f"--checkpoint={copy}", f"--model_dir={tmp_path / 'o'}")
    assert code == 0
    assert predictions(tmp_path / "o")[0][-1] == "path"


def test_probabilities_are_calibrated_where_a_temperature_was_fitted(
    tmp_path, finetuned, images
):
    run = tmp_path / "run"
    shutil.copytree(finetuned, run)
    evaluation = json.loads((run / "evaluation.json").read_text())
    evaluation["calibration"]["temperature"] = 3.0
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    again = ["--mode=export", f"--checkpoint={run}", "--noverify_export"]
    assert main(*again, f"--model_dir={tmp_path / 'exported'}") == 0
    (export,) = (tmp_path / "exported" / "saved_model").iterdir()
    found = []
    for checkpoint in (run, export):
        flags = ["--mode=predict", f"--checkpoint={checkpoint}", "--top_k=3"]
        flags += [f"--images={images}", f"--model_dir={tmp_path / 'out'}"]
        assert main(*flags, "--min_probability=0.9") == 0
        found.append(predictions(tmp_path / "out"))
    assert found[0] == found[1]
    header, *rows = found[0]
    assert header[4:7] == ["path", "calibrated_probability", "class_2"]
    for row in rows:
        assert bool(row[5]) == (not row[3])
        if not row[3]:
            shares = np.array([float(row[i]) for i in (2, 7, 9)])
            softer = shares ** (1 / 3)
            assert np.isclose(
                float(row[5]), softer[0] / softer.sum(), atol=1e-4
            )
            assert bool(row[1]) == (float(row[5]) >= 0.9)


def test_a_page_interprets_no_name(tmp_path, finetuned, images):
    names = tmp_path / "names.txt"
    names.write_text("<b>1\n$&\n<script>\n")
    write_image(images / "<i>.png", 1)
    code = main(
        "--mode=predict",
        f"--checkpoint={finetuned}",
        f"--images={images}",
        f"--class_names_file={names}",
        f"--model_dir={tmp_path / 'out'}",
    )
    assert code == 0
    page = (tmp_path / "out" / "predictions.html").read_text()
    for text in ("<b>1", "<script>", "<i>"):
        assert text not in page
    assert "&lt;i&gt;.png" in page and "$&amp;" in page


def test_names_and_folders_that_cannot_be_read_stop_nothing(
    tmp_path, finetuned, images, capsys, monkeypatch
):
    data = (images / "green.png").read_bytes()
    folder = os.fsencode(images)
    for name in (b"\xff\xfe.png", b"caf\xe9/green.png", b"a\nb.png"):
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
    (images / "closed").mkdir()
    scan = os.scandir

    def closed(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    # Whoever runs the tests may be allowed to read everything.
    monkeypatch.setattr(os, "scandir", closed)
    code = main(
        "--mode=predict",
        f"--checkpoint={finetuned}",
        f"--images={images}",
        f"--model_dir={tmp_path / 'out'}",
    )
    assert code == 0
    _, *rows = predictions(tmp_path / "out")
    classes = {file: name for file, name, *_ in rows}
    for name in ("\\xff\\xfe.png", "caf\\xe9/green.png", "a\nb.png"):
        assert classes[name] == "1"
    said = capsys.readouterr().out
    assert "cannot be read: closed (Permission denied)" in said
    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(UserError, match="not valid UTF-8: rename it"):
        walk(str(images))


def test_one_image(tmp_path, finetuned, images):
    code = main(
        "--mode=predict",
        f"--checkpoint={finetuned}",
        f"--images={images / 'green.png'}",
        f"--model_dir={tmp_path / 'out'}",
    )
    assert code == 0
    ((file, name, *_),) = predictions(tmp_path / "out")[1:]
    assert (file, name) == ("green.png", "1")


def pretrained_of(run_dir: pathlib.Path, folder: pathlib.Path):
    """The run as if it were a pretraining with its online classifier."""
    copy = folder / "pretrained"
    shutil.copytree(run_dir, copy)
    record = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(
        json.dumps({**record, "stage": "pretrain"})
    )
    return copy


@pytest.mark.parametrize(
    "what, message",
    [
        ("nothing", "Predictions need images"),
        ("missing", "is neither a folder nor an image file"),
        ("empty", "holds no image (.jpg"),
        ("no image", "notes.txt is no image of a known format"),
        ("pretrained", "have learned no classes"),
        ("names", "holds 2 names, but the weights"),
        ("no names", "no_such.txt cannot be read"),
    ],
)
def test_mistakes(tmp_path, finetuned, images, capsys, what, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "two.txt").write_text("one\ntwo\n")
    checkpoint = finetuned
    if what == "pretrained":
        checkpoint = pretrained_of(finetuned, tmp_path)
    flags = {
        "nothing": [],
        "missing": [f"--images={tmp_path / 'missing'}"],
        "empty": [f"--images={tmp_path / 'empty'}"],
        "no image": [f"--images={images / 'notes.txt'}"],
        "pretrained": [f"--images={images}"],
        "names": [
            f"--images={images}",
            f"--class_names_file={tmp_path / 'two.txt'}",
        ],
        "no names": [
            f"--images={images}",
            f"--class_names_file={tmp_path / 'no_such.txt'}",
        ],
    }[what]
    capsys.readouterr()
    code = main(
        "--mode=predict",
        f"--checkpoint={checkpoint}",
        *flags,
        f"--model_dir={tmp_path / 'out'}",
    )
    assert code == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_export_into_another_run_is_refused(tmp_path, finetuned, capsys):
    other = pretrained_of(finetuned, tmp_path)
    before = sorted(other.rglob("*"))
    flags = [f"--checkpoint={finetuned}", f"--model_dir={other}"]
    assert main("--mode=export", *flags) == 2
    assert "is in use: it holds another run" in capsys.readouterr().err
    assert sorted(other.rglob("*")) == before


def test_predictions_are_a_list_of_images(tmp_path, finetuned, images):
    """Predictions can be corrected and trained on."""
    out = tmp_path / "out"
    code = main(
        "--mode=predict",
        f"--checkpoint={finetuned}",
        f"--images={images}",
        f"--model_dir={out}",
    )
    assert code == 0
    config = DataConfig(
        dataset=str(out / "predictions.csv"),
        bad_images="skip",
        bad_images_max_share=0.9,
    )
    found = open_dataset(config)
    paths = {found.train.pixels.path(i) for i in range(len(found.train))}
    good = ("green.png", "more/red.JPG", "blue.png", "red")
    assert paths == {str(images / name) for name in good}
    assert found.train.class_names == ("0", "1", "2")
