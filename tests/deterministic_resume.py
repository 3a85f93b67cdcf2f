"""Stops every stage after two of four steps and compares what it ends with.

A program of its own: determinism, once asked for, holds for a whole process.
    python tests/deterministic_resume.py FOLDER
"""

import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import pytest
import tensorflow as tf
import tiny
from one_block import shorten
from small_task import at_step

from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.modes.execute import run_stage
from tf_simclr.signals import Interrupted

# A log line at step 3 only, so that a stop at step 2 has sums to carry on.
FLAGS = [
    *tiny.FLAGS,
    # Random numbers of every kind.
    "--color_jitter_strength=1",
    "--deterministic",
    "--train_steps=4",
    "--checkpoint_steps=4",
    "--log_every_steps=3",
]


def run(stage: str, folder: pathlib.Path, dataset: str, text: str) -> None:
    """Four steps of a stage, or what is left of them."""
    flags = parse_overrides(" ".join([*FLAGS, text]), "flags")
    flags |= {"mode": stage, "model_dir": str(folder), "dataset": dataset}
    run_stage(from_flat(flags))


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def tensors(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Everything in the last checkpoint."""
    prefix = tf.train.latest_checkpoint(str(folder / "checkpoints"))
    assert prefix.endswith("ckpt-4")
    reader = tf.train.load_checkpoint(prefix)
    shapes = reader.get_variable_to_shape_map()
    # The object graph numbers the layers of a process.
    names = [name for name in shapes if not name.startswith("_")]
    if folder.name.startswith("memory"):
        assert any("memory/queue/rows" in name for name in names)
    if folder.name.startswith("consistency"):
        for part in ("class_averages/level", "weight_ema"):
            assert any(part in name for name in names)
    return {name: reader.get_tensor(name) for name in names}


def compare(whole: pathlib.Path, parts: pathlib.Path) -> None:
    expected, found = tensors(whole), tensors(parts)
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert np.array_equal(value, found[key]), f"{parts}: {key}"
    for name in ("metrics.jsonl", "result.json", "labels.json", "config.json"):
        texts = [(folder / name).read_text() for folder in (whole, parts)]
        assert texts[0].replace(whole.name, parts.name) == texts[1], name


def main(folder: pathlib.Path) -> None:
    """Compares an undisturbed run of each stage with a resumed one."""
    shorten()
    dataset = tiny.write_npz(folder)
    cases = (
        ("pretrain", "pretrain", "--eval_every_epochs=1"),
        # A queue that 16 embeddings a step overrun.
        ("memory", "pretrain", "--memory_size=25 --memory_momentum=0.9"),
        ("finetune", "finetune", f"--checkpoint={folder / 'pretrain-whole'}"),
        ("distill", "distill", f"--teacher={folder / 'finetune-whole'}"),
        (
            "consistency",
            "finetune",
            f"--checkpoint={folder / 'finetune-whole'} --keep_head"
            " --method=fixmatch --labels_per_class=2 --weight_ema=0.9"
            " --confidence_rule=adaptive --unlabeled_ratio=3",
        ),
    )
    for name, stage, text in cases:
        whole = folder / f"{name}-whole"
        parts = folder / f"{name}-parts"
        run(stage, whole, dataset, text)
        with (
            at_step(pytest.MonkeyPatch(), 2, stop),
            pytest.raises(Interrupted),
        ):
            run(stage, parts, dataset, text)
        run(stage, parts, dataset, text)
        compare(whole, parts)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
