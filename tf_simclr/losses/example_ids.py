"""Numbers that tell the images of a batch apart, beside their embeddings.

A batch may hold an image twice, where it spans the end of an epoch or the
queue of past embeddings remembers it. Its other appearances are neither
positives nor negatives of an anchor.
"""

import tensorflow as tf

# An id that equals no other: of a queue's rows whose images are not known.
UNKNOWN = -1
# Two float32 numbers below 2^24 hold an id below 2^48 exactly.
_PART = 2**24


def as_columns(ids: tf.Tensor) -> tf.Tensor:
    """Ids, int64 (n,) from 0 to 2^48 - 1, as float32 (n, 2), exactly.

    So they travel between replicas with the embeddings, in one collective.
    """
    parts = tf.stack([ids // _PART, ids % _PART], axis=1)
    return tf.cast(parts, tf.float32)


def from_columns(columns: tf.Tensor) -> tf.Tensor:
    """The ids, int64 (n,), of what `as_columns` gave."""
    parts = tf.cast(columns, tf.int64)
    return parts[:, 0] * _PART + parts[:, 1]


def same_image(ids: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """True where images are the same: bool (n, m) of int64 (n,) and (m,).

    `UNKNOWN` is the same as no image.
    """
    equal = ids[:, tf.newaxis] == others[tf.newaxis, :]
    return tf.logical_and(equal, others != UNKNOWN)
