"""The study of label efficiency: what it scores, keeps and prints."""

import json
import pathlib

import numpy as np
import pytest

from benchmarks.accuracy import label_efficiency
from benchmarks.lib.classical_baselines import METHODS, ClassicalBaselines
from tf_simclr import cli
from tf_simclr.config import Config, DataConfig
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
def untrained(monkeypatch) -> None:
    """Runs train nothing, and leave scores that follow from their flags."""
    images = open_dataset(DataConfig(dataset="digits", image_size=8)).train

    def program(*flags: str) -> None:
        config = cli.parse_config(["run.py", *flags])
        config.check()
        folder = pathlib.Path(config.run.model_dir)
        stages = {
            "pretrain": lambda: {"temperature": config.objective.temperature},
            "finetune": lambda: finetune(config),
            "pipeline": lambda: pipeline(config, folder),
        }
        result = stages[config.run.mode]()
        folder.mkdir(exist_ok=True, parents=True)
        (folder / "result.json").write_text(json.dumps(result))

    def finetune(config: Config) -> dict[str, float]:
        score = 0.5 + config.train.train_steps / 10_000
        score -= 0.1 * config.model.ft_proj_selector
        return {"eval/label_top_1_accuracy": score}

    def pipeline(config: Config, folder: pathlib.Path) -> dict[str, float]:
        pretrained = (folder / "pretrain" / "result.json").read_text()
        (folder / "finetune").mkdir()
        labels = {
            "ids": images.ids[:40],
            "labels": images.labels[:40].tolist(),
        }
        (folder / "finetune" / "labels.json").write_text(json.dumps(labels))
        names = ("supervised", "linear", "finetuned", "self_distilled")
        if config.labels.label_choice == "suggest":
            assert not config.data.labels_per_class
            names = (*names, f"budget_{config.labels.label_budget}")
        result = {f"{name}_top_1": 0.6 for name in names}
        # The recipe's temperature of pretraining is 0.5.
        score = json.loads(pretrained)["temperature"]
        score += config.optimizer.train_batch_size / 1000
        score += 0.1 * config.data.label_seed
        return {**result, "distilled_top_1": score}

    monkeypatch.setattr(label_efficiency, "run_program", program)


@pytest.mark.usefixtures("untrained")
def test_a_study_scores_what_is_missing(tmp_path):
    flags = ["--dataset=digits", "--image_size=8"]
    study = label_efficiency.Study(tmp_path, "test", flags)
    study.pretrain()
    study.run_cell(4, 0)
    assert study.missing([(4, 0), (4, 1), (9, 0)]) == [(4, 1), (9, 0)]
    # In a process of its own, with the same pretraining.
    study = label_efficiency.Study(tmp_path, "test", flags)
    study.run_cell(4, 1)
    assert study.missing([(4, 0), (4, 1)]) == []
    pretrained = [
        (tmp_path / "test" / name / "result.json").read_bytes()
        for name in ("pretrain", "4-0/pretrain", "4-1/pretrain")
    ]
    assert len(set(pretrained)) == 1
    # No labels are carried along the features of a network of no weights.
    assert len(study.scores) == 2 * (len(label_efficiency.METHODS) - 1)
    text = label_efficiency.table(study.scores)
    # Batches of 4 labels for each of ten classes.
    assert "| distilled student | 0.590 ± 0.071 |" in text
    # The recipe's 300 steps.
    assert "| fine-tuned from head layer 0 | 0.530 ± 0.000 |" in text
    assert "Label seeds per cell: 2 for 4." in text
    label_efficiency.draw(study.scores, tmp_path / "accuracy.png")
    assert (tmp_path / "accuracy.png").stat().st_size > 10_000


@pytest.mark.usefixtures("untrained")
def test_chosen_labels_have_scores_of_their_own(tmp_path):
    flags = ["--dataset=digits", "--image_size=8"]
    drawn = label_efficiency.Study(tmp_path, "test", flags)
    chosen = label_efficiency.Study(tmp_path, "test", flags, "suggest")
    chosen.pretrain()
    chosen.run_cell(4, 0)
    assert drawn.missing([(4, 0)]) == [(4, 0)] and drawn.scores == []
    found = {line["method"]: line["top_1"] for line in chosen.scores}
    assert "finetuned_layer_0" not in found and found["distilled"] > 0.5
    result = tmp_path / "test" / "suggest-4-0" / "result.json"
    # As many labels as four for each of ten classes.
    assert "budget_40_top_1" in json.loads(result.read_text())


def test_choosing_and_scoring_share_no_image(tmp_path):
    flags = ["--dataset=digits", "--image_size=8"]
    seen = {
        part: label_efficiency.Study(tmp_path, part, flags).splits
        for part in ("validation", "test")
    }
    chosen = {*seen["validation"].train.ids, *seen["validation"].evaluation.ids}
    assert chosen == set(seen["test"].train.ids)
    assert not chosen & set(seen["test"].evaluation.ids)
