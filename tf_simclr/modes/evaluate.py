"""Scoring a finished run or a checkpoint."""

import dataclasses
import os
from collections.abc import Set

from tf_simclr.config.data import DataConfig
from tf_simclr.config.flat import flags_with, score_flags, to_flat
from tf_simclr.config.paths import (
    path_options,
    same_place,
    with_absolute_paths,
)
from tf_simclr.config.run import Config
from tf_simclr.data.class_mapping import ClassMapping, map_classes
from tf_simclr.data.labels import (
    check_several_classes,
    choose_labels,
    mask_labels,
)
from tf_simclr.data.sources.open import Splits
from tf_simclr.errors import UserError
from tf_simclr.evaluation.evaluate import (
    NO_SCORE,
    classifier_evaluator,
    pretraining_evaluator,
)
from tf_simclr.evaluation.sample import EvaluationSample
from tf_simclr.files import read_json
from tf_simclr.modes.loaded import LoadedNetwork, load_network
from tf_simclr.modes.prepare import (
    say_notices,
    stage_images,
    write_image_files,
)
from tf_simclr.modes.scores import leave_scores
from tf_simclr.modes.stored_data import (
    check_stored_images,
    compare_with_training,
)
from tf_simclr.progress import say
from tf_simclr.training.devices import make_strategy
from tf_simclr.training.run_dir import RunDirectory, check_writable
from tf_simclr.training.run_record import RunRecord
from tf_simclr.training.same_run import same_run


def evaluate(config: Config) -> dict[str, float]:
    """Evaluates `--checkpoint`, or the run in `model_dir` itself.

    The data flags of the run are used again; those that are given override
    them. `result.json`, `evaluation.md` and what belongs to them go to
    `model_dir`.

    Returns:
      The metrics.

    Raises:
      UserError: weights or data cannot be used, or nothing can be scored.
    """
    model_dir = config.run.model_dir
    check_writable(model_dir)
    loaded = load_network(config, make_strategy(config))
    network, stored, data = loaded.network, loaded.stored, loaded.config.data
    run_dir = RunDirectory(model_dir)
    _check_free(run_dir, loaded)
    check_stored_images(loaded.config, loaded.stored)
    classes = stored.architecture.num_classes
    by_neighbours = stored.stage == "pretrain" or not classes
    splits = _images(loaded, config.given, training=by_neighbours)
    say_notices(loaded.config, splits.notices)
    images = splits.evaluation
    if images is None or not images.has_labels:
        raise UserError(
            f"--dataset={data.dataset} has no labelled images to evaluate on:"
            " name a split with --eval_split (--eval_split=train scores all"
            " images of a folder that has no splits), or cut one off with"
            " --eval_fraction=0.2."
        )
    data = dataclasses.replace(data, image_size=loaded.image_size(images))
    mapping = _mapping(loaded, splits) if classes else None
    if mapping is not None:
        images = mapping.images(images)
    if classes == 1 and not by_neighbours:
        raise UserError(
            f"The weights in {stored.path} know one class alone: any answer is"
            " right. Score a classifier of at least two classes."
        )
    references = None
    if by_neighbours:
        subset = choose_labels(splits.train, data)
        check_several_classes(subset, data)
        references = mask_labels(splits.train, subset)
        if mapping is not None:
            references = mapping.images(references)
        evaluator = pretraining_evaluator(network, images, references, data)
    else:
        evaluator = classifier_evaluator(network, images, data)
    evaluation = evaluator()
    if not evaluation.scores:
        say(f"{stored.path}: {NO_SCORE}.")
    result = {"global_step": float(stored.step), **evaluation.scores}
    os.makedirs(model_dir, exist_ok=True)
    scored = evaluation.sample.images
    seen = compare_with_training(stored, loaded.config, scored, references)
    write_image_files(
        loaded.config, dataclasses.replace(splits, duplicates=seen.duplicates)
    )
    selected = _selection_notice(stored.record, evaluation.sample)
    show = leave_scores(
        run_dir,
        stored.path,
        result,
        evaluation,
        data.image_size,
        [seen.notice, selected],
        stored.record and stored.record.derived.unequal_labels,
    )
    run_dir.write_result(result, run_dir.read_selection(stored.step))
    show()
    for name, value in result.items():
        say(f"{name} {value:g}")
    found = seen.duplicates.notice() if seen.duplicates else ""
    for notice in filter(None, (seen.notice, selected, seen.groups, found)):
        say(f"{data.dataset}: {notice}")
    return result


def _mapping(loaded: LoadedNetwork, splits: Splits) -> ClassMapping:
    """The classes of the images as the network numbers them; said once."""
    images, dataset = splits.evaluation, loaded.config.data.dataset
    parts = [images] if splits.train is None else [splits.train, images]
    mapping = map_classes(parts, loaded.stored.classes, dataset)
    for notice in mapping.notices:
        say(f"{dataset}: {notice}")
    return mapping


def _selection_notice(
    record: RunRecord | None, sample: EvaluationSample
) -> str:
    """The notice of a run whose end these same images decided; else ''."""
    found = record and record.derived.selected_on
    if not found or found["of"] != sample.identity:
        return ""
    return record.selection_notice


def _images(
    loaded: LoadedNetwork, given: Set[str], *, training: bool
) -> Splits:
    """The images to evaluate on, and those of neighbours where there are any.

    Another data set than the run's that has an evaluation part of its own is
    not divided as the run's was.
    """
    config = loaded.config
    inherited = set(flags_with(divides_images=True)) - given
    if "dataset" in given and inherited:
        fields = DataConfig.__dataclass_fields__
        own = {name: fields[name].default for name in inherited}
        data = dataclasses.replace(config.data, **own)
        try:
            splits = stage_images(
                dataclasses.replace(config, data=data), training=training
            )
        except UserError:
            # Such as one without the usual splits.
            splits = None
        if splits is not None and splits.evaluation is not None:
            return splits
    return stage_images(config, training=training)


def _check_free(run_dir: RunDirectory, loaded: LoadedNetwork) -> None:
    """Refuses to replace the scores of a run or a pipeline.

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
    before = {**asked, **there.config}
    places = [with_absolute_paths(values) for values in (before, asked)]
    for flag in score_flags(loaded.config):
        same = before[flag] == asked[flag]
        if flag in path_options():
            same = same_place(*(values[flag] for values in places))
        if not same:
            raise UserError(
                f"--model_dir={run_dir.path} holds a run with"
                f" --{flag}={there.config[flag]}, whose scores stay beside"
                f" it. {elsewhere[:-1]} with --checkpoint={run_dir.path}."
                f" Received: --{flag}={asked[flag]}"
            )
