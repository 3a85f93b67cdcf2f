"""Scoring a finished run or a checkpoint."""

import dataclasses

from tf_simclr.config.flat import from_flat, to_flat
from tf_simclr.config.run import Config
from tf_simclr.data.labels import choose_labels, mask_labels
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.errors import UserError
from tf_simclr.evaluation.evaluate import (
    classifier_evaluator,
    pretraining_evaluator,
)
from tf_simclr.models.network import build_network
from tf_simclr.training.progress import say
from tf_simclr.training.run_dir import RunDirectory, check_writable
from tf_simclr.weights.assign import assign_weights
from tf_simclr.weights.stored import StoredWeights, open_weights


def evaluate(config: Config) -> dict[str, float]:
    """Evaluates `--checkpoint`, or the run in `model_dir` itself.

    The data flags of the run are used again; those that are given override
    them. `result.json` goes to `model_dir`.

    Returns:
      The metrics.
    """
    model_dir = config.run.model_dir
    path = config.objective.checkpoint
    stored = (
        open_weights(path, "checkpoint")
        if path
        else open_weights(model_dir, "model_dir")
    )
    check_writable(model_dir)
    config = _with_stored_data(config, stored)
    splits = open_dataset(config.data)
    images = splits.evaluation
    if images is None or not images.has_labels:
        raise UserError(
            f"--dataset={config.data.dataset} has no labelled images to"
            " evaluate on: name a split with --eval_split."
        )
    classes = stored.architecture.num_classes
    if classes and classes != len(images.class_names):
        raise UserError(
            f"The weights in {stored.path} know {classes} classes, but"
            f" --dataset={config.data.dataset} has {len(images.class_names)}."
        )
    network = build_network(stored.architecture, config.data.image_size)
    say(str(assign_weights(network, stored, with_classifier=True)))
    if stored.stage == "pretrain":
        subset = choose_labels(splits.train, config.data)
        references = mask_labels(splits.train, subset)
        evaluator = pretraining_evaluator(
            network, images, references, config.data
        )
    else:
        evaluator = classifier_evaluator(network, images, config.data)
    result = {"global_step": float(stored.step), **evaluator()}
    RunDirectory(model_dir).write_result(result)
    for name, value in result.items():
        say(f"{name} {value:g}")
    return result


def _with_stored_data(config: Config, stored: StoredWeights) -> Config:
    if stored.config is None:
        return config
    names = [field.name for field in dataclasses.fields(config.data)]
    flat = to_flat(config)
    values = {
        name: flat[name] if name in config.given else stored.config[name]
        for name in names
    }
    return from_flat(values, config)
