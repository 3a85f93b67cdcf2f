"""Horizontal flips."""

import numpy as np
import tensorflow as tf

from tf_simclr.data.views.affine import draw_flips, mirror


def test_flips_happen_with_their_probability():
    uniforms = tf.constant([[0.0], [0.29], [0.31], [0.99]])
    assert draw_flips(uniforms, 0.3).numpy().tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert not np.any(draw_flips(uniforms, 0.0))
    assert np.all(draw_flips(uniforms, 1.0))


def test_mirror_reverses_the_chosen_columns():
    planes = np.random.default_rng(0).random((3, 2, 4, 5), dtype=np.float32)
    found = mirror(tf.constant(planes), tf.constant([True, False, True]))
    assert np.array_equal(found[0], planes[0, :, :, ::-1])
    assert np.array_equal(found[1], planes[1])
    assert np.array_equal(found[2], planes[2, :, :, ::-1])
