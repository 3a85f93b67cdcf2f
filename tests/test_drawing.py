"""Pictures cost no result, and a user's text is no formula and no markup."""

import json
import os
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_simclr import cli, drawing
from tf_simclr.drawing import plain
from tf_simclr.errors import UserError
from tf_simclr.markdown import literal
from tf_simclr.report.figures import confusion_figure, picture_grid

NAMES = ["$", "$$", "A$$B", "a$_$b", r"\$x", "_hidden", "<b>x<", "| *p* `q`"]


@pytest.mark.parametrize("name", [*NAMES, "$x^2$", r"$\frac", "tab\there"])
def test_names_are_drawn_as_they_are(name):
    from matplotlib import cbook
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    text = Text(0, 0, plain(name))
    shown, is_formula = text._preprocess_math(plain(name))
    assert not is_formula and not cbook.is_math_text(plain(name))
    assert shown.strip() == name.replace("\t", " ")
    # It appears in a legend.
    axes = Figure().add_subplot()
    axes.plot([0, 1], label=plain(name))
    (entry,) = axes.legend().get_texts()
    assert entry.get_text() == plain(name)


def test_pictures_of_such_names():
    assert confusion_figure(np.eye(len(NAMES), dtype=int), NAMES)
    pictures = np.zeros((len(NAMES), 4, 4, 3))
    assert picture_grid(pictures, [f"{name} for $" for name in NAMES])


@pytest.mark.parametrize("columns", [2, 4, 8])
def test_each_picture_lies_in_its_cell(columns):
    pictures = np.zeros((2 * columns, 4, 4, 3))
    png = picture_grid(pictures, ["x"] * len(pictures), columns)
    pixels = tf.io.decode_png(png, channels=3).numpy()
    height, width = pixels.shape[0] // 2, pixels.shape[1] // columns
    for number in range(len(pictures)):
        row, column = divmod(number, columns)
        middle = (row + 0.6) * height, (column + 0.5) * width
        assert not pixels[tuple(map(int, middle))].any(), (row, column)


def test_markdown_shows_names_as_they_are():
    marks = "\\`*_[]<>|$~&#"
    assert literal(marks) == "".join(f"\\{mark}" for mark in marks)
    assert literal("two\nlines") == "two lines"


def test_a_picture_that_fails_costs_a_line(capsys):
    with drawing.drawing("x.png"):
        raise ValueError("first\nsecond")
    assert capsys.readouterr().out == (
        "x.png was not drawn: ValueError: first\n"
    )
    with pytest.raises(KeyboardInterrupt), drawing.drawing("x.png"):
        raise KeyboardInterrupt


def test_a_glyph_that_no_font_has_is_told_once(capsys):
    drawing.say_once.cache_clear()
    for _ in range(2):
        with drawing.drawing("x.png"):
            warnings.warn("Glyph 26085 missing from font", stacklevel=1)
    found = capsys.readouterr().out
    assert found.count("Some characters are boxes") == 1
    with pytest.raises(UserWarning, match="other"), drawing.drawing("x.png"):
        warnings.warn("other", stacklevel=1)


@pytest.fixture
def folder(tmp_path):
    """Images in classes of such names."""
    for place, name in enumerate([*NAMES, "日本"]):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(6):
            pixels = np.full((8, 8, 3), 20 * place + number, np.uint8)
            path = tmp_path / "data" / name / f"{number}.png"
            path.write_bytes(tf.io.encode_png(pixels).numpy())
    return tmp_path / "data"


@pytest.mark.slow
def test_from_folders_of_such_names_to_an_exported_student(
    folder, tmp_path, monkeypatch, capsys, one_block
):
    flags = [*tiny.FLAGS, f"--dataset={folder}", "--eval_fraction=0.34"]
    flags = [flag for flag in flags if flag != "--noexport"]
    flags += ["--labels_per_class=2", "--train_epochs=1"]
    run = tmp_path / "run"
    words = [*flags, "--mode=pipeline", f"--model_dir={run}"]
    assert cli.main(["run.py", *words]) == 0
    capsys.readouterr()
    names = sorted([*NAMES, "日本"])
    (labels,) = (run / "distill" / "saved_model").rglob("labels.txt")
    assert labels.read_text().splitlines() == names
    for file in ("confusion.png", "mistakes.png", "evaluation.md"):
        assert (run / "distill" / file).stat().st_size > 100
    assert r"\| \*p\* \`q\`" in (run / "distill" / "evaluation.md").read_text()
    page = (run / "report.html").read_text()
    assert "<b>x<" not in page and "&lt;b&gt;x&lt;" in page

    # Where drawing fails whatever it draws, all else is there.
    def broken(*_, **__):
        raise RuntimeError("no memory for a picture")

    for name in ("confusion_figure", "reliability_figure", "picture_grid"):
        monkeypatch.setattr(f"tf_simclr.report.evaluation_files.{name}", broken)
    more = ["--mode=finetune", "--from_scratch", f"--model_dir={run}2"]
    assert cli.main(["run.py", *flags, *more]) == 0
    out = capsys.readouterr().out
    assert "confusion.png was not drawn: RuntimeError: no memory" in out
    assert json.loads((tmp_path / "run2" / "result.json").read_text())
    assert os.listdir(tmp_path / "run2" / "saved_model")
    text = (tmp_path / "run2" / "evaluation.md").read_text()
    assert "## Scores" in text and "confusion.png" not in text


def test_a_name_with_a_line_break_is_refused(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", x_train=np.zeros((2, 8, 8, 3), np.uint8))
    (tmp_path / "data" / "two\nlines").mkdir(parents=True)
    (tmp_path / "data" / "other").mkdir()
    image = tf.io.encode_png(np.full((8, 8, 3), 99, np.uint8)).numpy()
    for name in ("two\nlines", "other"):
        (tmp_path / "data" / name / "0.png").write_bytes(image)
    words = [f"--dataset={tmp_path}/data", "--mode=preview"]
    assert cli.main(["run.py", *words, f"--model_dir={tmp_path}/x"]) == 2
    assert r"has a line break" in capsys.readouterr().err
    from tf_simclr.data.label_table import read_label_table

    (tmp_path / "t.csv").write_text('path,label\na.png,"two\nlines"\n')
    with pytest.raises(UserError, match="line break"):
        read_label_table(str(tmp_path / "t.csv"))
