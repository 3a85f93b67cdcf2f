"""Choosing the images to label next."""

import os
import shutil
from typing import Any

import numpy as np
import tensorflow as tf

from tf_simclr.config.flat import options, shell_command, to_flat
from tf_simclr.config.paths import with_absolute_paths
from tf_simclr.config.run import Config
from tf_simclr.data.array_batches import decoded_images
from tf_simclr.data.batches import evaluation_batches
from tf_simclr.data.label_table import labels_in, with_named_labels
from tf_simclr.data.sources.image_list import SUGGESTION_FILE
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.data.sources.pixels import FilePixels
from tf_simclr.drawing import drawing
from tf_simclr.errors import UserError
from tf_simclr.files import read_json, replacing, write_csv, write_json
from tf_simclr.labels.choose import Pool, Suggestion, suggest_images
from tf_simclr.labels.label_book import (
    JOURNAL_FILE,
    LABELS_FILE,
    TO_LABEL_FILE,
    read_excluded,
    read_labels,
)
from tf_simclr.labels.typed_labels import keep_typed_labels
from tf_simclr.modes.image_features import ImageFeatures, image_features
from tf_simclr.progress import say
from tf_simclr.report.figures import picture_grid
from tf_simclr.training.run_dir import check_writable

CONTACT_SHEET = "to_label.png"
COPIES_FOLDER = "to_label"
_TITLES = ("path", "cluster", "reason", "label")
# Pictures of the contact sheet, in so many columns, and the side of each: of
# more, the first.
_SHOWN, _COLUMNS, _SIDE = 400, 8, 96


def suggest(config: Config) -> str:
    """Writes which images to label next to `to_label.csv` in `model_dir`.

    One line for each: id (as `path`), cluster, reason and an empty label, in
    the order of clusters; `to_label.png` shows them. Images that the data set,
    or the `labels.csv` of `--mode=label` in `model_dir`, gives a label are not
    chosen again. The same command on the same labels chooses the same images.

    Returns:
      The file's path.

    Raises:
      UserError: images, weights or features cannot be used, or every image
        has a label.
    """
    path = write_suggestion(config)
    folder = config.run.model_dir
    say("Label them:")
    say(shell_command(["--mode=label", f"--model_dir={folder}"]))
    return path


def write_suggestion(config: Config) -> str:
    """Writes a suggestion, for a caller that does not label by hand; else as
    `suggest`.

    Raises:
      UserError: as `suggest`.
    """
    folder = config.run.model_dir
    check_writable(folder)
    found = image_features(config, _known_source(folder))
    config = found.config
    # The list is about to be written anew.
    keep_typed_labels(folder, found.images)
    images = _with_own_labels(found.images, folder)
    known = np.flatnonzero(images.labels != UNLABELLED)
    pool = Pool(
        found.features,
        known,
        images.labels[known],
        images.class_names,
        _excluded(images, folder),
    )
    wanted = config.labels
    chosen = suggest_images(
        wanted.suggest, pool, wanted.label_budget, config.data.label_seed
    )
    if not chosen:
        raise UserError(
            f"All {len(images)} images of --dataset={config.data.dataset} have"
            " a label: there is none to suggest. --ignore_labels takes them as"
            " unlabelled."
        )
    path = os.path.join(folder, TO_LABEL_FILE)
    _write_list(path, images, chosen)
    write_json(
        os.path.join(folder, SUGGESTION_FILE), _record(found, images, chosen)
    )
    say(
        f"{path}: {len(chosen)} of {len(images):,} images to label next"
        f" ({wanted.suggest}; {len(known):,} have a label)"
        + ", all there are"
        * (len(chosen) < wanted.label_budget)
    )
    _draw(os.path.join(folder, CONTACT_SHEET), images, chosen)
    if wanted.copy_suggested:
        _copy(os.path.join(folder, COPIES_FOLDER), images, chosen)
    return path


def _known_source(folder: str) -> str:
    """Weights that the features in `features.npz` are of; '' for none."""
    try:
        return read_json(os.path.join(folder, SUGGESTION_FILE))["features"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _with_own_labels(images: ImageSet, folder: str) -> ImageSet:
    """The images with the labels given on the page so far, or in the file
    there."""
    path = os.path.join(folder, JOURNAL_FILE)
    if os.path.exists(path):
        labels = read_labels(folder)
    else:
        path = os.path.join(folder, LABELS_FILE)
        labels = labels_in(path) if os.path.exists(path) else {}
    splits, _ = with_named_labels({images.name: images}, labels, path)
    return splits[images.name]


def _excluded(images: ImageSet, folder: str) -> np.ndarray:
    names = read_excluded(folder)
    return np.flatnonzero([name in names for name in images.ids])


def _path(images: ImageSet, place: int) -> str:
    """The path of an image file; '' for other images."""
    pixels = images.pixels
    return pixels.path(place) if isinstance(pixels, FilePixels) else ""


def _write_list(path: str, images: ImageSet, chosen: list[Suggestion]) -> None:
    rows = [(images.ids[x.place], x.cluster, x.reason, "") for x in chosen]
    write_csv(path, [_TITLES, *rows])


def _record(
    found: ImageFeatures, images: ImageSet, chosen: list[Suggestion]
) -> dict[str, Any]:
    """Facts that `--mode=label` and a next round need."""
    config = found.config
    flat = with_absolute_paths(to_flat(config))
    flags = {
        option.field.name: flat[option.field.name]
        for option in options()
        if option.group == "data"
        and not option.field.name.startswith("label")
        and option.value_in(config) != option.field.default
    }
    dataset = flags.pop("dataset", config.data.dataset)
    return {
        "dataset": dataset,
        "flags": flags,
        "class_names": found.images.class_names,
        "features": found.source,
        "checkpoint": config.objective.checkpoint,
        "suggest": config.labels.suggest,
        "seed": config.data.label_seed,
        "images": len(images),
        "labelled": int(np.sum(images.labels != UNLABELLED)),
        "suggested": len(chosen),
    }


def _draw(path: str, images: ImageSet, chosen: list[Suggestion]) -> None:
    """Writes a sheet of the chosen images, in the order of the list."""
    shown = chosen[:_SHOWN]
    some = images.take(np.array([each.place for each in shown]))
    batches = evaluation_batches(some, len(some), _SIDE)
    pictures = next(iter(batches))["image"].numpy()
    captions = [
        str(number) if each.cluster < 0 else f"{number}, cluster {each.cluster}"
        for number, each in enumerate(shown, start=1)
    ]
    with drawing(path):
        sheet = picture_grid(pictures, captions, _COLUMNS)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            file.write(sheet)
    rest = len(chosen) - len(shown)
    say(f"{path}: {'the first ' * bool(rest)}{len(shown)} of them")


def _copy(folder: str, images: ImageSet, chosen: list[Suggestion]) -> None:
    """Copies files to a sub-folder for each cluster; images without a file
    as PNG."""
    shutil.rmtree(folder, ignore_errors=True)
    pixels = decoded_images(images.take(np.array([x.place for x in chosen])))
    for number, (each, image) in enumerate(zip(chosen, pixels, strict=True)):
        group = "all" if each.cluster < 0 else f"cluster-{each.cluster}"
        os.makedirs(os.path.join(folder, group), exist_ok=True)
        source = _path(images, each.place)
        name = os.path.basename(source or images.ids[each.place])
        target = os.path.join(folder, group, f"{number + 1:04}-{name}")
        if source:
            shutil.copyfile(source, target)
        else:
            tf.io.write_file(f"{target}.png", tf.io.encode_png(image))
    say(f"{folder}: copies of them")
