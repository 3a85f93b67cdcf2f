"""Labels of a pipeline: chosen by the pretrained features, or by a person."""

import csv
import dataclasses
import os
from typing import Any

import numpy as np

from tf_simclr.config.consistency import trains_consistently
from tf_simclr.config.flat import from_flat
from tf_simclr.config.run import Config
from tf_simclr.data.label_table import places_of, read_label_table
from tf_simclr.data.labels import choose_labels
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet, id_hashes
from tf_simclr.data.sources.table import read_cells
from tf_simclr.errors import UserError
from tf_simclr.files import read_json, write_csv, write_json
from tf_simclr.labels.label_book import (
    LABEL_TITLES,
    LABELS_FILE,
    LABELS_FOLDER,
    TO_LABEL_FILE,
    read_excluded,
)
from tf_simclr.labels.typed_labels import has_label_rows, keep_typed_labels
from tf_simclr.modes.embed import FEATURES_FILE
from tf_simclr.modes.image_features import image_features
from tf_simclr.modes.prepare import stage_images
from tf_simclr.modes.suggest import suggest, write_suggestion
from tf_simclr.progress import say
from tf_simclr.training.run_record import RECORD_FILE

# How a pipeline chose its labels.
CHOSEN_FILE = "chosen.json"


@dataclasses.dataclass(frozen=True)
class PipelineLabels:
    """The source of the labels for the parts after the pretraining.

    Attributes:
      folder: of the labels.
      by_hand: whether the data set has none, so that a person gives them.
      scored: whether there are labels to score the parts with.
    """

    folder: str
    by_hand: bool
    scored: bool

    @property
    def table(self) -> str:
        """The table of labels."""
        return os.path.join(self.folder, LABELS_FILE)

    @property
    def missing(self) -> bool:
        """True as long as nobody has labelled an image."""
        return self.by_hand and not has_label_rows(self.table)

    def in_words(self, config: Config) -> str:
        """Words for the way of choosing, after the number of labels."""
        wanted = config.labels
        if self.by_hand:
            return "given by hand"
        if wanted.label_choice == "random":
            return "drawn at random"
        rounds = wanted.label_rounds
        times = f" in {rounds} rounds" if rounds > 1 else ""
        return f"chosen by {wanted.suggest}{times}"


def pipeline_labels(config: Config) -> PipelineLabels | None:
    """Plans where labels come from; None for those of the data set, as the
    flags of each part choose them.

    Raises:
      UserError: flags contradict each other, or ask for more labels than
        there are.
    """
    choice, data = config.labels.label_choice, config.data
    splits = stage_images(config)
    evaluation = splits.evaluation
    known = int(np.sum(splits.train.labels != UNLABELLED))
    scored = evaluation is not None and evaluation.has_labels
    if choice == "class_balanced" and (known or scored):
        _refuse_unread(config)
        return None
    given = [
        name
        for name in ("labels_per_class", "label_fraction", "label_ids")
        if getattr(data, name)
    ]
    if given and choice != "class_balanced":
        raise UserError(
            f"--label_choice={choice} and --{given[0]} each choose the labelled"
            " images: give one of them."
        )
    if given:
        raise UserError(
            f"--dataset={data.dataset} has no labels of which"
            f" --{given[0]} could choose: leave it out, and label the images"
            " that the pipeline suggests after its pretraining."
        )
    if known and known < config.labels.label_budget:
        raise UserError(
            f"--label_budget={config.labels.label_budget} is more than the"
            f" {known} labelled training images of --dataset={data.dataset}."
        )
    folder = os.path.join(config.run.model_dir, LABELS_FOLDER)
    if not known and (config.cluster is None or config.cluster.is_chief):
        keep_typed_labels(folder, splits.train)
    return PipelineLabels(folder, not known, scored)


