"""LARS against the original's trajectories and a plain formula."""

import golden_figures as golden
import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.optimizers.lars import LARS, lars_update

FIGURES = golden.load("lars.npz")
SETTINGS = golden.load_json("lars.json")
# The supervised head's kernel, which the original leaves out by its name.
HEAD_KERNEL = 3


def optimizer_for(case: dict, variables) -> LARS:
    return LARS(
        SETTINGS["learning_rate"],
        momentum=SETTINGS["momentum"],
        weight_decay=SETTINGS["weight_decay"],
        coefficient=SETTINGS["eeta"],
        nesterov=case["use_nesterov"],
        classic_momentum=case["classic_momentum"],
        plain_variables=[variables[HEAD_KERNEL]],
    )


@pytest.mark.parametrize("index", range(4))
def test_steps_equal_the_original(index):
    count = len(SETTINGS["shapes"])
    # Names are of no matter: what is decayed follows from rank and owner.
    variables = [
        tf.Variable(FIGURES[f"param{p}_init"], name="any") for p in range(count)
    ]
    optimizer = optimizer_for(SETTINGS["cases"][index], variables)
    optimizer.build(variables)

    @tf.function
    def apply(gradients):
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    for step in range(5):
        apply(
            [tf.constant(FIGURES[f"grad{p}_step{step}"]) for p in range(count)]
        )
        for p, variable in enumerate(variables):
            expected = FIGURES[f"case{index}_param{p}_step{step}"]
            assert golden.relative_error(variable.numpy(), expected) < 1e-5


def test_update_is_the_written_formula():
    rng = np.random.default_rng(0)
    w, g, v = rng.standard_normal((3, 4, 5)).astype("float32")
    found = lars_update(
        tf.constant(g),
        tf.constant(w),
        tf.constant(v),
        learning_rate=tf.constant(0.5),
        weight_decay=0.1,
    )
    decayed = g + 0.1 * w
    rate = 0.5 * 0.001 * np.linalg.norm(w) / np.linalg.norm(decayed)
    buffer = 0.9 * v + rate * decayed
    assert np.allclose(found.momentum, buffer, rtol=1e-5)
    assert np.allclose(found.variable, w - buffer, rtol=1e-5)


def test_config_round_trip():
    optimizer = LARS(0.3, momentum=0.8, weight_decay=0.02, nesterov=True)
    copy = LARS.from_config(optimizer.get_config())
    assert copy.get_config() == optimizer.get_config()
    assert copy.decay == 0.02
