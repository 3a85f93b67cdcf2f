"""Evaluation images that were among those of the run that is scored."""

import dataclasses
import glob
import os

import numpy as np

from tf_simclr.config.data import DataConfig
from tf_simclr.config.run import Config
from tf_simclr.data.labels import choose_labels
from tf_simclr.data.overlap import find_overlap
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.errors import UserError
from tf_simclr.files import read_json
from tf_simclr.stages.images import index_folders
from tf_simclr.training.run_dir import LABELS_FILE
from tf_simclr.weights.stored import StoredWeights


def trained_on_notice(
    stored: StoredWeights,
    config: Config,
    evaluation: ImageSet,
    references: ImageSet | None = None,
) -> str:
    """Says how many evaluation images are training images of a run.

    Args:
      stored: the weights that are scored.
      config: of the evaluation.
      evaluation: what it scores.
      references: labelled images that neighbours come from, if any.

    Returns:
      '' if none is, or if no run of this project made the weights.
    """
    if stored.config is None or not stored.stage:
        return ""
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
        data = dataclasses.replace(data, data_dir=config.data.data_dir)
    if not same and not _on_disk(data.dataset):
        return _not_compared(data)
    try:
        folders = index_folders(config)
        trained = _trained_images(stored, data, folders)
    except UserError:
        return _not_compared(data)
    overlap = find_overlap(evaluation, trained, by_id=same)
    if references is not None:
        # These are of the evaluation's own data set.
        known = np.flatnonzero(references.labels != UNLABELLED)
        near = find_overlap(evaluation, references.take(known))
        overlap = max(overlap, near, key=lambda found: found.labelled)
    return overlap.notice()


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
    return name == "digits" or os.path.exists(name) or bool(glob.glob(name))


def _place(name: str) -> str:
    return os.path.realpath(name) if os.path.exists(name) else name
