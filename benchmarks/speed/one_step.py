"""Measures the pretraining step of one configuration, in its own process.

    python benchmarks/speed/one_step.py --flags="--resnet_depth=18
        --image_size=32 --train_batch_size=256 --precision=mixed_bfloat16"

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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.pretraining_step import configuration, pretraining
from benchmarks.lib.timing import add_timing_options, pairs_per_second
from tf_simclr import process

# Side of the matrices whose product is the measure of a machine.
PEAK_SIDE = 4096


def make_runs(job, task):
    """{what: function of a number of steps}, both on the task's devices."""
    import tensorflow as tf

    from tf_simclr.training.distributed_input import distributed_iterator
    from tf_simclr.training.metric_sums import start_sums
    from tf_simclr.training.step import make_global_step, make_step_function

    config, strategy = job.config.train, job.strategy
    iterator = distributed_iterator(
        task.batches,
        task.batch_size,
        strategy,
        [(0, 10**6)],
        num_micro_batches=task.num_micro_batches,
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
    start = start_sums(0, [0.0] * len(task.metric_names))

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
    from benchmarks.lib.flops import training_flops
    from benchmarks.lib.hardware import hardware

    with tempfile.TemporaryDirectory() as folder:
        config = configuration(arguments.flags, folder)
        job, task = pretraining(config)
    runs = make_runs(job, task)
    ready = peak_bytes()
    found = {name: [] for name in arguments.measure}
    for name in found:
        # Traces, and fills what is made ahead.
        runs[name](1)
    for _ in range(arguments.repeats):
        # In turns, so that a slow minute of the machine hits all alike.
        for name, pairs in found.items():
            pairs.append(
                pairs_per_second(runs[name], arguments.steps, task.batch_size)
            )
    peak = peak_bytes()
    policy = job.precision.policy
    rates = (
        product_gflops(policy, arguments.peak_side, arguments.repeats)
        if arguments.peak_side
        else []
    )
    return {
        "flags": arguments.flags,
        "precision": policy,
        "batch": task.batch_size,
        "devices": job.strategy.num_replicas_in_sync,
        "pairs_per_second": found,
        # Two views.
        "flops_per_pair": 2
        * training_flops(task.method.network, config.data.image_size),
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
    add_timing_options(parser)
    parser.add_argument("--peak_side", type=int, default=PEAK_SIDE)
    arguments = parser.parse_args()
    arguments.flags = " ".join(arguments.flags.split())
    if "--jit_compile" not in arguments.flags:
        process.compile_views_only()
    process.import_tensorflow()
    print(json.dumps(measure(arguments)))


if __name__ == "__main__":
    main()
