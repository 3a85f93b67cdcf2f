"""From a folder without labels to a student, by way of the real page."""

import contextlib
import csv
import json
import os
import pathlib
import signal
import subprocess
import sys

import browser
import numpy as np
import pictures
import pytest
import tiny

COLORS = {"red": 0, "green": 1, "blue": 2}
LABELLED = 30


@pytest.fixture
def photos(tmp_path) -> pathlib.Path:
    """48 pictures in one folder, each mostly of one color."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(48):
        image = rng.integers(0, 90, (12, 12, 3), dtype=np.uint8)
        image[..., number % 3] += 150
        name = f"{number:02}.png"
        (folder / name).write_bytes(pictures.encode(image, "PNG"))
    return folder


@contextlib.contextmanager
def serving(folder: pathlib.Path):
    """The page of `--mode=label`: its address."""
    command = [sys.executable, str(tiny.RUN), "--mode=label"]
    command += [f"--model_dir={folder}", f"--class_names={','.join(COLORS)}"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    ) as process:
        try:
            for line in process.stdout:
                if line.startswith("Label the images at "):
                    yield line.split()[-1]
                    break
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        finally:
            process.kill()


def label_all(address: str) -> None:
    """Presses the key of each image's color, as a person would."""
    with browser.driven() as tab:
        tab.open(address)
        for count in range(LABELLED):
            tab.wait(
                "return page.current && !page.busy && document"
                ".querySelector('#counter').textContent.startsWith("
                f"'{count} of')"
            )
            name = tab.run("return document.querySelector('#name').textContent")
            tab.press(str(1 + int(name[:2]) % 3))
        tab.wait(
            "return document.querySelector('#counter').textContent"
            f".startsWith('{LABELLED} of')"
        )


@pytest.mark.slow
@pytest.mark.skipif(
    not browser.can_drive(), reason="no Chromium with a driver on this machine"
)
def test_labels_from_the_page_make_a_student(photos, tmp_path):
    root = tmp_path / "run"
    flags = [
        *(f"--dataset={photos}", f"--model_dir={root}", *tiny.FLAGS),
        *("--mode=pipeline", "--train_epochs=6", "--propagate_labels=both"),
        *(f"--label_budget={LABELLED}", "--learning_rate=0.1"),
        "--distill_flags=--width_multiplier=0.03 --export",
    ]
    first = tiny.run(*flags, program=tiny.ONE_BLOCK)
    assert first.returncode == 0, first.stderr
    said = first.stdout.replace(" \\\n    ", " ")
    assert f"--mode=label --model_dir={root}/labels" in said
    with serving(root / "labels") as address:
        label_all(address)
    with open(root / "labels" / "labels.csv", newline="") as file:
        labels = {row["path"]: row["label"] for row in csv.DictReader(file)}
    assert len(labels) == LABELLED
    assert all(COLORS[labels[n]] == int(n[:2]) % 3 for n in labels)
    # The same command goes on.
    second = tiny.run(*flags, program=tiny.ONE_BLOCK)
    assert second.returncode == 0, second.stderr
    assert "of the labels follow from the others" in second.stdout
    record = json.loads((root / "distill" / "config.json").read_text())
    assert record["dataset"]["class_names"] == sorted(COLORS)
    done = tiny.run(
        *("--mode=predict", f"--checkpoint={root / 'distill'}"),
        *(f"--images={photos}", f"--model_dir={tmp_path / 'predicted'}"),
        program=tiny.ONE_BLOCK,
    )
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "predicted" / "predictions.csv", newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 48 and {row["class"] for row in found} <= set(COLORS)
