"""The study of label efficiency: what it runs, keeps and prints."""

import json
import pathlib

import numpy as np
import pytest

from benchmarks.accuracy import label_efficiency
from benchmarks.lib.classical_baselines import METHODS, ClassicalBaselines
from tf_simclr.config import DataConfig
from tf_simclr.data.sources.open import open_dataset


def test_classical_methods_learn_digits():
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.repeat(digits.images[..., None], 3, axis=3) * (255 / 16)
    train, test = images[:1000], images[1000:1300]
    baselines = ClassicalBaselines(train, test, digits.target[1000:1300])
    scores = baselines.scores(np.arange(100), digits.target[:100])
    assert scores.keys() == METHODS.keys()
    assert all(0.75 < score < 1 for score in scores.values())
    # A single label each: nothing to cross-validate with.
    _, first = np.unique(digits.target[:100], return_index=True)
    scores = baselines.scores(first, digits.target[first])
    assert all(0.4 < score < 1 for score in scores.values())


@pytest.fixture
def commands(monkeypatch) -> list[dict[str, str]]:
    """Notes the flags of each run, and leaves what it would leave."""
    noted: list[dict[str, str]] = []

    def run(*flags: str) -> None:
        pairs = (flag.removeprefix("--").partition("=") for flag in flags)
        values = {name: value for name, _, value in pairs}
        noted.append(values)
        folder = pathlib.Path(values["model_dir"])
        mode = values.get("mode")
        if mode == "pretrain":
            result = {}
        elif mode == "finetune":
            result = {"eval/label_top_1_accuracy": 0.5}
        else:
            names = ("supervised", "linear", "finetuned", "self_distilled")
            result = {f"{name}_top_1": 0.6 for name in names}
            result["distilled_top_1"] = 0.7 + 0.1 * int(values["label_seed"])
            assert (folder / "pretrain" / "result.json").exists()
            (folder / "finetune").mkdir()
            labels = {
                "ids": train.ids[:40],
                "labels": train.labels[:40].tolist(),
            }
            (folder / "finetune" / "labels.json").write_text(json.dumps(labels))
        folder.mkdir(exist_ok=True, parents=True)
        (folder / "result.json").write_text(json.dumps(result))

    train = open_dataset(DataConfig(dataset="digits", image_size=8)).train
    monkeypatch.setattr(label_efficiency, "run_program", run)
    return noted


def test_a_study_runs_what_is_missing_once(tmp_path, commands):
    flags = ["--dataset=digits", "--image_size=8"]
    study = label_efficiency.Study(tmp_path, "test", flags)
    study.pretrain()
    study.run_cell(4, 0)
    pretrain, first, layer_0 = commands
    # The recipe's own flags of that stage.
    assert pretrain["temperature"] == "0.5"
    assert first["labels_per_class"] == "4"
    assert first["train_batch_size"] == "40"
    assert layer_0["ft_proj_selector"] == "0"
    assert layer_0["train_steps"] == "300"
    assert study.missing([(4, 0), (4, 1), (9, 0)]) == [(4, 1), (9, 0)]
    # In a process of its own, with the same pretraining.
    study = label_efficiency.Study(tmp_path, "test", flags)
    study.run_cell(4, 1)
    assert len(commands) == 5
    assert (tmp_path / "test" / "4-1" / "pretrain").is_dir()
    text = label_efficiency.table(study.scores)
    assert "| distilled student | 0.750 ± 0.071 |" in text
    assert "Label seeds per cell: 2 for 4." in text
    label_efficiency.draw(study.scores, tmp_path / "accuracy.png")
    assert (tmp_path / "accuracy.png").stat().st_size > 10_000


def test_choosing_and_scoring_share_no_image(tmp_path):
    flags = ["--dataset=digits", "--image_size=8"]
    seen = {
        part: label_efficiency.Study(tmp_path, part, flags).splits
        for part in ("validation", "test")
    }
    chosen = {*seen["validation"].train.ids, *seen["validation"].evaluation.ids}
    assert chosen == set(seen["test"].train.ids)
    assert not chosen & set(seen["test"].evaluation.ids)
