"""Keyed random numbers: uniform, independent, and the same wherever drawn."""

import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.data.augment.keys import Stream, uniforms, view_keys

MASK = 2**64 - 1
IDS = tf.range(2000, dtype=tf.int64)
ZEROS = tf.zeros_like(IDS)


def draw(seed=0, epoch=0, view=0, stream=Stream.CROP, count=50) -> np.ndarray:
    keys = view_keys(seed, ZEROS + epoch, IDS, view)
    return uniforms(keys, stream, count).numpy()


def mix(word: int) -> int:
    """SplitMix64 with Python's integers."""
    word = (word + 0x9E3779B97F4A7C15) & MASK
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & MASK
    return word ^ (word >> 31)


def test_hash_is_splitmix64():
    # The first output of the published generator with seed 0.
    assert mix(0) == 0xE220A8397B1DCDAF
    key = 0
    for word in (-7 & MASK, 1, 3, 2**40):
        key = mix(key ^ mix(word))
    keys = view_keys(-7, tf.constant([3], tf.int64), [2**40], view=1)
    assert keys.dtype == tf.uint64
    assert int(keys[0]) == key
    counter = Stream.BLUR * 2**16 + 1
    bits = mix((key + counter * 0x9E3779B97F4A7C15) & MASK)
    found = uniforms(keys, Stream.BLUR, 2)
    assert float(found[0, 1]) == (bits >> 40) / 2**24


def test_numbers_are_uniform():
    numbers = draw()
    assert numbers.dtype == np.float32
    assert numbers.min() >= 0
    assert numbers.max() < 1
    # 100,000 numbers: four standard errors.
    assert abs(numbers.mean() - 1 / 2) < 4 * np.sqrt(1 / 12 / numbers.size)
    counts = np.histogram(numbers, bins=100, range=(0, 1))[0]
    expected = numbers.size / 100
    chi_square = np.sum((counts - expected) ** 2 / expected)
    assert 50 < chi_square < 160  # 99 degrees of freedom


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"seed": -1},
        {"epoch": 1},
        {"view": 1},
        {"stream": Stream.FLIP},
    ],
    ids=str,
)
def test_changing_one_thing_changes_everything(change):
    first, second = draw(), draw(**change)
    assert np.mean(first == second) < 1e-3
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.013


def test_neighbors_are_uncorrelated():
    numbers = draw()
    across_ids = np.corrcoef(numbers[1:].ravel(), numbers[:-1].ravel())[0, 1]
    across_counts = np.corrcoef(
        numbers[:, 1:].ravel(), numbers[:, :-1].ravel()
    )[0, 1]
    assert abs(across_ids) < 0.013
    assert abs(across_counts) < 0.013


def test_seeds_views_epochs_and_ids_do_not_mix_up():
    # Small numbers in every role, each combination once.
    epochs, ids = np.divmod(np.arange(30 * 30), 30)
    keys = [
        view_keys(seed, tf.constant(epochs), tf.constant(ids), view).numpy()
        for seed in range(-5, 6)
        for view in (0, 1)
    ]
    assert len(np.unique(keys)) == np.size(keys)


def test_numbers_depend_on_their_key_alone():
    keys = view_keys(0, ZEROS, IDS, 0)
    whole = uniforms(keys, Stream.CROP, 8).numpy()
    part = tf.function(uniforms)(keys[700:703], Stream.CROP, 5).numpy()
    assert np.array_equal(part, whole[700:703, :5])


def test_streams_do_not_overlap():
    assert len({int(stream) for stream in Stream}) == len(Stream)
