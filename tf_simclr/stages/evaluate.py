"""Scoring a finished run or a checkpoint."""

import os

from tf_simclr.config.flat import to_flat
from tf_simclr.config.paths import (
    path_options,
    same_place,
    with_absolute_paths,
)
from tf_simclr.config.run import Config
from tf_simclr.data.labels import choose_labels, mask_labels
from tf_simclr.errors import UserError
from tf_simclr.evaluation.evaluate import (
    classifier_evaluator,
    pretraining_evaluator,
)
from tf_simclr.files import read_json
from tf_simclr.stages.images import stage_images, write_image_files
from tf_simclr.stages.loaded import LoadedNetwork, load_network
from tf_simclr.stages.scored import leave_scores
from tf_simclr.stages.stored_data import check_stored_images
from tf_simclr.training.devices import make_strategy
from tf_simclr.training.progress import say
from tf_simclr.training.run_dir import RunDirectory, check_writable
from tf_simclr.weights.export.folder import same_run


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
    run_dir = RunDirectory(model_dir)
    _check_free(run_dir, loaded)
    check_stored_images(loaded.config, loaded.stored)
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
    leave_scores(
        run_dir, stored.path, result, evaluator, images, data.image_size
    )
    run_dir.write_result(result)
    for name, value in result.items():
        say(f"{name} {value:g}")
    return result


# What decides which images are scored, and with which labels.
_SCORED = (
    "dataset",
    "ignore_labels",
    "train_split",
    "eval_split",
    "eval_fraction",
    "image_size",
    "eval_steps",
    "labels_per_class",
    "label_fraction",
    "label_seed",
    "label_ids",
)


def _check_free(run_dir: RunDirectory, loaded: LoadedNetwork) -> None:
    """Refuses to put scores in the place of those of a run or a pipeline.

    `result.json` is that of the run's own images, by which it knows that it
    has finished.
    """
    there, stored = run_dir.read_config(), loaded.stored
    elsewhere = (
        "Choose a new directory for the scores, such as"
        " --model_dir=runs/scored."
    )
    if there is None:
        path = run_dir.file("result.json")
        if os.path.exists(path) and "global_step" not in read_json(path):
            raise UserError(
                f"--model_dir={run_dir.path} holds a pipeline. {elsewhere}"
            )
        return
    folder = os.path.realpath(run_dir.path)
    in_place = os.path.realpath(stored.path).startswith(f"{folder}{os.sep}")
    if not same_run(stored.record, there, in_place=in_place):
        raise UserError(
            f"--model_dir={run_dir.path} holds another run than the weights in"
            f" {stored.path}. {elsewhere}"
        )
    asked = to_flat(loaded.config)
    before = {**asked, **there["config"]}
    places = [with_absolute_paths(values) for values in (before, asked)]
    for flag in _SCORED:
        same = before[flag] == asked[flag]
        if flag in path_options():
            same = same_place(*(values[flag] for values in places))
        if not same:
            raise UserError(
                f"--model_dir={run_dir.path} holds a run with"
                f" --{flag}={there['config'][flag]}, whose scores stay beside"
                f" it. {elsewhere[:-1]} with --checkpoint={run_dir.path}."
                f" Received: --{flag}={asked[flag]}"
            )
