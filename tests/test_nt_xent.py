"""NT-Xent against the original's figures and a plain loop."""

import golden_figures as golden
import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.losses.classification import contrastive_chance
from tf_simclr.losses.nt_xent import nt_xent
from tf_simclr.losses.nt_xent_blocks import automatic_block_rows

FIGURES = golden.load("objective.npz")


def by_loop(view1, view2, temperature, normalize=True):
    """SimCLR's equation 1, anchor by anchor."""
    z = np.concatenate([view1, view2]).astype("float64")
    if normalize:
        z /= np.linalg.norm(z, axis=1, keepdims=True)
    count = len(view1)
    losses = []
    for i in range(2 * count):
        positive = (i + count) % (2 * count)
        exponents = [
            z[i] @ z[k] / temperature for k in range(2 * count) if k != i
        ]
        log_sum = np.logaddexp.reduce(exponents)
        losses.append(log_sum - z[i] @ z[positive] / temperature)
    return np.mean(losses)


# The golden batches at once, in blocks that divide them, and that do not.
@pytest.mark.parametrize("block_rows", [None, 1, 3])
@pytest.mark.parametrize("case", range(4))
def test_loss_logits_and_gradient_equal_the_original(case, block_rows):
    hidden = tf.constant(FIGURES[f"c{case}_hidden"])
    temperature = float(FIGURES[f"c{case}_temperature"])
    normalize = bool(FIGURES[f"c{case}_hidden_norm"])

    @tf.function
    def compute(hidden):
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            found = nt_xent(
                *tf.split(hidden, 2),
                temperature,
                normalize,
                block_rows=block_rows,
            )
            # The original adds the two views' means up.
            loss = 2.0 * found.loss
        return loss, found.logits, tape.gradient(loss, hidden)

    loss, logits, gradient = compute(hidden)
    figures = [(loss, "loss"), (gradient, "grad")]
    if block_rows is None:
        figures.append((logits, "logits_ab"))
    else:
        assert logits is None
    for found, name in figures:
        error = golden.relative_error(found, FIGURES[f"c{case}_{name}"])
        assert error < 1e-5, name
    looped = by_loop(*np.split(hidden.numpy(), 2), temperature, normalize)
    assert np.isclose(float(loss) / 2, looped, rtol=1e-5)


@pytest.mark.parametrize("block_rows", [None, 3])
def test_replicas_compare_with_each_others_images(two_replicas, block_rows):
    view1 = FIGURES["two_replica_view1"]
    view2 = FIGURES["two_replica_view2"]
    temperature = float(FIGURES["two_replica_temperature"])

    def part(context):
        half = slice(4, 8) if context.replica_id_in_sync_group else slice(0, 4)
        return tf.constant(view1[half]), tf.constant(view2[half])

    parts = two_replicas.experimental_distribute_values_from_function(part)

    def on_replica(pair):
        first, second = pair
        with tf.GradientTape() as tape:
            tape.watch([first, second])
            loss = nt_xent(
                first, second, temperature, block_rows=block_rows
            ).loss
            scaled = loss / 2.0
        return loss, tape.gradient(scaled, [first, second])

    @tf.function
    def run():
        return two_replicas.run(on_replica, args=(parts,))

    losses, gradients = run()
    found = [2.0 * float(x) for x in losses.values]
    assert np.allclose(found, FIGURES["two_replica_losses"], rtol=1e-5)

    pair = [tf.constant(view1), tf.constant(view2)]
    with tf.GradientTape() as tape:
        tape.watch(pair)
        loss = nt_xent(*pair, temperature).loss
    assert np.isclose(np.mean(found) / 2, float(loss), rtol=1e-5)
    assert np.isclose(float(loss), by_loop(view1, view2, temperature))
    for both, whole in zip(gradients, tape.gradient(loss, pair), strict=True):
        joined = np.concatenate([x.numpy() for x in both.values])
        assert golden.relative_error(joined, whole.numpy()) < 1e-5


def test_chance_levels_are_those_of_identical_embeddings():
    same = tf.ones([16, 8])
    found = nt_xent(same, same)
    chance = contrastive_chance(16)
    assert np.isclose(float(found.loss), chance["contrast_loss"])
    assert np.isclose(float(found.entropy), chance["contrast_entropy"])
    queue = (tf.ones([5, 8]) / 8**0.5, tf.fill([5], True))
    with_memory = nt_xent(same, same, keys=(same, same), queue=queue).loss
    chance = contrastive_chance(16, memory=5)
    assert np.isclose(float(with_memory), chance["contrast_loss"])


