"""Rotation, shear and translation."""

import numpy as np
import tensorflow as tf

from tf_simclr.data.augment.affine import AFFINE_UNIFORMS, random_affine, warp

IMAGES = np.random.default_rng(0).random((3, 9, 9, 2), dtype=np.float32)


def moved(**kwargs) -> np.ndarray:
    names = ("angles", "shears", "shifts_y", "shifts_x")
    amounts = dict.fromkeys(names, tf.zeros(3)) | kwargs
    return warp(tf.constant(IMAGES), **amounts).numpy()


def test_quarter_turns_are_exact():
    angles = tf.constant([0.5, -0.5, 1.0]) * np.pi
    found = moved(angles=angles)
    for image, result, turns in zip(IMAGES, found, (1, -1, 2), strict=True):
        # np.rot90 turns counterclockwise.
        expected = np.rot90(image, -turns)
        # The border interpolates with black if rounding takes it outside.
        inside = slice(1, -1)
        assert np.allclose(
            result[inside, inside], expected[inside, inside], atol=1e-4
        )


def test_shifts_move_down_and_right_and_leave_black():
    found = moved(
        shifts_y=tf.constant([2.0, 0.0, 0.0]),
        shifts_x=tf.constant([0.0, 3.0, 0.5]),
    )
    assert np.allclose(found[0, 2:], IMAGES[0, :-2], atol=1e-5)
    assert np.all(found[0, :2] == 0)
    assert np.allclose(found[1, :, 3:], IMAGES[1, :, :-3], atol=1e-5)
    assert np.all(found[1, :, :3] == 0)
    between = (IMAGES[2, :, 1:] + IMAGES[2, :, :-1]) / 2
    assert np.allclose(found[2, :, 1:], between, atol=1e-5)


def test_shear_moves_rows_by_their_distance_from_the_center():
    found = moved(shears=tf.ones(3))
    assert np.allclose(found[:, 4], IMAGES[:, 4], atol=1e-5)
    assert np.allclose(found[:, 6, 2:], IMAGES[:, 6, :-2], atol=1e-5)
    assert np.allclose(found[:, 1, :-3], IMAGES[:, 1, 3:], atol=1e-5)


def test_shift_comes_after_rotation_and_shear_before():
    # A pixel right of the centre: rotated below it, then shifted right.
    image = np.zeros((1, 9, 9, 1), np.float32)
    image[0, 4, 6] = 1
    found = warp(
        tf.constant(image), [np.pi / 2], tf.zeros(1), tf.zeros(1), [2.0]
    )
    assert np.allclose(found[0, 6, 6], 1, atol=1e-5)
    # A pixel below the centre: sheared to the right, then rotated left-down.
    image = np.zeros((1, 9, 9, 1), np.float32)
    image[0, 6, 4] = 1
    found = warp(
        tf.constant(image), [np.pi / 2], [1.0], tf.zeros(1), tf.zeros(1)
    )
    assert np.allclose(found[0, 6, 2], 1, atol=1e-5)


def test_random_amounts_have_the_given_ranges():
    middle = tf.fill([3, AFFINE_UNIFORMS], 0.5)
    found = random_affine(tf.constant(IMAGES), middle, 180.0, 60.0, 0.5)
    assert np.allclose(found, IMAGES, atol=1e-5)

    highest = tf.ones([3, AFFINE_UNIFORMS])
    angle = np.float32(np.radians(20.0))
    expected = moved(
        angles=tf.fill([3], angle),
        shears=tf.fill([3], np.float32(np.tan(np.radians(10.0)))),
        shifts_y=tf.fill([3], 0.9),
        shifts_x=tf.fill([3], 0.9),
    )
    found = random_affine(tf.constant(IMAGES), highest, 20.0, 10.0, 0.1)
    assert np.allclose(found, expected, atol=1e-5)

    lowest = tf.zeros([3, AFFINE_UNIFORMS])
    found = random_affine(tf.constant(IMAGES), lowest, 20.0, 0.0, 0.0)
    assert np.allclose(found, moved(angles=tf.fill([3], -angle)), atol=1e-5)


def test_every_image_has_its_own_amount():
    found = moved(angles=tf.constant([0.0, 0.3, 0.6]))
    assert np.allclose(found[0], IMAGES[0], atol=1e-5)
    alone = warp(
        tf.constant(IMAGES[2:]), [0.6], tf.zeros(1), tf.zeros(1), tf.zeros(1)
    )
    assert np.allclose(found[2], alone[0], atol=1e-6)
