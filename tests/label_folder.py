"""A folder such as `--mode=suggest` leaves it, of tiny images."""

import csv
import json
import pathlib
from collections.abc import Sequence

import numpy as np
import tiny

from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import open_images

SUGGESTED = 9


def tiny_images(folder: pathlib.Path) -> ImageSet:
    """24 images 8x8 of 3 classes, without their labels."""
    data = DataConfig(
        dataset=tiny.write_npz(folder), ignore_labels=True, image_size=8
    )
    return open_images(data, "train")[0]


def features_of(count: int) -> np.ndarray:
    """(count, 3) of clusters 0, 1, 2, 0, ..."""
    noise = np.random.default_rng(0).normal(size=(count, 3))
    return np.eye(3)[np.arange(count) % 3] * 5 + noise


def write(
    folder: pathlib.Path,
    dataset: str,
    ids: Sequence[str],
    *,
    suggested: int = SUGGESTED,
    **flags,
) -> pathlib.Path:
    """Writes features, the list of images to label, and the record."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "features.npz",
        ids=np.array(ids),
        features=features_of(len(ids)),
    )
    with (folder / "to_label.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "cluster", "reason", "label"))
        for place in range(suggested):
            reason = "most typical of 8 similar images"
            writer.writerow((ids[place], place % 3, reason, ""))
    record = {
        "dataset": dataset,
        "flags": {"ignore_labels": True, **flags},
        "class_names": [],
        "checkpoint": None,
    }
    (folder / "suggestion.json").write_text(json.dumps(record))
    return folder


def write_tiny(folder: pathlib.Path) -> pathlib.Path:
    """The same, of `tiny_images`."""
    images = tiny_images(folder)
    path = str(folder / "tiny.npz")
    return write(folder / "labels", path, images.ids, image_size=8)
