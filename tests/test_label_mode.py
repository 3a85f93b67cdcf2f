"""`--mode=label` as a user starts it, ends it, and as it is killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import label_folder
import numpy as np
import pytest
import tiny

from tf_simclr.config import Config
from tf_simclr.errors import UserError
from tf_simclr.labels.label_book import read_excluded, read_labels
from tf_simclr.modes.label import label
from tf_simclr.signals import Terminated


def config(folder, *flags):
    return Config.from_flags(["--mode=label", f"--model_dir={folder}", *flags])


def refusal(folder, *flags):
    with pytest.raises(UserError) as error:
        label(config(folder, *flags))
    return str(error.value)


def post(address, what, value):
    request = urllib.request.Request(
        f"{address}{what}",
        json.dumps(value).encode(),
        {
            "Content-Type": "application/json",
            "Origin": address.rsplit("/", 2)[0],
        },
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


class Person(threading.Thread):
    """Labels two images, leaves one out, and is done; or is done at once."""

    def __init__(self, output, works):
        super().__init__(daemon=True)
        self._output, self._works = output, works
        self.said, self.state = "", {}

    def run(self):
        deadline = time.monotonic() + 60
        while "Label the images at" not in self.said:
            assert time.monotonic() < deadline
            time.sleep(0.02)
            self.said += self._output()
        address = self.said.split("Label the images at ")[1].split()[0]
        with urllib.request.urlopen(f"{address}state") as answer:
            self.state = json.load(answer)
        if self._works:
            first, second, third = self.state["images"][:3]
            post(address, "label", {"images": [first], "class": "red"})
            post(address, "label", {"images": [second], "class": "blue"})
            post(address, "exclude", {"images": [third]})
        post(address, "done", {})


def serve(folder, capsys, *flags, works=True):
    """Runs the mode until the person is done; and all that was printed."""
    person = Person(lambda: capsys.readouterr().out, works)
    person.start()
    label(config(folder, *flags))
    person.join()
    return person, person.said + capsys.readouterr().out


def test_a_session(tmp_path, capsys):
    folder = label_folder.write_tiny(tmp_path)
    person, said = serve(folder, capsys, "--class_names=red, green")
    assert person.state["news"]["classes"] == [["red", 0], ["green", 0]]
    ids = [image["id"] for image in person.state["images"]]
    assert len(ids) == label_folder.SUGGESTED
    assert read_labels(str(folder)) == {ids[0]: "red", ids[1]: "blue"}
    assert read_excluded(str(folder)) == {ids[2]}
    lines = (folder / "labels.csv").read_text().splitlines()
    assert lines[0] == "path,label,time" and len(lines) == 3
    assert lines[1].startswith(f"{ids[0]},red,20")
    assert lines[2].startswith(f"{ids[1]},blue,20")
    excluded = (folder / "excluded.csv").read_text().splitlines()
    assert excluded[1].startswith(f"{ids[2]},20")
    assert "2 images of 2 classes, 1 excluded; 6 of 9 suggested" in said
    said = said.replace(" \\\n    ", " ")
    assert f"--label_ids={folder}/labels.csv" in said
    assert "--train_batch_size=2 " in said
    # Of those that were suggested, some are left.
    assert f"--mode=label --model_dir={folder}" in said
    assert "--mode=suggest" not in said and "of the pipeline" not in said
    # The next time goes on from there.
    (folder / "labels.csv").unlink()
    person, _ = serve(folder, capsys, works=False)
    assert person.state["news"]["labelled"] == 2
    assert (folder / "labels.csv").read_text().splitlines() == lines


def test_a_pipeline_goes_on_with_the_labels(tmp_path, capsys):
    folder = label_folder.write_tiny(tmp_path)
    path = folder / "suggestion.json"
    record = json.loads(path.read_text())
    record["checkpoint"] = str(tmp_path / "pretrain")
    path.write_text(json.dumps(record))
    _, said = serve(folder, capsys, works=False)
    assert "of the pipeline" not in said and "Train on them" not in said
    _, said = serve(folder, capsys)
    assert f"Repeat the command of the pipeline in {tmp_path}:" in said
    # That command has flags which this one does not know.
    assert "Train on them" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_all_labels(tmp_path, number, monkeypatch):
    folder = label_folder.write_tiny(tmp_path)

    def stop():
        raise Terminated(number)

    monkeypatch.setattr("tf_simclr.modes.label.stop_point", stop)
    expected = contextlib.nullcontext()
    if number != signal.SIGINT:
        expected = pytest.raises(Terminated)
    with expected:
        label(config(folder))
    # The folder is free again.
    with expected:
        label(config(folder))


def test_a_folder_without_a_suggestion_is_refused(tmp_path):
    assert "let --mode=suggest choose them" in refusal(tmp_path / "none")
    folder = label_folder.write_tiny(tmp_path)
    assert f"in it, --model_dir={folder}." in refusal(tmp_path)
    for name, text in (
        ("suggestion.json", "{}"),
        ("suggestion.json", "{"),
        ("features.npz", "no archive"),
        ("to_label.csv", "path,label\nnobody,\n"),
        ("to_label.csv", "path,label\n"),
        ("to_label.csv", "nothing\n1\n"),
    ):
        path = folder / name
        before = path.read_bytes()
        path.write_text(text)
        assert f"{path} cannot be read: run --mode=suggest" in refusal(folder)
        path.write_bytes(before)
        kept = path.rename(tmp_path / "kept")
        if name != "suggestion.json":
            assert f"{path} cannot be read" in refusal(folder)
        kept.rename(path)


def test_a_list_that_a_spreadsheet_saved_is_read(tmp_path, capsys):
    folder = label_folder.write_tiny(tmp_path)
    path = folder / "to_label.csv"
    lines = path.read_text().splitlines()
    # One label was typed; semicolons, and the mark of UTF-8.
    lines[1] += "\u00e9t\u00e9"
    text = "\r\n".join(lines).replace(",", ";")
    path.write_text(text, encoding="utf-8-sig", newline="")
    person, said = serve(folder, capsys, works=False)
    assert person.state["news"]["labelled"] == 1
    assert "1 labels typed into its tables" in said
    first = person.state["images"][0]["id"]
    assert read_labels(str(folder)) == {first: "\u00e9t\u00e9"}
    path.write_text(text, encoding="cp1252", newline="")
    assert "is not valid UTF-8" in refusal(folder)


def test_other_images_are_refused(tmp_path):
    folder = label_folder.write_tiny(tmp_path)
    found = np.load(folder / "features.npz")
    ids, features = found["ids"], found["features"]
    others = np.array(["another", *ids[1:]])
    for changed, message in (
        (ids[::-1], "24 then, 24 now, in another order"),
        (others, f"24 then, 24 now, of another, {ids[0]})"),
    ):
        np.savez(folder / "features.npz", ids=changed, features=features)
        text = refusal(folder)
        assert message in text
        assert "run --mode=suggest again" in text
    np.savez(folder / "features.npz", ids=ids[:5], features=features[:5])
    assert "5 then, 24 now" in refusal(folder)
    np.savez(folder / "features.npz", ids=ids, features=features[:5])
    assert "cannot be read" in refusal(folder)


def test_class_names_are_checked(tmp_path):
    folder = label_folder.write_tiny(tmp_path)
    text = refusal(folder, "--class_names=a,\ab")
    assert text.startswith("--class_names: A class name is one line")


@pytest.mark.slow
def test_no_answered_label_is_lost_when_the_server_is_killed(tmp_path):
    folder = label_folder.write_tiny(tmp_path)
    result = subprocess.run(
        [
            sys.executable,
            str(tiny.ROOT / "tests" / "killed_label_pages.py"),
            str(folder),
            "20",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": ""},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["kills"] == 20
    assert found["answered"] >= 20
    assert found["lost"] == []
