"""What a run shows in TensorBoard."""

import tensorflow as tf

from tf_simclr.data.batches import TrainingBatches

# Images in the grid of augmented views.
_SHOWN = 8


def write_scalars(
    writer: tf.summary.SummaryWriter,
    step: int,
    split: str,
    metrics: dict[str, float],
) -> None:
    """Writes metrics under `SPLIT/NAME`."""
    with writer.as_default(step=step):
        for name, value in metrics.items():
            label = name if "/" in name else f"{split}/{name}"
            tf.summary.scalar(label, value)


def write_views(
    writer: tf.summary.SummaryWriter, batches: TrainingBatches, step: int
) -> None:
    """Writes a grid of training views: one column per image, and for
    contrastive batches the second views below the first."""
    count = min(_SHOWN, len(batches.images))
    batch = batches.views(next(iter(batches.dataset(count, 0, 1))))
    names = ["view1", "view2"] if batches.contrastive else ["image"]
    rows = [tf.concat(tf.unstack(batch[name]), axis=1) for name in names]
    grid = tf.concat(rows, axis=0)
    with writer.as_default(step=step):
        tf.summary.image("train/views", grid[tf.newaxis])
