"""Figures carried through the graph stop at the first that is not finite."""

import numpy as np
import tensorflow as tf

from tf_simclr.training import metric_sums

NAMES = ("loss", "norm")


@tf.function
def counted(state, steps):
    for metrics in steps:
        state = metric_sums.count_step(state, metrics)
    return state


def test_sums_go_on_from_where_they_were():
    state = metric_sums.start_sums(3, [10.0, 20.0])
    state = counted(state, tf.constant([[1.0, 2.0], [3.0, 4.0]]))
    assert int(state.step) == 5 and bool(state.finite)
    # Step 3 was the first one counted after step 2.
    assert metric_sums.means(state, NAMES, since=2) == {
        "loss": 14.0 / 3,
        "norm": 26.0 / 3,
    }
    cleared = metric_sums.without_sums(state)
    assert metric_sums.named(cleared.sums, NAMES) == {"loss": 0.0, "norm": 0.0}
    assert metric_sums.named(cleared.last, NAMES) == {"loss": 3.0, "norm": 4.0}


def test_what_some_images_lack_is_a_mean_over_the_others():
    names = ("loss", "accuracy", "labelled")
    counted_by = {"accuracy": "labelled"}
    none = [2.0, 0.0, 0.0]
    state = metric_sums.start_sums(0, [0.0] * 3)
    # One of three labelled images is right, then one of one.
    state = counted(
        state, tf.constant([[1.0, 1.0, 3.0], none, [2.0, 1.0, 1.0]])
    )
    found = metric_sums.means(state, names, 0, counted_by)
    assert found == {"loss": 5.0 / 3, "accuracy": 0.5}
    state = counted(metric_sums.start_sums(0, [0.0] * 3), tf.constant([none]))
    assert metric_sums.means(state, names, 0, counted_by) == {"loss": 2.0}


def test_sums_without_their_count_begin_anew():
    names = ("loss", "accuracy", "labelled")
    counted_by = {"accuracy": "labelled"}
    earlier = {"loss": 3.0, "accuracy": 2.0, "has_labels": 3.0}
    assert metric_sums.in_order(earlier, names, counted_by) == [3.0, 0.0, 0.0]
    now = {"loss": 3.0, "accuracy": 2.0, "labelled": 3.0}
    assert metric_sums.in_order(now, names, counted_by) == [3.0, 2.0, 3.0]


def test_nothing_is_counted_after_the_first_bad_step():
    steps = tf.constant([[1.0, 2.0], [np.inf, np.nan], [1.0, 1.0]])
    state = counted(metric_sums.start_sums(0, [0.0, 0.0]), steps)
    assert not bool(state.finite)
    assert int(state.step) == 2
    assert metric_sums.named(state.before, NAMES) == {"loss": 1.0, "norm": 2.0}
    assert np.isposinf(state.last[0]) and np.isnan(state.last[1])
