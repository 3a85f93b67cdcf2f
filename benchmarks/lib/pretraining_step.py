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
    from tf_simclr.optimizers.schedule import WarmupCosine
    from tf_simclr.training.step import Task

    context = prepare_stage(config, "pretrain", labels_only=False)
    size, plan = config.data.image_size, context.plan
    network = context.build(Architecture.for_pretraining(config.model, size, 0))
    trainable = network.trainable_variables
    with context.strategy.scope():
        optimizer = make_optimizer(
            config.optimizer,
            WarmupCosine(plan.peak, plan.warmup_steps, plan.total_steps),
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
