"""SupCon against its equation, and against NT-Xent where no label is."""

import math

import numpy as np
import pytest
import tensorflow as tf
from small_job import small_job
from tiny_network import tiny_network

from tf_simclr.losses.nt_xent import nt_xent
from tf_simclr.methods.supcon import SupCon, supervised_contrastive_loss

TEMPERATURE = 0.3
# One label three times, one twice, one once; two images have none.
LABELS = np.array([0, 1, 0, -1, 2, 1, -1, 0], np.int32)
# Images 0 and 2 are the same, and so are 3 and 6.
IDS = np.array([5, 1, 5, 7, 2, 3, 7, 4]) + 2**40


def views(dim: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, len(LABELS), dim))
    return first.astype("float32"), second.astype("float32")


def by_loop(view1, view2, labels, normalize=True, ids=None):
    """Equation 2 of the paper, anchor by anchor; and positives per anchor."""
    z = np.concatenate([view1, view2]).astype("float64")
    if normalize:
        z /= np.linalg.norm(z, axis=1, keepdims=True)
    count = len(labels)
    ids = np.arange(count) if ids is None else ids
    losses, numbers = [], []
    for i in range(2 * count):
        others = [
            k
            for k in range(2 * count)
            # Of its own image, the other view alone.
            if k == (i + count) % (2 * count)
            or ids[k % count] != ids[i % count]
        ]
        positives = [
            k
            for k in others
            if k % count == i % count
            or labels[k % count] == labels[i % count] >= 0
        ]
        logits = {k: z[i] @ z[k] / TEMPERATURE for k in others}
        log_sum = np.logaddexp.reduce(list(logits.values()))
        losses.append(np.mean([log_sum - logits[p] for p in positives]))
        numbers.append(len(positives))
    return np.mean(losses), np.mean(numbers)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("ids", [None, IDS])
def test_loss_is_the_written_formula(normalize, ids):
    first, second = views()
    found = supervised_contrastive_loss(
        tf.constant(first),
        tf.constant(second),
        tf.constant(LABELS),
        TEMPERATURE,
        normalize,
        ids=None if ids is None else tf.constant(ids),
    )
    expected = by_loop(first, second, LABELS, normalize, ids)
    assert np.allclose(found, expected, rtol=1e-5)


def test_the_gradient_is_the_slope_of_the_formula():
    first, second = views()
    variable = tf.constant(first)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        loss, _ = supervised_contrastive_loss(
            variable,
            tf.constant(second),
            tf.constant(LABELS),
            TEMPERATURE,
            ids=tf.constant(IDS),
        )
    gradient = tape.gradient(loss, variable).numpy()
    direction = np.random.default_rng(1).standard_normal(first.shape)
    small = 1e-4
    ends = [
        by_loop(first + step * direction, second, LABELS, ids=IDS)[0]
        for step in (small, -small)
    ]
    slope = (ends[0] - ends[1]) / (2 * small)
    assert np.isclose(np.sum(gradient * direction), slope, rtol=2e-3)


@pytest.mark.parametrize("ids", [None, IDS])
def test_without_any_label_it_is_nt_xent(ids):
    pair = [tf.constant(view) for view in views()]
    ids = None if ids is None else tf.constant(ids)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(pair)
        loss, positives = supervised_contrastive_loss(
            *pair, tf.fill([len(LABELS)], -1), TEMPERATURE, ids=ids
        )
        expected = nt_xent(*pair, TEMPERATURE, ids=ids).loss
    assert float(positives) == 1.0
    assert np.isclose(float(loss), float(expected), rtol=1e-6)
    for found, wanted in zip(
        tape.gradient(loss, pair), tape.gradient(expected, pair), strict=True
    ):
        assert np.allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_two_replicas_learn_what_one_does(two_replicas):
    first, second = views()
    arrays = (first, second, LABELS, IDS)

    def part(context):
        start = 4 * context.replica_id_in_sync_group
        return tuple(tf.constant(x[start : start + 4]) for x in arrays)

    parts = two_replicas.experimental_distribute_values_from_function(part)

    def compute(first, second, labels, ids, scale=1.0):
        with tf.GradientTape() as tape:
            tape.watch([first, second])
            loss, positives = supervised_contrastive_loss(
                first, second, labels, TEMPERATURE, ids=ids
            )
            scaled = loss * scale
        return loss, positives, tape.gradient(scaled, [first, second])

    @tf.function
    def run():
        return two_replicas.run(lambda part: compute(*part, 0.5), args=(parts,))

    losses, positives, gradients = run()
    wanted = compute(*map(tf.constant, arrays))
    assert np.isclose(np.mean(losses.values), float(wanted[0]), rtol=1e-5)
    assert np.isclose(np.mean(positives.values), float(wanted[1]))
    for both, whole in zip(gradients, wanted[2], strict=True):
        joined = np.concatenate([x.numpy() for x in both.values])
        assert np.allclose(joined, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("value", [tf.zeros, tf.ones])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float16, tf.bfloat16])
def test_extreme_inputs_stay_finite(value, dtype):
    same = tf.cast(value([len(LABELS), 4]), dtype)
    with tf.GradientTape() as tape:
        tape.watch(same)
        loss, _ = supervised_contrastive_loss(
            same, same, tf.constant(LABELS), 0.01, ids=tf.constant(IDS)
        )
    assert loss.dtype == tf.float32 and np.isfinite(float(loss))
    gradient = tf.cast(tape.gradient(loss, same), tf.float32)
    assert np.all(np.isfinite(gradient))


def test_chance_is_the_loss_of_equal_embeddings():
    count = len(LABELS)
    job = small_job(
        tiny_network(), labels=LABELS, optimizer={"train_batch_size": count}
    )
    chance = SupCon(job).chance()
    same = tf.ones([count, 4])
    loss, _ = supervised_contrastive_loss(same, same, tf.constant(LABELS))
    assert np.isclose(float(loss), chance["supcon_loss"])
    assert np.isclose(chance["supcon_loss"], math.log(2 * count - 1))
    assert "positives" not in chance
