"""The benchmark of the first minutes: its reading of a run's lines."""

import pytest

from benchmarks.speed import first_minutes

LINES = [
    (4.5, "  class   images  labelled"),
    (4.6, "--- pretrain: runs/digits/pretrain"),
    (4.6, "  steps      1123 (100.0 epochs) of batch 128, warm-up 112"),
    (9.9, "seconds_to_first_step 9.9 (since the process started)"),
    (9.9, "pretrain 1/1123  loss 5.422 (chance 5.541)  lr 0"),
    (20.0, "pretrain 600/1123  loss 4.0 (chance 5.541)  lr 0.001"),
    (60.0, "pretrain done at step 1123: knn_top_1_accuracy 0.9833"),
    (62.0, "--- finetune: linear"),
    (66.5, "finetune 1/201  loss 2.3082  lr 0.001"),
    (80.0, "finetune done at step 201: label_top_1_accuracy 0.8889"),
    (85.0, "| method                 | test accuracy |"),
]


def test_lines_become_parts():
    found = first_minutes.timeline(LINES, 90.0)
    assert found == first_minutes.Timeline(
        [
            first_minutes.Part("pretrain", 4.6, 9.9, 60.0),
            first_minutes.Part("linear", 62.0, 66.5, 80.0),
        ],
        85.0,
        90.0,
    )


def test_tables():
    found = {
        "parts": [
            {"name": "pretrain", "block": 4.6, "step": 9.9, "done": 60.0},
            {"name": "linear", "block": 62.0, "step": 66.5, "done": 80.0},
        ],
        "table": 85.0,
        "end": 90.0,
    }
    rows = first_minutes.recipe_table(found).splitlines()[2:]
    assert rows == [
        "| pretrain | 4.6 | 5.3 | 50.1 | 60.0 |",
        "| linear | 2.0 | 4.5 | 13.5 | 80.0 |",
        "| table and report | 10.0 |  |  | 90.0 |",
    ]
    stages = first_minutes.stage_table(found["parts"]).splitlines()[2:]
    assert stages[1].endswith("| 38.2 (9.9-66.5) |")


@pytest.mark.slow
def test_a_run_is_timed(tmp_path):
    found = first_minutes.run(
        "--mode=pretrain",
        *("--dataset=digits", "--image_size=8", "--resnet_depth=18"),
        *("--width_multiplier=0.05", "--train_batch_size=8", "--noexport"),
        *("--train_steps=1", f"--model_dir={tmp_path / 'run'}"),
    )
    [part] = found.parts
    assert part.name == "run"
    assert 0 < part.block < part.step <= part.done < found.end
    assert found.table is None