def _refuse_unread(config: Config) -> None:
    unread = {"label_budget", "suggest"} & config.given
    if unread - config.shared:
        raise UserError(
            f"--{min(unread - config.shared)} has no effect with"
            " --label_choice=class_balanced on images with labels: take"
            " --label_choice=suggest or random, or --labels_per_class."
        )
    if unread:
        # Of a recipe, whose way of choosing the command line replaces.
        names = ", ".join(f"--{name}" for name in sorted(unread))
        say(f"Without effect with --label_choice=class_balanced: {names}.")


def fitted(config: Config, labels: PipelineLabels | None) -> Config:
    """A part's configuration, with no larger batch than it has images.

    A recipe does not know how many images a folder has, nor how many of them a
    person labels.

    Args:
      config: of any part.
      labels: where they come from; None: from the data set.

    Raises:
      UserError: the images cannot be opened, or not be chosen as asked for.
    """
    count = _images_to_train_on(config, labels)
    if config.optimizer.train_batch_size <= count:
        return config
    optimizer = dataclasses.replace(config.optimizer, train_batch_size=count)
    return dataclasses.replace(config, optimizer=optimizer)


def _images_to_train_on(config: Config, labels: PipelineLabels | None) -> int:
    """Number of them, as far as it is known."""
    if config.stage == "finetune" and not trains_consistently(config):
        if labels is None:
            images = stage_images(config).train
            return len(choose_labels(images, config.data).indices)
        if has_label_rows(labels.table):
            return len(read_label_table(labels.table))
        return config.labels.label_budget
    return len(stage_images(config).train)


def stand_in(config: Config, labels: PipelineLabels) -> Config:
    """A part's configuration with about as many labels, for the checks in
    front of the pretraining.

    Args:
      config: of the part.
      labels: not chosen yet.
    """
    if labels.by_hand:
        return config
    data = dataclasses.replace(config.data, label_ids=None)
    config = dataclasses.replace(config, data=data)
    images = stage_images(config).train
    known = int(np.sum(images.labels != UNLABELLED))
    share = min(config.labels.label_budget / known, 1.0)
    data = dataclasses.replace(data, label_fraction=share)
    return dataclasses.replace(config, data=data)


def choose_pipeline_labels(config: Config, labels: PipelineLabels) -> bool:
    """Leaves the table of labels, as chosen and as the data set knows them.

    Labels are read of those images alone that were chosen. Of a data set
    without labels, the images to label are suggested instead.

    Args:
      config: of the pipeline, whose pretraining has finished.
      labels: where they go.

    Returns:
      False if a person has to label images first.
    """
    if labels.by_hand:
        if has_label_rows(labels.table):
            _check_unchanged(config, labels)
            count = len(read_label_table(labels.table))
            say(f"{labels.table}: {count} labels{_open(labels)}")
            return True
        suggest(_suggestion(config, labels.folder, config.labels.label_budget))
        say(
            "then the same command goes on with the labels: it fine-tunes and"
            " distills"
        )
        return False
    wanted = _wanted(config)
    path = os.path.join(labels.folder, CHOSEN_FILE)
    chosen = read_json(path) if os.path.exists(path) else None
    if chosen == wanted and has_label_rows(labels.table):
        return True
    images = stage_images(config).train
    os.makedirs(labels.folder, exist_ok=True)
    if os.path.exists(labels.table):
        os.remove(labels.table)
    if config.labels.label_choice == "random":
        _write(labels.table, images, _at_random(images, config))
    else:
        _in_rounds(config, labels, images)
    write_json(path, wanted)
    return True


def _check_unchanged(config: Config, labels: PipelineLabels) -> None:
    """Refuses labels that were given or changed since the fine-tuning.

    Raises:
      UserError: names the folders to remove.
    """
    root = config.run.model_dir
    path = os.path.join(root, "finetune", "labels.json")
    if not os.path.exists(path):
        return
    used = read_json(path)
    names = used["class_names"]
    before = {
        name: names[label]
        for name, label in zip(used["ids"], used["labels"], strict=True)
    }
    images, table = stage_images(config).train, read_label_table(labels.table)
    places = places_of(images, table)
    now = {images.ids[place]: table[name] for name, place in places.items()}
    if now != before:
        folders = [
            os.path.join(root, part)
            for part in sorted(os.listdir(root))
            if part not in ("pretrain", LABELS_FOLDER)
            and os.path.exists(os.path.join(root, part, RECORD_FILE))
        ]
        raise UserError(
            f"The labels in {labels.table} have changed since"
            f" {os.path.dirname(path)} was trained on them ({len(before)} then,"
            f" {len(now)} now): to train on them, remove"
            f" {' and '.join(folders)}, and give the same command again. The"
            " pretraining stays."
        )


