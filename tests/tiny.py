"""Runs so small that a whole road takes seconds."""

import os
import pathlib
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).parent.parent

# A network and a schedule that learn nothing much, quickly.
NETWORK = [
    "--resnet_depth=18",
    "--width_multiplier=0.05",
    "--image_size=8",
    "--proj_out_dim=16",
    # Its many operations take a second to trace; tests of its own have it.
    "--color_jitter_strength=0",
    # An export takes longer than the training.
    "--noexport",
]
SCHEDULE = [
    "--train_batch_size=8",
    "--train_epochs=2",
    "--warmup_epochs=0",
    "--checkpoint_steps=2",
]
FLAGS = [*NETWORK, *SCHEDULE]


def write_npz(folder: pathlib.Path, *, labels: bool = True) -> str:
    """24 training and 7 test images of 3 classes, 8x8."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 24), ("test", 7)):
        classes = np.arange(count) % 3
        images = rng.integers(0, 100, (count, 8, 8, 3), dtype=np.uint8)
        images[np.arange(count), :, :, classes] += 150
        arrays[f"x_{split}"] = images
        if labels:
            arrays[f"y_{split}"] = classes
    path = folder / "tiny.npz"
    np.savez(path, **arrays)
    return str(path)


RUN = ROOT / "run.py"
# The same with a network that is soon traced.
ONE_BLOCK = ROOT / "tests" / "one_block.py"


def run(
    *arguments: str, program: pathlib.Path = RUN, **kwargs
) -> subprocess.CompletedProcess:
    """Runs `run.py` as a user does."""
    return subprocess.run(
        [sys.executable, str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": ""},
        check=False,
        **kwargs,
    )


def checkpoint_steps(model_dir: pathlib.Path) -> list[int]:
    """Of the checkpoints that are whole: a manifest is written last."""
    paths = model_dir.glob("checkpoints/ckpt-*.manifest.json")
    return sorted(int(path.name[5:].split(".")[0]) for path in paths)
