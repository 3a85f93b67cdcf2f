"""Trains every stage on N logical devices and writes down what it found.

A program of its own: a process splits its CPU once.
    python tests/replica_agreement.py N DATASET.npz FOLDER

FOLDER/N.npz holds, for each case, the loss of the first step, the optimizer's
momenta after it (the gradients, up to a factor), all batch-norm statistics and
weights after it and after 20 steps, and NT-Xent by itself with its gradient.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf
import tiny
from one_block import shorten

from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.losses.nt_xent import nt_xent
from tf_simclr.models.momentum import named_variables
from tf_simclr.modes import execute
from tf_simclr.optimizers.factory import build_slots
from tf_simclr.training.checkpoints import Checkpoints, Position
from tf_simclr.training.devices import make_strategy
from tf_simclr.training.step import make_replica_step

STEPS = 20
BATCH = 8
# Stage, its flags, its optimizer and a rate that moves the weights, but so
# little that rounding does not grow into another trajectory.
CASES = {
    f"{name}-{optimizer}": (stage, f"{text} --optimizer={optimizer} {rate}")
    for name, stage, text in (
        ("pretrain", "pretrain", "--temperature=0.5"),
        ("memory", "pretrain", "--temperature=0.5 --memory_size=25"),
        ("finetune", "finetune", "--from_scratch"),
        (
            "fixmatch",
            "finetune",
            "--from_scratch --method=fixmatch --labels_per_class=2"
            " --unlabeled_ratio=2 --confidence_rule=adaptive"
            " --fairness_weight=0.1 --align_distribution=uniform",
        ),
        (
            "distill",
            "distill",
            "--teacher={folder}/teacher --distillation_alpha=0.5",
        ),
    )
    for optimizer, rate in (
        ("lars", "--learning_rate=0.02"),
        ("momentum", "--learning_rate=0.0002"),
    )
    # What each has of its own is the same under any optimizer.
    if optimizer == "lars" or name not in ("memory", "fixmatch")
}


def cases(devices: int) -> list[str]:
    """The cases that are run on so many devices.

    What four have beside two does not depend on the optimizer.
    """
    return [name for name in CASES if devices < 4 or name.endswith("lars")]


class Recorder:
    """Stands in for the training loop and remembers."""

    def __init__(self, folder: pathlib.Path):
        self.found: dict[str, np.ndarray] = {}
        self.case = ""
        self._folder = folder

    def train(self, task, plan, config, run_dir, strategy, *_) -> int:
        """Trains `task`; in all else like `tf_simclr.training.loop.train`."""
        method = task.method
        with strategy.scope():
            build_slots(method.optimizer, method.trainable)
        randomise(method.network, seed=0)
        if "memory" in method.state:
            randomise(method.state["memory"].average, seed=1)
        if self.case == "finetune-lars":
            saver = Checkpoints(run_dir, method.network, method.optimizer, 1)
            saver.save(Position(0, 0, {}), {})
        # Only the loop below needs AutoGraph.
        replica_step = tf.autograph.experimental.do_not_convert(
            make_replica_step(method, strategy.num_replicas_in_sync)
        )

        @tf.function
        def run_steps(iterator, count):
            loss = tf.constant(0.0)
            for _ in tf.range(count):
                metrics = strategy.run(replica_step, args=(next(iterator),))
                method.after_step()
                loss = strategy.reduce("MEAN", metrics["total_loss"], None)
            return loss

        iterator = iter(batches(task.batches.view_names, strategy))
        self._note("loss", run_steps(iterator, tf.constant(1)))
        for index, momentum in enumerate(method.optimizer.momentums):
            self._note(f"1/gradient/{index}", momentum)
        self._note_weights(1, method.network)
        run_steps(iterator, tf.constant(STEPS - 1))
        self._note_weights(STEPS, method.network)
        return STEPS

    def _note(self, name: str, value: tf.Tensor) -> None:
        self.found[f"{self.case}/{name}"] = tf.convert_to_tensor(value).numpy()

    def _note_weights(self, step: int, network: tf.Module) -> None:
        for name, variable in named_variables(network).items():
            kind = "statistic" if "moving" in name else "weight"
            self._note(f"{step}/{kind}/{name}", variable)


def batches(
    names: tuple[str, ...], strategy: tf.distribute.Strategy
) -> tf.distribute.DistributedDataset:
    """Noise, the same on any number of devices.

    Each image has a color of its own: means over the pixels of noise alone
    differ so little that batch norm makes much of their rounding.
    """
    rng = np.random.default_rng(2)
    count = STEPS * BATCH
    arrays = {
        name: rng.random((count, 1, 1, 3), np.float32)
        + 0.5 * rng.random((count, 4, 4, 3), np.float32)
        for name in names
    }
    labels = rng.integers(0, 3, count, np.int32)
    # Few, so that one device has more of them than another.
    arrays["label"] = np.where(rng.random(count) < 0.3, labels, -1)
    dataset = tf.data.Dataset.from_tensor_slices(arrays)
    size = BATCH // strategy.num_replicas_in_sync
    dataset = dataset.batch(size, drop_remainder=True)
    return strategy.distribute_datasets_from_function(lambda _: dataset)


def randomise(network: tf.Module, seed: int) -> None:
    """Values with which no gradient is zero, as those of a block's inside are
    while the scale of its last batch norm is."""
    rng = np.random.default_rng(seed)
    for name, variable in named_variables(network).items():
        values = rng.normal(size=variable.shape)
        if name.endswith(("gamma", "moving_variance")):
            values = 1.0 + 0.2 * np.tanh(values)
        elif len(variable.shape) > 1:
            values /= np.sqrt(np.prod(variable.shape[:-1]))
        variable.assign(values.astype("float32"))


def note_nt_xent(found: dict, strategy: tf.distribute.Strategy) -> None:
    """NT-Xent of embeddings that a NumPy loop can repeat, and its gradient."""
    views = np.random.default_rng(1).normal(size=(2, BATCH, 5))
    views = views.astype("float32")
    replicas = strategy.num_replicas_in_sync
    parts = views.reshape(2, replicas, -1, 5)
    mine = strategy.experimental_distribute_values_from_function(
        lambda c: tf.constant(parts[:, c.replica_id_in_sync_group])
    )

    @tf.function
    def run():
        def on_replica(pair):
            with tf.GradientTape() as tape:
                tape.watch(pair)
                loss = nt_xent(pair[0], pair[1], temperature=0.5).loss
                scaled = loss / replicas
            return loss, tf.transpose(tape.gradient(scaled, pair), (1, 0, 2))

        losses, gradients = strategy.run(on_replica, args=(mine,))
        loss = strategy.reduce("MEAN", losses, axis=None)
        return loss, strategy.gather(gradients, axis=0)

    loss, gradients = run()
    found["nt_xent/views"] = views
    found["nt_xent/loss"] = loss.numpy()
    found["nt_xent/gradient"] = gradients.numpy().transpose(1, 0, 2)


def main(devices: int, dataset: str, folder: pathlib.Path) -> None:
    """Runs all cases on so many devices."""
    # All that differs, in a tenth of the time.
    shorten()
    own = folder / str(devices)
    recorder = Recorder(own)
    execute.train = recorder.train
    for recorder.case in cases(devices):
        stage, text = CASES[recorder.case]
        words = [*tiny.NETWORK, "--num_proj_layers=2", "--width_multiplier=0.1"]
        words += [f"--train_batch_size={BATCH}"]
        words += [f"--train_steps={STEPS}", "--warmup_epochs=0"]
        words += [f"--logical_devices={devices}"] * (devices > 1)
        words.append(text.format(folder=own))
        flags = parse_overrides(" ".join(words), "flags")
        run_dir = own / recorder.case
        if recorder.case == "finetune-lars":
            run_dir = own / "teacher"
        flags |= {"mode": "train", "train_mode": stage, "dataset": dataset}
        config = from_flat({**flags, "model_dir": str(run_dir)})
        execute.run_stage(config)
    note_nt_xent(recorder.found, make_strategy(config))
    np.savez(folder / f"{devices}.npz", **recorder.found)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3]))
