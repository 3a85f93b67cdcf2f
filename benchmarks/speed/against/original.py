"""The step of the original TF2 release, for `train_step.py --against`.

    git clone https://github.com/google-research/simclr
    python benchmarks/speed/against/original.py --release=simclr/tf2

Runs the release's own, unchanged run.py on random images of CIFAR-10's size
and number, by its README's CIFAR-10 command with a batch of 256: from end to
end, or with --bare on one batch of views over and over. Checkpoints are not
written. Prints `pairs/s: X` per repeat; the first loop of steps warms up.
"""

import argparse
import os
import pathlib
import sys
import tempfile
import time
from types import SimpleNamespace
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3]))

from benchmarks.lib.timing import add_timing_options

IMAGES, SIZE, CLASSES = 50_000, 32, 10
_DEFAULT = (
    "--train_mode=pretrain --resnet_depth=18 --image_size=32"
    " --train_batch_size=256 --use_blur=False --color_jitter_strength=0.5"
    " --learning_rate=1.0 --weight_decay=1e-4 --temperature=0.5"
)


class RandomImages:
    """The parts of a builder of TensorFlow Datasets that the release reads."""

    def __init__(self) -> None:
        split = SimpleNamespace(num_examples=IMAGES)
        label = SimpleNamespace(num_classes=CLASSES)
        self.info = SimpleNamespace(
            splits={"train": split, "validation": split},
            features={"label": label},
        )

    def download_and_prepare(self) -> None:
        """Nothing: the images are made in memory."""

    def as_dataset(self, **_):
        """(image uint8 (32, 32, 3), label) of every image."""
        import numpy as np
        import tensorflow as tf

        rng = np.random.default_rng(0)
        shape = IMAGES, SIZE, SIZE, 3
        return tf.data.Dataset.from_tensor_slices(
            (
                rng.integers(0, 256, shape, np.uint8),
                rng.integers(0, CLASSES, IMAGES, np.int64),
            )
        )


def run_release(flags: list[str], bare: bool) -> list[float]:
    """Runs the release's `main`; its folder is on the path.

    Args:
      flags: of its command line.
      bare: whether one batch is repeated.

    Returns:
      The times at which it would have saved a checkpoint, in seconds.
    """
    import data
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from absl import flags as absl_flags

    import run

    absl_flags.FLAGS(["run.py", *flags])
    saves: list[float] = []
    whole = data.build_distributed_dataset

    def one_batch(builder, batch, training, strategy, topology):
        batches = whole(builder, batch, training, strategy, topology)
        first = next(iter(batches))
        return strategy.distribute_datasets_from_function(
            lambda _: tf.data.Dataset.from_tensors(first).repeat()
        )

    def save(*_, **__) -> None:
        saves.append(time.perf_counter())

    with (
        mock.patch.object(tfds, "builder", lambda *_, **__: RandomImages()),
        mock.patch.object(tf.train.CheckpointManager, "save", save),
        mock.patch.object(
            data, "build_distributed_dataset", one_batch if bare else whole
        ),
    ):
        run.main(["run.py"])
    return saves


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--release", required=True, help="its folder tf2")
    parser.add_argument("--flags", default=_DEFAULT)
    parser.add_argument("--bare", action="store_true")
    add_timing_options(parser)
    arguments = parser.parse_args()
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    sys.path.insert(0, str(pathlib.Path(arguments.release).resolve()))
    steps, loops = arguments.steps, arguments.repeats + 1
    with tempfile.TemporaryDirectory() as folder:
        flags = [
            *arguments.flags.split(),
            "--use_tpu=False",
            f"--train_steps={steps * loops}",
            f"--checkpoint_steps={steps}",
            f"--model_dir={folder}",
        ]
        saves = run_release(flags, arguments.bare)
    [batch] = [
        int(flag.partition("=")[2])
        for flag in flags
        if flag.startswith("--train_batch_size=")
    ]
    for before, after in zip(saves, saves[1:], strict=False):
        print(f"pairs/s: {batch * steps / (after - before):.2f}")


if __name__ == "__main__":
    main()
