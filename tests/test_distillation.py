"""The distillation loss against the original's notebook and NumPy."""

import golden_figures as golden
import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.losses.classification import distillation_loss

FIGURES = golden.load("objective.npz")


@pytest.mark.parametrize("temperature", ["0.1", "1.0", "4.0"])
def test_loss_equals_the_original(temperature):
    teacher, student = FIGURES["kd_teacher"], FIGURES["kd_student"]
    t = float(temperature)
    squared = distillation_loss(teacher, student, t, squared_temperature=True)
    expected = FIGURES[f"kd_loss_T{temperature}"]
    assert golden.relative_error(squared.numpy(), expected) < 1e-5
    # The paper's equation 2 has no factor T^2.
    plain = float(distillation_loss(teacher, student, t))
    p = np.exp(teacher / t - (teacher / t).max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    q = student / t - np.logaddexp.reduce(student / t, axis=1)[:, None]
    assert np.isclose(plain, -np.mean(np.sum(p * q, axis=1)), rtol=1e-5)


def test_no_gradient_reaches_the_teacher():
    teacher = tf.constant(FIGURES["kd_teacher"])
    student = tf.constant(FIGURES["kd_student"])
    with tf.GradientTape() as tape:
        tape.watch([teacher, student])
        loss = distillation_loss(teacher, student, 2.0)
    for_teacher, for_student = tape.gradient(loss, [teacher, student])
    assert for_teacher is None
    assert float(tf.norm(for_student)) > 0
