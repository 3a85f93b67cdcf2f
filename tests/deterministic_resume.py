"""Stops every stage after two of four steps and compares what it ends with.

A program of its own: determinism, once asked for, holds for a whole process.
    python tests/deterministic_resume.py FOLDER
"""

import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf
import tiny

from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.stages.distill import distill
from tf_simclr.stages.finetune import finetune
from tf_simclr.stages.pretrain import pretrain

STAGES = {"pretrain": pretrain, "finetune": finetune, "distill": distill}


def run(stage: str, folder: pathlib.Path, dataset: str, text: str) -> None:
    """Four steps of a stage, or what is left of them."""
    words = " ".join([*tiny.FLAGS, "--deterministic", "--train_steps=4", text])
    flags = parse_overrides(words, "flags")
    flags |= {"mode": stage, "model_dir": str(folder), "dataset": dataset}
    STAGES[stage](from_flat(flags))


def forget_the_last_two_steps(folder: pathlib.Path) -> None:
    """Leaves what a run has that was killed after step 3."""
    for path in folder.glob("checkpoints/ckpt-4.*"):
        path.unlink()
    (folder / "result.json").unlink()
    state = folder / "checkpoints" / "checkpoint"
    state.write_text(state.read_text().replace("ckpt-4", "ckpt-2"))


def state(folder: pathlib.Path) -> tuple[dict, str, str]:
    """Everything in the last checkpoint, the metrics and the result."""
    prefix = tf.train.latest_checkpoint(str(folder / "checkpoints"))
    reader = tf.train.load_checkpoint(prefix)
    tensors = {
        key: reader.get_tensor(key)
        for key in reader.get_variable_to_shape_map()
        if not key.startswith("_") and "save_counter" not in key
    }
    if "memory" in folder.name:
        assert any("memory/queue/rows" in key for key in tensors)
    return (
        tensors,
        (folder / "metrics.jsonl").read_text(),
        json.loads((folder / "result.json").read_text()),
    )


def main(folder: pathlib.Path) -> None:
    """Compares an undisturbed run of each stage with a resumed one."""
    dataset = tiny.write_npz(folder)
    cases = (
        ("pretrain", "pretrain", ""),
        # A queue that 16 embeddings a step overrun.
        ("memory", "pretrain", "--memory_size=25 --memory_momentum=0.9"),
        ("finetune", "finetune", f"--checkpoint={folder / 'pretrain-whole'}"),
        ("distill", "distill", f"--teacher={folder / 'finetune-whole'}"),
    )
    for name, stage, text in cases:
        whole = folder / f"{name}-whole"
        parts = folder / f"{name}-parts"
        run(stage, whole, dataset, text)
        run(stage, parts, dataset, text)
        forget_the_last_two_steps(parts)
        run(stage, parts, dataset, text)
        (expected, *rest), (found, *other) = state(whole), state(parts)
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert np.array_equal(value, found[key]), f"{stage}: {key}"
        assert rest == other, f"{name}: {rest} {other}"


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
