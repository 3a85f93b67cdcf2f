"""VICReg against its equations, and the options that weigh its terms."""

import numpy as np
import pytest
import tensorflow as tf
from small_job import small_job
from tiny_network import tiny_network

from tf_simclr.errors import UserError
from tf_simclr.methods.base import whole_loss
from tf_simclr.methods.vicreg import VICReg, vicreg_terms


def views(count: int = 8, dim: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    # Some dimensions spread more than 1, some less.
    scale = np.linspace(0.2, 2.0, dim)
    first, second = scale * rng.standard_normal((2, count, dim))
    return first.astype("float32"), second.astype("float32")


def by_formula(view1, view2):
    """The terms of the paper's equations 1 to 6, as its code weighs them."""
    dim = view1.shape[1]
    invariance = np.mean((view1.astype("float64") - view2) ** 2)
    variance, covariance = 0.0, 0.0
    for view in (view1, view2):
        matrix = np.cov(view.astype("float64"), rowvar=False)
        deviations = np.sqrt(np.diag(matrix) + 1e-4)
        variance += np.mean(np.maximum(0.0, 1.0 - deviations)) / 2
        beside = matrix - np.diag(np.diag(matrix))
        covariance += np.sum(beside**2) / dim
    return invariance, variance, covariance


def test_terms_are_the_written_formulas():
    first, second = views()
    found = vicreg_terms(tf.constant(first), tf.constant(second))
    expected = by_formula(first, second)
    assert all(term > 0 for term in expected)
    assert np.allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_terms_of_equal_embeddings_are_finite(dtype):
    same = tf.ones([4, 3], dtype)
    with tf.GradientTape() as tape:
        tape.watch(same)
        terms = vicreg_terms(same, same)
        total = tf.add_n(terms)
    # Collapse: no spread at all, of which the square root is 0.01.
    assert np.allclose(terms, [0.0, 0.99, 0.0], atol=1e-6)
    assert np.all(np.isfinite(tf.cast(tape.gradient(total, same), tf.float32)))


def test_two_replicas_learn_what_one_does(two_replicas):
    arrays = views()
    weights = (25.0, 25.0, 1.0)

    def part(context):
        start = 4 * context.replica_id_in_sync_group
        return tuple(tf.constant(x[start : start + 4]) for x in arrays)

    parts = two_replicas.experimental_distribute_values_from_function(part)

    def compute(first, second, scale=1.0):
        with tf.GradientTape() as tape:
            tape.watch([first, second])
            terms = vicreg_terms(first, second)
            loss = tf.tensordot(weights, tf.stack(terms), 1)
            scaled = loss * scale
        return terms, tape.gradient(scaled, [first, second])

    @tf.function
    def run():
        return two_replicas.run(lambda part: compute(*part, 0.5), args=(parts,))

    terms, gradients = run()
    wanted_terms, wanted = compute(*map(tf.constant, arrays))
    for both, whole in zip(terms, wanted_terms, strict=True):
        assert np.allclose(both.values, float(whole), rtol=1e-5)
    for both, whole in zip(gradients, wanted, strict=True):
        joined = np.concatenate([x.numpy() for x in both.values])
        assert np.allclose(joined, whole, rtol=1e-4, atol=1e-6)


def method_with(options: str) -> VICReg:
    objective = {"method_options": options}
    return VICReg(small_job(tiny_network(), objective=objective))


@pytest.mark.parametrize(
    "options, weights",
    [
        ("", (25.0, 25.0, 1.0)),
        ("variance=3 covariance=0.5", (25.0, 3.0, 0.5)),
        (" invariance=0", (0.0, 25.0, 1.0)),
    ],
)
def test_options_weigh_the_terms(options, weights):
    method = method_with(options)
    pair = {
        f"view{i}": tf.random.stateless_uniform([4, 8, 8, 3], [i, 0])
        for i in (1, 2)
    }
    _, metrics, outputs = whole_loss(method, pair)
    terms = by_formula(
        outputs["projection1"].numpy(), outputs["projection2"].numpy()
    )
    assert set(metrics) == {m.name for m in method.measured}
    found = [
        float(metrics[n]) for n in ("invariance", "variance", "covariance")
    ]
    assert np.allclose(found, terms, rtol=1e-4)
    wanted = np.dot(weights, terms)
    assert np.isclose(float(metrics["vicreg_loss"]), wanted, rtol=1e-4)
    (line,) = [note for note in method.notes if note.startswith("loss")]
    for name, weight in zip(
        ("invariance", "variance", "covariance"), weights, strict=True
    ):
        assert f"{name} {weight:g}" in line


@pytest.mark.parametrize(
    "options, told",
    [
        (
            "similarity=1",
            "this one has invariance=25.0, variance=25.0, covariance=1.0."
            " Received: similarity=1",
        ),
        ("variance", "Received: variance"),
        ("variance=", "variance takes a value like 25.0"),
        ("variance=many", "variance takes a value like 25.0"),
        ("variance=-1", "--method_options: variance must be at least 0"),
        ("variance=nan", "variance must be a number"),
        ("variance='1", "--method_options cannot be read"),
    ],
)
def test_options_that_cannot_be(options, told):
    with pytest.raises(UserError) as error:
        method_with(options)
    assert told in str(error.value)
    assert "--variance" not in str(error.value)
