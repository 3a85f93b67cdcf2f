"""A picture of what the augmentation does to the images."""

import os

import numpy as np
import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.data.array_batches import decoded_images
from tf_simclr.data.bad_images import naming_bad_images
from tf_simclr.data.batches import TrainingBatches, evaluation_batches
from tf_simclr.data.labels import choose_labels
from tf_simclr.data.order import sample_order
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import Splits
from tf_simclr.files import replacing
from tf_simclr.modes.prepare import (
    say_notices,
    stage_images,
    write_image_files,
)
from tf_simclr.progress import say
from tf_simclr.training.run_dir import check_writable

# Images in the picture, their least size there, and the lines between them.
_COLUMNS = 8
_LEAST_SIDE = 96
_LINE = 2


def preview(config: Config) -> str:
    """Writes `preview.png` to `model_dir`, and the same to TensorBoard.

    One column per image; from top to bottom the original, two views as
    pretraining sees them, and the view of evaluation.

    Returns:
      The file's path.
    """
    folder = config.run.model_dir
    check_writable(folder)
    splits = stage_images(config)
    say_notices(config, splits.notices)
    say(_read_as(splits, config))
    count = min(_COLUMNS, len(splits.train))
    places = np.linspace(0, len(splits.train) - 1, count).astype(int)
    images = splits.train.take(places)
    with naming_bad_images(images):
        rows = _rows(images, config)
    # Images of a few pixels are shown larger.
    scale = -(-_LEAST_SIDE // config.data.image_size)
    picture = _grid(rows.repeat(scale, axis=2).repeat(scale, axis=3))
    os.makedirs(folder, exist_ok=True)
    write_image_files(config, splits)
    path = os.path.join(folder, "preview.png")
    with replacing(path) as name:
        tf.io.write_file(name, tf.io.encode_png(picture))
    writer = tf.summary.create_file_writer(folder)
    with writer.as_default(step=0):
        tf.summary.image("preview", picture[np.newaxis])
    writer.close()
    say(
        f"{path}: {count} images in columns; from top to bottom the original,"
        " two views, and the view of evaluation"
    )
    return path


def _read_as(splits: Splits, config: Config) -> str:
    """Classes and numbers of images, a line each."""
    train, evaluation = splits.train, splits.evaluation
    lines = [f"{config.data.dataset}: {len(train)} images to train on"]
    if train.has_labels:
        lines.append(choose_labels(train, config.data).table(train))
    else:
        lines[0] += ", none with a label"
    if evaluation is not None:
        lines.append(f"{len(evaluation)} images to evaluate on")
    return "\n".join(lines)


def _rows(images: ImageSet, config: Config) -> np.ndarray:
    """uint8 (4, N, S, S, 3): originals, two views, evaluation views."""
    count, size = len(images), config.data.image_size
    seed = config.train.seed
    batches = TrainingBatches(
        images, config.augment, size, seed, contrastive=True
    )
    batch = batches.views(next(iter(batches.dataset(count, 0, 1))))
    _, order = next(iter(sample_order(count, seed, count, 0, count)))
    evaluated = next(iter(evaluation_batches(images, count, size)))["image"]
    whole = [
        tf.image.resize_with_pad(image, size, size, antialias=True) / 255
        for image in decoded_images(images)
    ]
    rows = [
        tf.gather(whole, order),
        batch["view1"],
        batch["view2"],
        tf.gather(evaluated, order),
    ]
    return tf.image.convert_image_dtype(rows, tf.uint8, saturate=True).numpy()


def _grid(rows: np.ndarray) -> np.ndarray:
    """Lays out (R, N, S, S, 3) with white lines in between: (H, W, 3)."""
    margins = ((0, 0), (0, 0), (_LINE, 0), (_LINE, 0), (0, 0))
    cells = np.pad(rows, margins, constant_values=255)
    count_rows, count, height, width, channels = cells.shape
    grid = cells.transpose(0, 2, 1, 3, 4)
    grid = grid.reshape(count_rows * height, count * width, channels)
    edges = ((0, _LINE), (0, _LINE), (0, 0))
    return np.pad(grid, edges, constant_values=255)
