"""The driver that times the original release, with a release made up here."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
RELEASE = {
    "data.py": """\
def build_distributed_dataset(builder, batch, training, strategy, topology):
    images = builder.as_dataset(split="train", shuffle_files=True)
    return strategy.distribute_datasets_from_function(
        lambda _: images.repeat().batch(batch)
    )
""",
    "run.py": """\
import data
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import flags

flags.DEFINE_integer("train_steps", 0, "")
flags.DEFINE_integer("checkpoint_steps", 0, "")
flags.DEFINE_integer("train_batch_size", 0, "")
flags.DEFINE_string("model_dir", None, "")
flags.DEFINE_bool("use_tpu", True, "")


def main(argv):
    wanted = flags.FLAGS
    assert not wanted.use_tpu
    builder = tfds.builder("cifar10", data_dir=None)
    builder.download_and_prepare()
    assert builder.info.splits["train"].num_examples == 50_000
    strategy = tf.distribute.get_strategy()
    batches = iter(
        data.build_distributed_dataset(
            builder, wanted.train_batch_size, True, strategy, None
        )
    )
    manager = tf.train.CheckpointManager(
        tf.train.Checkpoint(), wanted.model_dir, 1
    )
    seen = set()
    for step in range(1, wanted.train_steps + 1):
        images, labels = next(batches)
        assert images.shape == (8, 32, 32, 3)
        seen.add(images.numpy().tobytes())
        if step % wanted.checkpoint_steps == 0:
            manager.save(step)
    print("different batches:", len(seen))
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("bare", [True, False])
def test_it_prints_a_rate_per_loop(tmp_path, bare):
    for name, text in RELEASE.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "benchmarks/speed/against/original.py"),
            f"--release={tmp_path}",
            *("--steps=2", "--repeats=3", "--flags=--train_batch_size=8"),
            *["--bare"] * bare,
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rates = re.findall(r"pairs/s: ([\d.]+)", done.stdout)
    assert len(rates) == 3
    assert all(float(rate) > 0 for rate in rates)
    assert f"different batches: {1 if bare else 8}" in done.stdout
    assert not list(tmp_path.rglob("ckpt*"))
