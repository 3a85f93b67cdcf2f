"""The steps of a graph: what their clock measures."""

import types

import tensorflow as tf

from tf_simclr.training.step import _timed_next


def _comes_after(operation: tf.Operation, earlier: tf.Operation) -> bool:
    found, open_ends = {operation}, [operation]
    while open_ends:
        here = open_ends.pop()
        before = [*here.control_inputs, *(x.op for x in here.inputs)]
        open_ends += [x for x in before if x not in found]
        found |= set(before)
    return earlier in found


def test_nothing_of_the_step_runs_between_batch_and_clock():
    strategy = tf.distribute.get_strategy()
    rows = tf.data.Dataset.from_tensors({"rows": tf.zeros([2])})

    @tf.function
    def take(iterator):
        previous = types.SimpleNamespace(sums=tf.zeros([]))
        batch, seconds = _timed_next(iterator, strategy, previous)
        return tf.reduce_sum(batch["rows"], name="step"), seconds

    graph = take.get_concrete_function(iter(rows)).graph
    clocks = [op for op in graph.get_operations() if op.type == "Timestamp"]
    assert len(clocks) == 2
    step = graph.get_operation_by_name("step")
    # One core would read the clock when the step has ended.
    assert all(_comes_after(step, clock) for clock in clocks)