def test_contrastive_accuracy_of_unrelated_views_is_at_chance():
    rng = np.random.default_rng(0)
    accuracies = [
        nt_xent(*tf.constant(rng.normal(size=(2, 16, 8)))).accuracy
        for _ in range(200)
    ]
    # 3,200 anchors: the standard error is 0.0043.
    chance = contrastive_chance(16)["contrast_acc"]
    assert abs(np.mean(accuracies) - chance) < 0.015


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16, tf.float16])
@pytest.mark.parametrize("block_rows", [None, 3])
def test_extreme_inputs_stay_finite(dtype, block_rows):
    rows = tf.random.stateless_normal([8, 16], [1, 2])
    inputs = {
        "zeros": tf.zeros([8, 16]),
        "equal": tf.ones([8, 16]),
        "random": rows,
    }
    for name, value in inputs.items():
        value = tf.cast(value, dtype)
        with tf.GradientTape() as tape:
            tape.watch(value)
            loss = nt_xent(
                value, value, temperature=0.01, block_rows=block_rows
            ).loss
        assert loss.dtype == tf.float32
        assert np.isfinite(float(loss)), name
        gradient = tf.cast(tape.gradient(loss, value), tf.float32)
        assert np.all(np.isfinite(gradient)), name


@pytest.mark.parametrize("with_keys", [False, True])
def test_blocks_give_the_same_figures(with_keys):
    values = [tf.random.stateless_normal([10, 6], [7, i]) for i in range(4)]
    rows = tf.math.l2_normalize(tf.random.stateless_normal([9, 6], [7, 7]), 1)
    compared = {"queue": (rows, tf.range(9) < 5)}
    if with_keys:
        compared["keys"] = tuple(values[2:])

    def compute(block_rows):
        with tf.GradientTape() as tape:
            tape.watch(values)
            found = nt_xent(
                *values[:2], 0.05, **compared, block_rows=block_rows
            )
        gradients = tape.gradient(found.loss, values[:2])
        return [found.loss, found.accuracy, found.entropy, *gradients]

    for whole, parts in zip(compute(None), compute(4), strict=True):
        assert np.allclose(whole, parts, rtol=1e-5, atol=1e-6)


def test_large_batches_are_compared_in_blocks():
    # All logits of 2 x 8192 embeddings would take 1 GiB at once.
    rows = automatic_block_rows(8192, 2 * 8192)
    assert rows * 2 * 8192 * 4 <= 64 * 2**20
    assert automatic_block_rows(256, 512) == 256
    assert automatic_block_rows(4, 2**30) == 1


def test_accuracy_counts_found_positives():
    basis = tf.eye(4)
    assert float(nt_xent(basis, basis).accuracy) == 1.0
    assert float(nt_xent(basis, tf.roll(basis, 1, 0)).accuracy) == 0.0


def test_memory_is_the_written_formula():
    rng = np.random.default_rng(3)
    z1, z2, k1, k2 = rng.standard_normal((4, 5, 6)).astype("float32")
    queue = rng.standard_normal((7, 6)).astype("float32")
    filled = np.arange(7) < 4
    temperature = 0.3
    values = [tf.constant(x) for x in (z1, z2, k1, k2, queue)]
    with tf.GradientTape() as tape:
        tape.watch(values)
        loss = nt_xent(
            *values[:2],
            temperature,
            keys=tuple(values[2:4]),
            queue=(values[4], tf.constant(filled)),
        ).loss
    gradients = tape.gradient(loss, values)
    # Keys and queue are examples to compare with, not to learn from.
    assert [g is None for g in gradients] == [False] * 2 + [True] * 3

    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    losses = []
    for anchors, other, same in ((z1, k2, k1), (z2, k1, k2)):
        for i, anchor in enumerate(unit(anchors)):
            compared = [*unit(other), *np.delete(unit(same), i, 0)]
            compared += list(queue[filled])
            logits = np.array(compared) @ anchor / temperature
            losses.append(np.logaddexp.reduce(logits) - logits[i])
    assert np.isclose(float(loss), np.mean(losses), rtol=1e-5)


