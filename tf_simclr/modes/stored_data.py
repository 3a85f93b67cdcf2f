"""Comparison of images with those of a stored run."""

import dataclasses
import glob
import os

import numpy as np

from tf_simclr.config.data import DataConfig
from tf_simclr.config.flat import flags_with
from tf_simclr.config.paths import is_local_dataset
from tf_simclr.config.run import Config
from tf_simclr.data.labels import choose_labels
from tf_simclr.data.near_duplicates import NearDuplicates, find_near_duplicates
from tf_simclr.data.same_image import find_overlap
from tf_simclr.data.sources.groups import shared_groups_notice
from tf_simclr.data.sources.identity import content_checksum, ids_checksum
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.data.sources.registry import find_kind, goes_by_name
from tf_simclr.data.sources.tensorflow_datasets import in_catalogue
from tf_simclr.errors import UserError
from tf_simclr.files import read_json
from tf_simclr.modes.prepare import index_folders
from tf_simclr.progress import say
from tf_simclr.storage.addresses import address_of
from tf_simclr.training.run_dir import LABELS_FILE
from tf_simclr.training.same_run import other_images
from tf_simclr.weights.stored import StoredWeights


def check_stored_images(config: Config, stored: StoredWeights) -> None:
    """Refuses images that share no more than their path with those of a run.

    Version 0.1.0 stored paths as they were written: in another directory they
    are those of other images, or of none. Where the path is absolute, images
    that came or went since are only told. To be called before the images of
    the run's own data flags are opened.

    Args:
      config: with the data flags of the run where none were given.
      stored: the weights of the run.

    Raises:
      UserError: names the path, and asks for --dataset.
    """
    record, name = stored.record, config.data.dataset
    if record is None or "dataset" in config.given:
        return
    absolute, kind = os.path.isabs(name), find_kind(name)
    if kind is not None and not kind.exact:
        return
    by_name = goes_by_name(name)
    if not by_name and not is_local_dataset(name):
        if absolute:
            raise UserError(
                f"The run of {stored.path} learned from images that are no"
                f" longer there: give --dataset. Received: {name}"
            )
        _check_catalogue(config, stored)
        return
    train = _training_images(config, stored)
    if train is None:
        # Whoever opens a name says what is wrong with it.
        if absolute or by_name:
            return
        raise UserError(
            f"The run of {stored.path} stored the place of its images relative"
            " to the directory that it was started in, and here its training"
            f" images cannot be opened: give --dataset. Received: {name}"
        )
    old = record.dataset
    found = dataclasses.replace(
        old,
        train_images=len(train),
        ids=ids_checksum(train),
        content=content_checksum(train),
    )
    if not other_images(old, found):
        return
    counts = f"{old.train_images} then, {len(train)} now"
    if absolute:
        say(
            f"{name}: its training images are not what they were when the run"
            f" of {stored.path} was started ({counts})"
        )
        return
    raise UserError(
        f"The run of {stored.path} was trained on another dataset of that"
        f" name ({counts}; ids, labels or pictures differ): give --dataset."
        f" Received: {name}"
    )


def _check_catalogue(config: Config, stored: StoredWeights) -> None:
    flag, place = "dataset", config.data.dataset
    if in_catalogue(place, config.data.data_dir):
        flag, place = "data_dir", config.data.data_dir
        given = flag in config.given
        if given or not place or "://" in place or os.path.exists(place):
            return
    raise UserError(
        f"The run of {stored.path} stored the place of its images relative to"
        " the directory that it was started in, and here is nothing of that"
        f" name: give --{flag}. Received: {place}"
    )


def _training_images(config: Config, stored: StoredWeights) -> ImageSet | None:
    """Images that the run's own flags choose; None if none can be opened."""
    names = flags_with(chooses_images=True)
    chosen = {x: stored.config[x] for x in names if x in stored.config}
    default = DataConfig.__dataclass_fields__["eval_split"].default
    data = dataclasses.replace(config.data, **chosen, eval_split=default)
    try:
        return open_dataset(data, index_folders(config)).train
    except UserError:
        # Without a training part, say; whoever needs one will tell.
        return None


@dataclasses.dataclass(frozen=True)
class Seen:
    """Comparison of evaluation images with the training images of a run.

    Attributes:
      notice: how many of them are training images; '' if none is, or if no run
        of this project made the weights.
      groups: which groups are on both sides; '' for none.
      duplicates: those that look like training images; None if nobody compared
        them.
    """

    notice: str = ""
    groups: str = ""
    duplicates: NearDuplicates | None = None


def compare_with_training(
    stored: StoredWeights,
    config: Config,
    evaluation: ImageSet,
    references: ImageSet | None = None,
) -> Seen:
    """Compares evaluation images with the training images of a run.

    Args:
      stored: the weights that are scored.
      config: of the evaluation.
      evaluation: what it scores.
      references: labelled images that neighbours come from, if any.
    """
    if stored.config is None or not stored.stage:
        return Seen()
    values = {
        field.name: stored.config[field.name]
        for field in dataclasses.fields(DataConfig)
        if field.name in stored.config
    }
    # They were looked at when the run started.
    looked_at = {"bad_images": "skip", "bad_images_max_share": 1.0}
    looked_at |= {"scan_images": False, "refresh_index": False}
    data = DataConfig(**{**values, **looked_at})
    same = _place(data.dataset) == _place(config.data.dataset)
    if same:
        place, data_dir = config.data.dataset, config.data.data_dir
        data = dataclasses.replace(data, dataset=place, data_dir=data_dir)
    if not same and not _on_disk(data.dataset):
        return Seen(_not_compared(data))
    try:
        folders = index_folders(config)
        trained = _trained_images(stored, data, folders)
    except UserError:
        return Seen(_not_compared(data))
    overlap = find_overlap(evaluation, trained, by_id=same)
    if references is not None:
        # These are of the evaluation's own data set.
        known = np.flatnonzero(references.labels != UNLABELLED)
        near = find_overlap(evaluation, references.take(known))
        overlap = max(overlap, near, key=lambda found: found.labelled)
    duplicates = None
    if config.data.find_duplicates:
        duplicates = find_near_duplicates(evaluation, trained, by_id=same)
    groups = shared_groups_notice(trained, evaluation) if same else ""
    return Seen(overlap.notice(), groups, duplicates)


def _trained_images(
    stored: StoredWeights, data: DataConfig, folders: list[str]
) -> ImageSet:
    """The run's training images, with labels only where they counted."""
    images = open_dataset(data, folders).train
    labels = np.full(len(images), UNLABELLED, np.int32)
    run_dir = os.path.dirname(os.path.dirname(os.path.abspath(stored.path)))
    path = os.path.join(run_dir, LABELS_FILE)
    if os.path.exists(path):
        chosen = set(read_json(path)["ids"])
        counted = [name in chosen for name in images.ids]
        places = np.flatnonzero(np.array(counted, bool))
    elif images.has_labels:
        # Exports keep no list of them.
        places = choose_labels(images, data).indices
    else:
        places = np.array([], np.int64)
    labels[places] = images.labels[places]
    images = images.with_labels(labels)
    return images.take(places) if stored.stage == "finetune" else images


def _not_compared(data: DataConfig) -> str:
    return (
        "not compared with the images that were trained on, as they cannot be"
        f" opened: {data.dataset}"
    )


def _on_disk(name: str) -> bool:
    """False for what might have to be downloaded."""
    return goes_by_name(name) or os.path.exists(name) or bool(glob.glob(name))


def _place(name: str) -> str:
    if not os.path.exists(name):
        return name
    return address_of(os.path.realpath(name))
