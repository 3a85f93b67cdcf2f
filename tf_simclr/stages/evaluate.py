"""Scoring a finished run or a checkpoint."""

import os

from tf_simclr.config.run import Config
from tf_simclr.data.labels import choose_labels, mask_labels
from tf_simclr.errors import UserError
from tf_simclr.evaluation.evaluate import (
    classifier_evaluator,
    pretraining_evaluator,
)
from tf_simclr.stages.images import stage_images, write_image_files
from tf_simclr.stages.loaded import load_network
from tf_simclr.stages.scored import leave_scores
from tf_simclr.training.devices import make_strategy
from tf_simclr.training.progress import say
from tf_simclr.training.run_dir import RunDirectory, check_writable


def evaluate(config: Config) -> dict[str, float]:
    """Evaluates `--checkpoint`, or the run in `model_dir` itself.

    The data flags of the run are used again; those that are given override
    them. `result.json`, `evaluation.md` and what belongs to them go to
    `model_dir`.

    Returns:
      The metrics.
    """
    model_dir = config.run.model_dir
    check_writable(model_dir)
    loaded = load_network(config, make_strategy(config))
    network, stored, data = loaded.network, loaded.stored, loaded.config.data
    splits = stage_images(loaded.config)
    images = splits.evaluation
    if images is None or not images.has_labels:
        raise UserError(
            f"--dataset={data.dataset} has no labelled images to evaluate on:"
            " name a split with --eval_split, or cut one off with"
            " --eval_fraction=0.2."
        )
    classes = stored.architecture.num_classes
    if classes and classes != len(images.class_names):
        raise UserError(
            f"The weights in {stored.path} know {classes} classes, but"
            f" --dataset={data.dataset} has {len(images.class_names)}."
        )
    if stored.stage == "pretrain" or not classes:
        subset = choose_labels(splits.train, data)
        references = mask_labels(splits.train, subset)
        evaluator = pretraining_evaluator(network, images, references, data)
    else:
        evaluator = classifier_evaluator(network, images, data)
    result = {"global_step": float(stored.step), **evaluator()}
    os.makedirs(model_dir, exist_ok=True)
    write_image_files(loaded.config, splits)
    run_dir = RunDirectory(model_dir)
    leave_scores(
        run_dir, stored.path, result, evaluator, images, data.image_size
    )
    run_dir.write_result(result)
    for name, value in result.items():
        say(f"{name} {value:g}")
    return result
