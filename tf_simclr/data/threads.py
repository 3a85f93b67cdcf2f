"""Threads of `tf.data`."""

import tensorflow as tf


def with_threads(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """A data set whose calls run side by side, one thread for each operation.

    As many calls as there are cores, and not as many as TensorFlow finds best:
    the thread that looks for that number sleeps for up to a minute, and
    whoever closes the iterator may have to wait for it.
    """
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return dataset.with_options(options)
