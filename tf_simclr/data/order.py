"""In which order training images come: a permutation per epoch, by formula."""

import tensorflow as tf

# Separates the order's random numbers from any other use of the seed.
_ORDER_STREAM = 0x5EED


def sample_order(
    num_examples: int, seed: int, batch_size: int, start: int, stop: int
) -> tf.data.Dataset:
    """Batches of (epoch, index) for sample positions start ... stop - 1.

    Position p belongs to epoch p // num_examples; within an epoch every image
    comes once. The order is a pure function of the seed and the position, so
    that a resumed run sees what the undisturbed one would have seen, and
    batches run on across the ends of epochs, as the original's do.

    Args:
      num_examples: N.
      seed: chooses the permutations.
      batch_size: positions per batch; (stop - start) should be a multiple.
      start, stop: range of positions.

    Returns:
      A dataset of (epochs, indices), each int64 (batch_size,).
    """

    def locate(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        positions = (
            start + batch * batch_size + tf.range(batch_size, dtype=tf.int64)
        )
        epochs = positions // num_examples
        seeds = tf.stack(
            [
                tf.fill(tf.shape(epochs), tf.constant(seed, tf.int64)),
                epochs,
                tf.fill(tf.shape(epochs), tf.constant(_ORDER_STREAM, tf.int64)),
            ],
            axis=1,
        )
        indices = tf.raw_ops.RandomIndexShuffle(
            index=positions % num_examples,
            seed=tf.cast(seeds, tf.uint32),
            max_index=tf.fill(
                tf.shape(epochs), tf.constant(num_examples - 1, tf.int64)
            ),
        )
        return epochs, indices

    # One element per batch, so that a batch is what can be asked for alone.
    return tf.data.Dataset.range((stop - start) // batch_size).map(locate)
