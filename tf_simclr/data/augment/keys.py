"""Random numbers that depend only on what they are for.

Every view of every image has a 64-bit key, a hash of (seed, epoch, image id,
view). Each number is a hash of a key, a stream and a counter. So the numbers
do not depend on threads, on how images are batched, or on how many replicas
share the work, and a run that resumes draws what it would have drawn.

The hash is the output function of SplitMix64 (Steele, Lea and Flood, "Fast
splittable pseudorandom number generators", 2014), in uint64 tensor arithmetic,
which wraps around.
"""

import enum

import tensorflow as tf

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIER_1 = 0xBF58476D1CE4E5B9
_MULTIPLIER_2 = 0x94D049BB133111EB
_WORD = 2**64
_STREAM_LENGTH = 2**16


class Stream(enum.IntEnum):
    """Uses of random numbers, each with a stream of its own.

    Each use has a stream of its own, so that switching one part of the
    augmentation off leaves the others as they were.
    """

    CROP = 0
    AFFINE = 1
    FLIP = 2
    COLOR_JITTER = 3
    GRAYSCALE = 4
    BLUR = 5


def view_keys(
    seed: int, epochs: tf.Tensor, ids: tf.Tensor, view: int
) -> tf.Tensor:
    """The keys of one view of a batch of images.

    Args:
      seed: the run's seed, any integer.
      epochs: int64 (B,), the pass over the data that each image belongs to.
      ids: int64 (B,), which image of the data set each one is.
      view: which view of the image, 0 or 1.

    Returns:
      uint64 (B,).
    """
    # The first word is mixed twice and so is no match for the others: seed 0,
    # view 1 and seed 1, view 0 have different keys.
    key = _absorb(_word(0), _word(seed))
    key = _absorb(key, _word(view))
    key = _absorb(key, _words(epochs))
    return _absorb(key, _words(ids))


def uniforms(keys: tf.Tensor, stream: int, count: int) -> tf.Tensor:
    """Uniformly distributed numbers, `count` for each key.

    Args:
      keys: uint64 (B,), from `view_keys`.
      stream: a member of `Stream`.
      count: how many numbers, at most 65,536.

    Returns:
      float32 (B, count) in [0, 1), multiples of 2^-24.
    """
    first = stream * _STREAM_LENGTH
    counters = tf.range(first, first + count, dtype=tf.int64)
    steps = _words(counters) * _word(_GOLDEN_GAMMA)
    bits = _mix(keys[:, tf.newaxis] + steps)
    top = tf.bitwise.right_shift(bits, _word(40))
    return tf.cast(top, tf.float32) * 2.0**-24


def _word(value: int) -> tf.Tensor:
    """A Python integer, modulo 2^64, as a uint64 scalar."""
    return tf.constant(value % _WORD, tf.uint64)


def _words(values: tf.Tensor) -> tf.Tensor:
    """int64 numbers as uint64, negative ones modulo 2^64."""
    return tf.bitcast(tf.cast(values, tf.int64), tf.uint64)


def _absorb(key: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
    """Makes `words` part of what the key is a hash of."""
    return _mix(tf.bitwise.bitwise_xor(key, _mix(words)))


def _mix(words: tf.Tensor) -> tf.Tensor:
    """SplitMix64's step and finaliser: a bijection that mixes all 64 bits."""
    words = words + _word(_GOLDEN_GAMMA)
    words = _fold(words, 30) * _word(_MULTIPLIER_1)
    words = _fold(words, 27) * _word(_MULTIPLIER_2)
    return _fold(words, 31)


def _fold(words: tf.Tensor, shift: int) -> tf.Tensor:
    """XORs the high bits into the low ones."""
    return tf.bitwise.bitwise_xor(
        words, tf.bitwise.right_shift(words, _word(shift))
    )
