"""Measures the pretraining step of one configuration, in its own process.

    python benchmarks/one_step.py --flags="--resnet_depth=18 --image_size=32
        --train_batch_size=256 --precision=mixed_bfloat16"

prints one line of JSON. `train_step.py` and `memory.py` call it once per
configuration, so that peaks of memory are those of one configuration. Images
are random bytes; there are as many as a batch has, in memory.
"""

import argparse
import json
import pathlib
import resource
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import run

# Side of the matrices whose product is the measure of a machine.
PEAK_SIDE = 4096


def configuration(flags: str, folder: str):
    """The configuration of the run whose step is measured."""
    import numpy as np

    from tf_simclr.config.flat import from_flat, parse_overrides

    values = parse_overrides(flags, "flags")
    batch, size = values["train_batch_size"], values["image_size"]
    # Photographs have more pixels than the views cut from them.
    side = size if size <= 32 else size * 8 // 7
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
    np.savez(f"{folder}/images.npz", x_train=images)
    values |= {
        "mode": "pretrain",
        "model_dir": f"{folder}/run",
        "dataset": f"{folder}/images.npz",
    }
    config = from_flat({"train_steps": 10**6, **values})
    config.check()
    return config


def pretraining(config):
    """What `--mode=pretrain` would train, and on what."""
    from tf_simclr.data.batches import TrainingBatches
    from tf_simclr.models.network import Architecture
    from tf_simclr.modes.contrastive import contrastive_objective
    from tf_simclr.modes.prepare import prepare_stage
    from tf_simclr.optimizers.factory import (
        build_slots,
        decayed_in_loss,
        make_optimizer,
    )
    from tf_simclr.training.step import Task

    context = prepare_stage(config, "pretrain", labels_only=False)
    size, plan = config.data.image_size, context.plan
    network = context.build(Architecture.for_pretraining(config.model, size, 0))
    trainable = network.trainable_variables
    with context.strategy.scope():
        optimizer = make_optimizer(
            config.optimizer,
            plan.schedule(),
            trainable,
            [],
        )
        build_slots(optimizer, trainable)
    objective, names = contrastive_objective(
        network,
        config.objective,
        decayed_in_loss(config.optimizer, network, []),
        config.optimizer.weight_decay,
    )
    task = Task(
        name="pretrain",
        network=network,
        trainable=trainable,
        optimizer=optimizer,
        objective=objective,
        metric_names=names,
        summary=lambda metrics: [],
        batches=TrainingBatches(
            context.images,
            config.augment,
            size,
            config.train.seed,
            contrastive=True,
        ),
        batch_size=config.optimizer.train_batch_size,
    )
    return context, context.fitted(task)


def make_runs(context, task):
    """{what: function of a number of steps}, both on the task's devices."""
    import tensorflow as tf

    from tf_simclr.training.distributed_input import distributed_iterator
    from tf_simclr.training.running import start_running
    from tf_simclr.training.step import make_global_step, make_step_function

    config, strategy = context.config.train, context.strategy
    iterator = distributed_iterator(
        task.batches,
        task.batch_size,
        strategy,
        [(0, 10**6)],
        passes=task.passes,
    )
    fixed = next(iterator)
    step = make_global_step(task, strategy, config.jit_compile)

    @tf.function(reduce_retracing=True)
    def bare_steps(batch, count):
        losses = tf.constant(0.0)
        for _ in tf.range(count):
            losses += strategy.reduce(
                "MEAN", step(batch)["total_loss"], axis=None
            )
        return losses

    whole_steps = make_step_function(task, strategy, config)
    # The task's metrics, then the gradient's norm.
    start = start_running(0, [0.0] * (len(task.metric_names) + 1))

    def bare(count: int) -> float:
        return float(bare_steps(fixed, tf.constant(count)))

    def end_to_end(count: int) -> float:
        found, _ = whole_steps(iterator, tf.constant(count), start)
        return float(found.sums[0])

    return {"bare": bare, "end_to_end": end_to_end}


def product_gflops(policy: str, side: int, repeats: int) -> list[float]:
    """10^9 operations a second of matrix products in a policy's dtype."""
    import tensorflow as tf

    dtype = policy.removeprefix("mixed_")
    left = tf.cast(tf.random.stateless_normal([side, side], [0, 0]), dtype)

    @tf.function
    def product() -> tf.Tensor:
        return tf.reduce_sum(tf.matmul(left, left)[0])

    product()
    rates = []
    for _ in range(repeats):
        started = time.perf_counter()
        product().numpy()
        rates.append(2e-9 * side**3 / (time.perf_counter() - started))
    return rates


def peak_bytes() -> dict[str, int]:
    """The most memory that this process has had, on host and device."""
    import tensorflow as tf

    peak = {
        "host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    for device in tf.config.list_logical_devices("GPU"):
        name = device.name.partition("device:")[2]
        peak[name] = tf.config.experimental.get_memory_info(name)["peak"]
    return peak


def measure(arguments: argparse.Namespace) -> dict:
    """Everything that is known of one configuration."""
    from flops import training_flops
    from hardware import hardware

    with tempfile.TemporaryDirectory() as folder:
        config = configuration(arguments.flags, folder)
        context, task = pretraining(config)
    runs = make_runs(context, task)
    ready = peak_bytes()
    found = {name: [] for name in arguments.measure}
    for name in found:
        # Traces, and fills what is made ahead.
        runs[name](1)
    for _ in range(arguments.repeats):
        # In turns, so that a slow minute of the machine hits all alike.
        for name, pairs in found.items():
            started = time.perf_counter()
            runs[name](arguments.steps)
            seconds = time.perf_counter() - started
            pairs.append(task.batch_size * arguments.steps / seconds)
    peak = peak_bytes()
    policy = context.precision.policy
    rates = (
        product_gflops(policy, arguments.peak_side, arguments.repeats)
        if arguments.peak_side
        else []
    )
    return {
        "flags": arguments.flags,
        "precision": policy,
        "batch": task.batch_size,
        "devices": context.strategy.num_replicas_in_sync,
        "pairs_per_second": found,
        # Two views.
        "flops_per_pair": 2
        * training_flops(task.network, config.data.image_size),
        "product_gflops": rates,
        "ready_bytes": ready,
        "peak_bytes": peak,
        "hardware": hardware(),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flags", required=True)
    parser.add_argument("--measure", nargs="*", default=["bare", "end_to_end"])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak_side", type=int, default=PEAK_SIDE)
    arguments = parser.parse_args()
    arguments.flags = " ".join(arguments.flags.split())
    if "--jit_compile" not in arguments.flags:
        run.compile_views_only()
    run.import_tensorflow()
    print(json.dumps(measure(arguments)))


if __name__ == "__main__":
    main()
