"""Teachers' answers as one: the mean of their softened distributions."""

import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.losses.mean_of_teachers import logits_of, mean_of_teachers

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 4)).astype(np.float32) * 3
PROBABILITIES = RNG.dirichlet(np.ones(4), 6).astype(np.float32)


def both(logits, probabilities, temperature):
    return mean_of_teachers([logits, logits_of(probabilities)], temperature)


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 4.0])
def test_the_mean_at_the_temperature(temperature):
    found = both(LOGITS, PROBABILITIES, temperature)
    powers = PROBABILITIES ** (1 / temperature)
    other = powers / powers.sum(axis=1, keepdims=True)
    expected = (softmax(LOGITS / temperature) + other) / 2
    assert found.dtype == tf.float32
    assert np.allclose(
        tf.nn.softmax(found / temperature), expected, rtol=1e-4, atol=1e-6
    )


def test_one_teacher_is_its_own_mean():
    assert mean_of_teachers([LOGITS], 0.5) is LOGITS


def test_three_teachers_count_alike():
    others = [RNG.normal(size=LOGITS.shape).astype(np.float32) for _ in "ab"]
    found = tf.nn.softmax(mean_of_teachers([LOGITS, *others], 2.0) / 2.0)
    each = [softmax(logits / 2.0) for logits in (LOGITS, *others)]
    assert np.allclose(found, np.mean(each, axis=0), rtol=1e-4, atol=1e-6)


def test_certain_answers_are_finite():
    sure = np.eye(4, dtype=np.float32)[[0, 1]]
    far = np.array([[1e4, 0, 0, 0], [0, 0, 0, 1e4]], np.float32)
    found = both(far, sure, 0.1)
    assert np.isfinite(found).all()
    mean = tf.nn.softmax(found / 0.1).numpy()
    assert np.allclose(mean, [[1, 0, 0, 0], [0, 0.5, 0, 0.5]], atol=1e-5)


def test_logits_have_the_probabilities():
    found = tf.nn.softmax(logits_of(PROBABILITIES))
    assert np.allclose(found, PROBABILITIES, atol=1e-5)


def test_logits_of_a_lower_precision():
    half = tf.cast(LOGITS, tf.bfloat16)
    found = both(half, PROBABILITIES, 1.0)
    assert found.dtype == tf.float32
