"""Opens what a stage works with, and refuses what it cannot use."""

import dataclasses
import os

from tf_simclr.config.data import check_address
from tf_simclr.config.run import Config
from tf_simclr.data.array_batches import keep_decoded
from tf_simclr.data.bad_images import naming_bad_images
from tf_simclr.data.class_mapping import KnownClasses, map_classes
from tf_simclr.data.labels import (
    LabelledSubset,
    check_several_classes,
    choose_labels,
    mask_labels,
)
from tf_simclr.data.same_image import with_equal_found
from tf_simclr.data.service import check_reachable
from tf_simclr.data.sources.identity import content_checksum, ids_checksum
from tf_simclr.data.sources.open import Splits, open_dataset
from tf_simclr.errors import UserError
from tf_simclr.modes.context import StageContext
from tf_simclr.optimizers.schedule import plan_schedule
from tf_simclr.training.devices import (
    check_batch_divides,
    check_compiles,
    check_micro_batch,
    make_strategy,
    set_up_numerics,
)
from tf_simclr.training.distributed_input import check_servable
from tf_simclr.training.run_dir import RunDirectory


def index_folders(config: Config) -> list[str]:
    """Where the index of the images may lie.

    In the run's own folder, in that of the pipeline it is part of, or in
    those of the runs it starts from: all are likely to have the same images.
    """
    model_dir = os.path.abspath(config.run.model_dir)
    folders = [model_dir, os.path.dirname(model_dir)]
    for path in (config.objective.checkpoint, config.objective.teacher):
        if path:
            # A run, or a checkpoint in its sub-folder.
            folders += [path, os.path.dirname(os.path.dirname(path))]
    return [os.path.abspath(folder) for folder in folders]


def stage_images(config: Config, *, training: bool = True) -> Splits:
    """Opens the images that the data flags name; writes nothing.

    Args:
      config: names them.
      training: False leaves the training images out.

    Raises:
      UserError: they cannot be opened.
    """
    return open_dataset(
        config.data,
        index_folders(config),
        training=training,
        asked_to_evaluate="eval_split" in config.given,
    )


def write_image_files(config: Config, splits: Splits) -> None:
    """Writes what a run's folder holds about its images: an index, unless
    its pipeline has one, and the list of bad images."""
    folder = os.path.abspath(config.run.model_dir)
    splits.write(folder, [folder, os.path.dirname(folder)])


def prepare_stage(
    config: Config,
    stage: str,
    *,
    labels_only: bool,
    known: KnownClasses | None = None,
) -> StageContext:
    """Opens the data and devices of a stage; writes nothing.

    Args:
      config: checked by `Config.check`.
      stage: pretrain, finetune or distill.
      labels_only: whether the stage trains on the labelled subset alone.
      known: the classes of the weights that it goes on with or learns from,
        by which those of the data are numbered; None: the data's own.

    Raises:
      UserError: the data, the batch or the directory cannot be used, or the
        data has classes that are not known.
    """
    run_dir = RunDirectory(config.run.model_dir)
    if config.data.data_service is not None:
        check_reachable(*check_address(config.data.data_service))
    splits = stage_images(config)
    subset = None
    if splits.train.has_labels or labels_only:
        subset = choose_labels(splits.train, config.data)
    # As the data set numbers its classes, whatever weights it is used with.
    ids = ids_checksum(splits.train)
    if known is not None:
        splits, subset = _with_known_classes(splits, subset, known, config)
    images = splits.train
    if labels_only:
        check_several_classes(subset, config.data)
        images = images.take(subset.indices)
    batch = config.optimizer.train_batch_size
    if batch > len(images):
        raise UserError(
            f"--train_batch_size={batch} is more than the {len(images)}"
            f" {'labelled ' * labels_only}images there are to train on: take"
            f" at most {len(images)}."
        )
    plan = plan_schedule(
        config.optimizer,
        len(images),
        config.train.train_epochs,
        config.train.train_steps,
    )
    profiled = config.train.profiled_steps
    if profiled and profiled[0] >= plan.total_steps:
        raise UserError(
            f"--profile_steps={config.train.profile_steps} lies beyond the"
            f" {plan.total_steps} steps of this stage: name earlier steps."
        )
    set_up_numerics(config.train)
    strategy = make_strategy(config)
    check_batch_divides(strategy, batch)
    check_micro_batch(strategy, batch, config.train.micro_batch_size)
    check_compiles(strategy, config.train)
    content = None
    # The digits are computed from ink values, and may be rounded otherwise
    # on another machine; nothing else has their ids.
    if config.data.dataset != "digits":
        content = content_checksum(splits.train)
    listed = images
    if subset is not None and not labels_only:
        listed = mask_labels(images, subset)
    if stage == "pretrain":
        # Before they are decoded: an image is known by where it lies.
        images = with_equal_found(images)
    with naming_bad_images(images):
        kept = keep_decoded(images, config.data.cache_dataset)
    if config.data.data_service is not None:
        check_servable(kept)
    if not labels_only:
        splits = dataclasses.replace(splits, train=kept)
    images = kept
    return StageContext(
        config,
        stage,
        splits,
        subset,
        images,
        plan,
        strategy,
        run_dir,
        listed,
        ids,
        content,
    )


def _with_known_classes(
    splits: Splits,
    subset: LabelledSubset | None,
    known: KnownClasses,
    config: Config,
) -> tuple[Splits, LabelledSubset | None]:
    evaluation = splits.evaluation
    parts = [splits.train, *([evaluation] if evaluation is not None else [])]
    mapping = map_classes(parts, known, config.data.dataset)
    splits = dataclasses.replace(
        splits,
        train=mapping.images(splits.train),
        evaluation=None if evaluation is None else mapping.images(evaluation),
        notices=(*splits.notices, *mapping.notices),
    )
    return splits, None if subset is None else mapping.subset(subset)
