"""Pictures of what a network sees."""

import tensorflow as tf

from tf_simclr.data.batches import TrainingBatches

# Images in the grid of augmented views, and the largest side of each: event
# files stay small.
SHOWN = 8
SIDE = 128


def sample_views(batches: TrainingBatches, count: int = SHOWN) -> tf.Tensor:
    """The views of the first images that a run trains on.

    Returns:
      float32 (rows, n, s, s, 3) in [0, 1]: one row of views per image of a
      contrastive batch, hence 2, or 1. n is at most `count`, s at most 128.
    """
    count = min(count, len(batches.images))
    batch = batches.views(next(iter(batches.dataset(count, 0, 1))))
    names = ["view1", "view2"] if batches.contrastive else ["image"]
    return tf.stack([_shrunk(batch[name]) for name in names])


def write_views(batches: TrainingBatches, step: int) -> None:
    """Writes a grid of training views, with the default writer.

    One column per image, and for contrastive batches the second views below
    the first.
    """
    rows = [tf.concat(tf.unstack(r), axis=1) for r in sample_views(batches)]
    grid = tf.concat(rows, axis=0)
    tf.summary.image("views", grid[tf.newaxis], step)


def _shrunk(images: tf.Tensor) -> tf.Tensor:
    if images.shape[1] <= SIDE:
        return images
    smaller = tf.image.resize(images, [SIDE, SIDE], antialias=True)
    return tf.clip_by_value(smaller, 0.0, 1.0)
