"""Pipelines whose labels are chosen after the pretraining, or given by hand."""

import csv
import json
import pathlib

import numpy as np
import pytest
import tiny

from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.errors import UserError
from tf_simclr.modes.embed import embed
from tf_simclr.modes.pipeline import pipeline

pytestmark = pytest.mark.usefixtures("one_block")


def run(folder: pathlib.Path, dataset: str, text: str) -> dict:
    flags = parse_overrides(
        f"{' '.join(tiny.FLAGS)} --train_epochs=1 --propagate_labels=both"
        f" --distill_flags='--width_multiplier=0.03' {text}",
        "flags",
    )
    flags |= {"mode": "pipeline", "model_dir": str(folder), "dataset": dataset}
    return pipeline(from_flat(flags))


def rows(path: pathlib.Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_labels_are_chosen_after_pretraining(tmp_path, capsys):
    dataset = tiny.write_npz(tmp_path)
    folder = tmp_path / "run"
    text = "--label_choice=suggest --label_budget=12 --label_rounds=2"
    result = run(folder, dataset, text)
    said = capsys.readouterr().out
    assert result["labels"] == 12
    labels = rows(folder / "labels" / "labels.csv")
    assert len(labels) == 12
    with np.load(dataset) as archive:
        true = archive["y_train"]
    for row in labels:
        assert row["label"] == str(true[int(row["path"].split("/")[-1])])
    stored = json.loads((folder / "finetune" / "labels.json").read_text())
    assert sorted(stored["ids"]) == sorted(row["path"] for row in labels)
    # Two rounds, and the second one knew the labels of the first.
    assert "6 of 24 images to label next (typiclust; 0 have a label)" in said
    assert "6 of 24 images to label next (typiclust; 6 have a label)" in said
    assert "distilled student" in said and "12 labelled in 3 classes" in said
    report = (folder / "report.md").read_text()
    assert "12 labels, chosen by typiclust in 2 rounds, label seed 0." in report
    assert (folder / "distill" / "propagated.npz").exists()
    # Half of them, and all.
    half, every = result["labels_spent"]
    assert (half["labels"], every["labels"]) == (6, 12)
    assert every["accuracy"] == result["carried_top_1"]
    assert every["estimate"] == result["carried_estimate"]
    assert f"| 6 | {half['accuracy']:.4f} |" in report
    page = (folder / "report.html").read_text()
    assert "accuracy against labels spent" in page
    # Pretraining has seen no label.
    record = json.loads((folder / "pretrain" / "config.json").read_text())
    assert record["config"]["lineareval_while_pretraining"] is False
    # The same command finds all of it finished.
    before = (folder / "labels" / "labels.csv").stat().st_mtime_ns
    assert run(folder, dataset, text) == result
    assert (folder / "labels" / "labels.csv").stat().st_mtime_ns == before


@pytest.mark.slow
def test_an_unlabelled_data_set_waits_for_labels(tmp_path, capsys):
    dataset = tiny.write_npz(tmp_path, labels=False)
    folder = tmp_path / "run"
    run(folder, dataset, "--label_budget=9")
    said = capsys.readouterr().out
    said = said.replace(" \\\n    ", " ")
    assert f"--mode=label --model_dir={folder}/labels" in said
    assert "the same command goes on" in said
    suggested = rows(folder / "labels" / "to_label.csv")
    assert len(suggested) == 9 and not (folder / "finetune").exists()
    # A person types into the list, and repeats the command.
    lines = [
        f"{row['path']},{'ab'[number % 2]}"
        for number, row in enumerate(suggested)
    ]
    listed = folder / "labels" / "to_label.csv"
    listed.write_text("path,label\n" + "\n".join(lines))
    result = run(folder, dataset, "--label_budget=9")
    assert len(rows(folder / "labels" / "labels.csv")) == 9
    assert len(rows(listed)) == 9
    # The same command finds all of it finished.
    assert run(folder, dataset, "--label_budget=9") == result
    # A label more: the way to use it is told, and nothing is damaged.
    name = next(
        f"unnamed/{number}"
        for number in range(24)
        if f"unnamed/{number}" not in [row["path"] for row in suggested]
    ).replace("unnamed", suggested[0]["path"].rpartition("/")[0])
    listed.write_text(f"path,label\n{name},a\n")
    before = (folder / "finetune" / "result.json").read_bytes()
    with pytest.raises(UserError, match="have changed .*9 then, 10 now") as e:
        run(folder, dataset, "--label_budget=9")
    assert f"remove {folder}/distill and {folder}/finetune," in str(e.value)
    assert (folder / "finetune" / "result.json").read_bytes() == before
    assert result["labels"] == 9 and "distilled_top_1" not in result
    assert (folder / "distill" / "result.json").exists()
    assert not (folder / "supervised").exists()
    assert "without a score" in capsys.readouterr().out


@pytest.mark.slow
def test_batches_are_no_larger_than_the_labels(tmp_path, capsys):
    """Of flags for 8 labels and more, whoever gave 5 gets batches of 5."""
    dataset, folder = tiny.write_npz(tmp_path), tmp_path / "run"
    text = "--label_choice=random --label_budget=5"
    # Along other features than the teacher's.
    text += " --propagate_along=pretrained"
    # And a student of smaller images.
    text += " --distill_flags='--width_multiplier=0.03 --image_size=6'"
    assert run(folder, dataset, text)["labels"] == 5
    said = capsys.readouterr().out
    path = folder / "labels" / "features.npz"
    assert f"5 carried along the features of {path} to 24 images" in said
    record = json.loads((folder / "distill" / "config.json").read_text())
    assert {"teacher", "features"} <= record["sources"].keys()
    assert record["config"]["image_size"] == 6
    assert ", on images of 8 pixels" in said
    stages = from_flat({"mode": "embed", "checkpoint": f"{folder}/pretrain"})
    flags = {"model_dir": str(tmp_path / "found"), "map": "none"}
    with (
        np.load(embed(from_flat(flags, stages))) as found,
        np.load(path) as used,
    ):
        assert found["ids"].tolist() == used["ids"].tolist()
        assert np.allclose(found["features"], used["features"], atol=1e-5)
    assert "finetune: batches of 5, all images that it trains on" in said
    found = {}
    for part in ("finetune", "distill"):
        record = json.loads((folder / part / "config.json").read_text())
        found[part] = record["config"]["train_batch_size"]
    assert found == {"finetune": 5, "distill": 8}
    # The same command finds all of it finished.
    before = (folder / "finetune" / "config.json").stat().st_mtime_ns
    run(folder, dataset, text)
    assert (folder / "finetune" / "config.json").stat().st_mtime_ns == before


def test_random_images_are_drawn_by_seed(tmp_path):
    from tf_simclr.modes.pipeline_labels import (
        choose_pipeline_labels,
        pipeline_labels,
    )

    def drawn(seed: int) -> list[str]:
        config = from_flat(
            {
                "mode": "pipeline",
                "dataset": dataset,
                "model_dir": str(tmp_path / str(seed)),
                "label_choice": "random",
                "label_budget": 7,
                "label_seed": seed,
            }
        )
        labels = pipeline_labels(config)
        assert labels.scored and not labels.by_hand
        assert choose_pipeline_labels(config, labels)
        found = rows(pathlib.Path(labels.table))
        return [row["path"] for row in found]

    dataset = tiny.write_npz(tmp_path)
    assert len(drawn(0)) == 7
    assert drawn(0) == drawn(0) != drawn(1)


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "--label_choice=suggest --labels_per_class=2",
            "--label_choice=suggest and --labels_per_class each choose",
        ),
        (
            "--label_choice=random --label_budget=25",
            "more than the 24 labelled",
        ),
        ("--label_budget=5", "--label_budget has no effect with"),
        ("--suggest=probcover", "--suggest has no effect with"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path / "run", tiny.write_npz(tmp_path), text)
    assert not (tmp_path / "run").exists()


def test_nothing_to_draw_from(tmp_path):
    dataset = tiny.write_npz(tmp_path, labels=False)
    with pytest.raises(UserError, match="has no labels of which --labels_per"):
        run(tmp_path / "run", dataset, "--labels_per_class=2")
