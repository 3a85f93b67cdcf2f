"""The pretraining step of a configuration, as `--mode=pretrain` builds it.

Images are random bytes; there are as many as a batch has, in memory.
"""

import json
import subprocess
import sys

from benchmarks.lib.paths import ROOT


def run_case(flags: str, options: list[str]) -> dict:
    """Measures one configuration with `one_step.py`, in its own process.

    Args:
      flags: of run.py.
      options: of `one_step.py`.
    """
    script = ROOT / "benchmarks" / "speed" / "one_step.py"
    command = [sys.executable, str(script), f"--flags={flags}", *options]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"This case failed: {flags}")
    return json.loads(done.stdout.splitlines()[-1])


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
    """The job that `--mode=pretrain` would train."""
    from tf_simclr.modes.execute import make_task
    from tf_simclr.modes.prepare import prepare
    from tf_simclr.optimizers.factory import build_slots

    method_class, job = prepare(config)
    method = method_class(job)
    with job.strategy.scope():
        build_slots(method.optimizer, method.trainable)
    return job, make_task(job, method)