def _open(labels: PipelineLabels) -> str:
    """Words for the suggested images that nobody has labelled; '' for none."""
    path = os.path.join(labels.folder, TO_LABEL_FILE)
    if not os.path.exists(path):
        return ""
    titles, lines = read_cells(path)
    listed = {dict(zip(titles, x, strict=False)).get("path") for _, x in lines}
    done = set(read_label_table(labels.table)) | read_excluded(labels.folder)
    left = listed - done - {None}
    if not left:
        return ""
    return f"; {len(left)} of the suggested images have none yet"


def _wanted(config: Config) -> dict[str, Any]:
    wanted = config.labels
    return {
        "label_choice": wanted.label_choice,
        "suggest": wanted.suggest,
        "label_budget": wanted.label_budget,
        "label_rounds": wanted.label_rounds,
        "label_seed": config.data.label_seed,
    }


def features_path(config: Config) -> str:
    """Path of the pretrained features of a pipeline's training images."""
    return os.path.join(config.run.model_dir, LABELS_FOLDER, FEATURES_FILE)


def write_pretrained_features(config: Config) -> None:
    """Leaves them there, unless a suggestion has.

    Args:
      config: of the pipeline, whose pretraining has finished.
    """
    path = features_path(config)
    if not os.path.exists(path):
        image_features(_suggestion(config, os.path.dirname(path), 1))


def _suggestion(config: Config, folder: str, budget: int) -> Config:
    """The configuration of `--mode=suggest` on the pretrained features."""
    pretrained = os.path.join(config.run.model_dir, "pretrain")
    found = from_flat(
        {
            "mode": "suggest",
            "checkpoint": pretrained,
            "model_dir": folder,
            "label_budget": budget,
            "ignore_labels": True,
            "label_ids": None,
        },
        config,
    )
    # The network's flags are those of the pretraining.
    return dataclasses.replace(
        found, model=type(found.model)(), given=frozenset({"ignore_labels"})
    )


def _in_rounds(
    config: Config, labels: PipelineLabels, images: ImageSet
) -> None:
    """Suggests and labels, in as many rounds as were asked for."""
    budget, rounds = config.labels.label_budget, config.labels.label_rounds
    positions = {name: place for place, name in enumerate(images.ids)}
    places: list[int] = []
    for number in range(rounds):
        part = budget * (number + 1) // rounds - len(places)
        if part <= 0:
            continue
        write_suggestion(_suggestion(config, labels.folder, part))
        path = os.path.join(labels.folder, TO_LABEL_FILE)
        with open(path, encoding="utf-8", newline="") as file:
            names = [row["path"] for row in csv.DictReader(file)]
        # A person who finds no class leaves an image out.
        places += [positions[name] for name in names]
        _write(labels.table, images, np.array(places))


def _at_random(images: ImageSet, config: Config) -> np.ndarray:
    known = np.flatnonzero(images.labels != UNLABELLED)
    ids = (images.ids[place] for place in known)
    hashes = id_hashes(ids, f"random labels {config.data.label_seed}")
    return np.sort(known[np.argsort(hashes)][: config.labels.label_budget])


def _write(table: str, images: ImageSet, places: np.ndarray) -> None:
    """Writes labels as the page of `--mode=label` does."""
    known = places[images.labels[places] != UNLABELLED]
    rows = [
        (images.ids[place], images.class_names[images.labels[place]], "")
        for place in known
    ]
    write_csv(table, [LABEL_TITLES, *rows])
