"""Opens the inputs of a stage, and refuses those it cannot use."""

import dataclasses
import os
from collections.abc import Iterable, Mapping

import tensorflow as tf

from tf_simclr.config.data import check_address
from tf_simclr.config.earlier import as_begun
from tf_simclr.config.paths import several_paths
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
from tf_simclr.data.shrunk_copies import side_of_copies, with_shrunk_copies
from tf_simclr.data.sources.identity import content_checksum, ids_checksum
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import Splits, open_dataset
from tf_simclr.data.sources.registry import kind_of
from tf_simclr.errors import UserError
from tf_simclr.loggers.base import check_logger
from tf_simclr.methods.base import Method
from tf_simclr.methods.job import Job, Source
from tf_simclr.methods.registry import method_of
from tf_simclr.optimizers.schedule import SchedulePlan, plan_schedule
from tf_simclr.progress import say_once
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
    """Folders that may hold the index of the images.

    In the run's own folder, in that of the pipeline it is part of, or in
    those of the runs it starts from: all are likely to have the same images.
    """
    model_dir = os.path.abspath(config.run.model_dir)
    folders = [model_dir, os.path.dirname(model_dir)]
    objective = config.objective
    paths = [objective.checkpoint] if objective.checkpoint else []
    for path in [*paths, *several_paths(objective.teacher or "")]:
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


def say_notices(config: Config, notices: Iterable[str]) -> None:
    """Prints notices about the data, once per process."""
    for notice in notices:
        say_once(f"{config.data.dataset}: {notice}")


def write_image_files(config: Config, splits: Splits) -> None:
    """Writes the files about the images: an index, unless the pipeline has
    one, and the list of bad images."""
    folder = os.path.abspath(config.run.model_dir)
    splits.write(folder, [folder, os.path.dirname(folder)])


def prepare(config: Config) -> tuple[type[Method], Job]:
    """Opens all that the stage of a configuration needs; writes nothing.

    Args:
      config: checked by `Config.check`.

    Returns:
      The method that it names, and what that method starts with.

    Raises:
      UserError: weights, data, batch or directory cannot be used.
    """
    check_logger(config.output.logger)
    begun = RunDirectory(config.run.model_dir).read_config()
    if begun is not None:
        config = as_begun(config, begun.config)
    method = method_of(config)
    sources = method.open_weights(config)
    known = method.known_classes(config, sources)
    return method, prepare_job(config, method, sources, known)


def prepare_job(
    config: Config,
    method: type[Method],
    sources: Mapping[str, Source] | None = None,
    known: KnownClasses | None = None,
) -> Job:
    """Opens the data and devices of a stage; writes nothing.

    Args:
      config: checked by `Config.check`.
      method: says what it trains on.
      sources: {flag: what it names}.
      known: the classes of the weights that it goes on with or learns from,
        by which those of the data are numbered; None: the data's own.

    Raises:
      UserError: the data, the batch or the directory cannot be used, or the
        data has classes that are not known.
    """
    run_dir = RunDirectory(config.run.model_dir)
    service = config.data.data_service
    if service is not None:
        check_reachable(*check_address(service))
    splits = stage_images(config).with_duplicates(config.data)
    labels_only = method.labels_only
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
    plan = _plan(config, len(images), labels_only)
    strategy = _devices(config)
    content = None
    if kind_of(config.data.dataset).exact:
        content = content_checksum(splits.train)
    listed = images
    if subset is not None and not labels_only:
        listed = mask_labels(images, subset)
    if method.compares_examples:
        # Before they are decoded: an image is known by where it lies.
        images = with_equal_found(images)
    with naming_bad_images(images):
        copies, shrunk_to = _shrunk(images, config)
        kept = keep_decoded(copies, config.data.cache_dataset)
    if service is not None:
        check_servable(kept)
    if not labels_only:
        splits = dataclasses.replace(splits, train=kept)
    return Job(
        config=config,
        stage=method.stage,
        sources=sources or {},
        splits=splits,
        subset=subset,
        images=kept,
        plan=plan,
        strategy=strategy,
        run_dir=run_dir,
        listed=listed,
        ids=ids,
        content=content,
        shrunk_to=shrunk_to,
    )


def _shrunk(images: ImageSet, config: Config) -> tuple[ImageSet, int | None]:
    """Images as training reads them; the shorter side of copies, if any."""
    folder = config.data.prepare_cache
    if folder is None:
        return images, None
    side = side_of_copies(config.data.image_size)
    copies = with_shrunk_copies(images, folder, side)
    return copies, None if copies is images else side


def _plan(config: Config, images: int, labels_only: bool) -> SchedulePlan:
    """Steps and learning rate, once batch and profile are known to fit."""
    batch = config.optimizer.train_batch_size
    if batch > images:
        raise UserError(
            f"--train_batch_size={batch} is more than the {images}"
            f" {'labelled ' * labels_only}images there are to train on: take"
            f" at most {images}."
        )
    plan = plan_schedule(
        config.optimizer,
        images,
        config.train.train_epochs,
        config.train.train_steps,
    )
    profiled = config.train.profiled_steps
    if profiled and profiled[0] >= plan.total_steps:
        raise UserError(
            f"--profile_steps={config.train.profile_steps} lies beyond the"
            f" {plan.total_steps} steps of this stage: name earlier steps."
        )
    return plan


def _devices(config: Config) -> tf.distribute.Strategy:
    """The devices, once the batch is known to fit them."""
    set_up_numerics(config.train)
    strategy = make_strategy(config)
    batch = config.optimizer.train_batch_size
    check_batch_divides(strategy, batch)
    check_micro_batch(strategy, batch, config.train.micro_batch_size)
    check_compiles(strategy, config.train)
    return strategy


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