# Image 4 comes twice, image 2 three times; the queue knows 4 and 9.
IDS = np.array([4, 2, 7, 4, 2, 2])
QUEUE_IDS = np.array([9, 4, -1, 9, 2])
FILLED = np.array([True, True, True, False, True])


def without_repetitions(z1, z2, temperature, ids, queue, keys=None):
    """Equation 1 where an image's other appearances are left out."""

    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    k1, k2 = keys or (z1, z2)
    losses, hits = [], []
    for anchors, other, same in ((z1, k2, k1), (z2, k1, k2)):
        for i, anchor in enumerate(unit(anchors)):
            differs = ids != ids[i]
            negatives = [unit(other)[differs], unit(same)[differs]]
            if queue is not None:
                rows, filled, queue_ids = queue
                negatives.append(rows[filled & (queue_ids != ids[i])])
            compared = np.concatenate([unit(other)[i : i + 1], *negatives])
            logits = compared @ anchor / temperature
            losses.append(np.logaddexp.reduce(logits) - logits[0])
            hits.append(logits[0] >= logits[: 1 + differs.sum()].max())
    return np.mean(losses), np.mean(hits[: len(ids)])


@pytest.mark.parametrize("block_rows", [None, 4])
@pytest.mark.parametrize("memory", [False, True])
def test_an_image_is_no_negative_of_itself(memory, block_rows):
    rng = np.random.default_rng(5)
    z1, z2, k1, k2 = rng.standard_normal((4, 6, 8)).astype("float32")
    rows = rng.standard_normal((5, 8)).astype("float32")
    queue = (rows, FILLED, QUEUE_IDS) if memory else None
    keys = (k1, k2) if memory else None
    compared = {}
    if memory:
        compared = {
            "keys": keys,
            "queue": (tf.constant(rows), tf.constant(FILLED)),
            "queue_ids": tf.constant(QUEUE_IDS),
        }
    views = [tf.constant(z1), tf.constant(z2)]

    @tf.function
    def compute():
        with tf.GradientTape() as tape:
            tape.watch(views)
            found = nt_xent(
                *views,
                0.3,
                ids=tf.constant(IDS),
                **compared,
                block_rows=block_rows,
            )
        slopes = tape.gradient(found.loss, views)
        return found.loss, found.accuracy, found.entropy, slopes

    loss, accuracy, entropy, slopes = compute()
    wanted = without_repetitions(z1, z2, 0.3, IDS, queue, keys)
    assert np.allclose([loss, accuracy], wanted, rtol=1e-5)
    assert np.isfinite(entropy)
    # The gradient is the slope of the written formula.
    direction = rng.standard_normal(z1.shape)
    small = 1e-4
    ends = [
        without_repetitions(z1 + step * direction, z2, 0.3, IDS, queue, keys)[0]
        for step in (small, -small)
    ]
    slope = (ends[0] - ends[1]) / (2 * small)
    assert np.isclose(np.sum(slopes[0] * direction), slope, rtol=2e-3)


@pytest.mark.parametrize("block_rows", [None, 4])
def test_different_images_give_the_same_bits(block_rows):
    views = tf.random.stateless_normal([2, 6, 8], [1, 2])
    plain, told = (
        nt_xent(*tf.unstack(views), ids=ids, block_rows=block_rows)
        for ids in (None, tf.range(6, dtype=tf.int64))
    )
    for one, other in zip(plain[:3], told[:3], strict=True):
        assert float(one) == float(other)


@pytest.mark.parametrize("block_rows", [None, 2])
def test_replicas_know_each_others_images(two_replicas, block_rows):
    rng = np.random.default_rng(6)
    z1, z2 = rng.standard_normal((2, 6, 8)).astype("float32")
    # Beyond what a float32 holds.
    ids = IDS + 2**40

    def part(context):
        first = 3 * context.replica_id_in_sync_group
        rows = slice(first, first + 3)
        return tuple(tf.constant(x[rows]) for x in (z1, z2, ids))

    parts = two_replicas.experimental_distribute_values_from_function(part)

    @tf.function
    def run():
        def on_replica(part):
            first, second, ids = part
            return nt_xent(
                first, second, 0.3, ids=ids, block_rows=block_rows
            ).loss

        return two_replicas.run(on_replica, args=(parts,))

    losses = [float(x) for x in run().values]
    wanted, _ = without_repetitions(z1, z2, 0.3, ids, None)
    assert np.isclose(np.mean(losses), wanted, rtol=1e-5)
