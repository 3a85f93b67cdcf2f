"""Figures carried through the graph stop at the first that is not finite."""

import numpy as np
import tensorflow as tf

from tf_simclr.training import running

NAMES = ("loss", "norm")


@tf.function
def counted(state, steps):
    for metrics in steps:
        state = running.count_step(state, metrics)
    return state


def test_sums_go_on_from_where_they_were():
    state = running.start_running(3, [10.0, 20.0])
    state = counted(state, tf.constant([[1.0, 2.0], [3.0, 4.0]]))
    assert int(state.step) == 5 and bool(state.finite)
    # Step 3 was the first one counted after step 2.
    assert running.means(state, NAMES, since=2) == {
        "loss": 14.0 / 3,
        "norm": 26.0 / 3,
    }
    cleared = running.without_sums(state)
    assert running.named(cleared.sums, NAMES) == {"loss": 0.0, "norm": 0.0}
    assert running.named(cleared.last, NAMES) == {"loss": 3.0, "norm": 4.0}


def test_what_some_images_lack_is_a_mean_over_the_others():
    names = ("loss", "accuracy", "labelled")
    shares = {"accuracy": "labelled"}
    none = [2.0, 0.0, 0.0]
    state = running.start_running(0, [0.0] * 3)
    # One of three labelled images is right, then one of one.
    state = counted(
        state, tf.constant([[1.0, 1.0, 3.0], none, [2.0, 1.0, 1.0]])
    )
    found = running.means(state, names, 0, shares)
    assert found == {"loss": 5.0 / 3, "accuracy": 0.5}
    state = counted(running.start_running(0, [0.0] * 3), tf.constant([none]))
    assert running.means(state, names, 0, shares) == {"loss": 2.0}


def test_sums_without_their_count_begin_anew():
    names = ("loss", "accuracy", "labelled")
    shares = {"accuracy": "labelled"}
    earlier = {"loss": 3.0, "accuracy": 2.0, "has_labels": 3.0}
    assert running.in_order(earlier, names, shares) == [3.0, 0.0, 0.0]
    now = {"loss": 3.0, "accuracy": 2.0, "labelled": 3.0}
    assert running.in_order(now, names, shares) == [3.0, 2.0, 3.0]


def test_nothing_is_counted_after_the_first_bad_step():
    steps = tf.constant([[1.0, 2.0], [np.inf, np.nan], [1.0, 1.0]])
    state = counted(running.start_running(0, [0.0, 0.0]), steps)
    assert not bool(state.finite)
    assert int(state.step) == 2
    assert running.named(state.before, NAMES) == {"loss": 1.0, "norm": 2.0}
    assert np.isposinf(state.last[0]) and np.isnan(state.last[1])
