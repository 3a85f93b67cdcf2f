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

import numpy as np
import tiny

from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.stages.distill import distill
from tf_simclr.stages.finetune import finetune
from tf_simclr.stages.pretrain import pretrain
from tf_simclr.weights.open import open_weights
from tf_simclr.weights.own import PREFIX, SUFFIX

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
    """Weights, metrics and result of a run."""
    stored = open_weights(str(folder), "checkpoint")
    return (
        {
            key.removeprefix(PREFIX).removesuffix(SUFFIX): stored.read(key)
            for key in stored.shapes
        },
        (folder / "metrics.jsonl").read_text(),
        json.loads((folder / "result.json").read_text()),
    )


def main(folder: pathlib.Path) -> None:
    """Compares an undisturbed run of each stage with a resumed one."""
    dataset = tiny.write_npz(folder)
    flags = {
        "pretrain": "",
        "finetune": f"--checkpoint={folder / 'pretrain-whole'}",
        "distill": f"--teacher={folder / 'finetune-whole'}",
    }
    for stage, text in flags.items():
        whole = folder / f"{stage}-whole"
        parts = folder / f"{stage}-parts"
        run(stage, whole, dataset, text)
        run(stage, parts, dataset, text)
        forget_the_last_two_steps(parts)
        run(stage, parts, dataset, text)
        (expected, *rest), (found, *other) = state(whole), state(parts)
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert np.array_equal(value, found[name]), f"{stage}: {name}"
        assert rest == other, f"{stage}: {rest} {other}"


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
