"""The steps of a graph: what their clock measures."""

import types

import tensorflow as tf

from tf_simclr.config import TrainConfig
from tf_simclr.metrics import GRADIENT_NORM
from tf_simclr.training import step as step_module
from tf_simclr.training.metric_sums import start_sums

STEP = "while/step"


class Task:
    """Of a step that is a single operation."""

    metric_names = ("loss", GRADIENT_NORM.name)
    method = types.SimpleNamespace(after_step=lambda: None)


def loop_body() -> dict[str, list[str]]:
    """{operation: those that it waits for} of one turn of the steps' loop."""
    run_steps = step_module.make_step_function(
        Task(), tf.distribute.get_strategy(), TrainConfig()
    )
    rows = tf.data.Dataset.from_tensors({"rows": tf.zeros([2])})
    graph = run_steps.get_concrete_function(
        iter(rows), tf.constant(1), start_sums(0, [0.0, 0.0])
    ).graph
    bodies = [
        function.node_def
        for function in graph.as_graph_def().library.function
        if any(node.name == STEP for node in function.node_def)
    ]
    return {
        node.name: [x.removeprefix("^").split(":")[0] for x in node.input]
        for node in bodies[0]
    }


def test_the_step_begins_when_the_clock_was_read(monkeypatch):
    def step(batch):
        loss = tf.reduce_sum(batch["rows"], name="step")
        return {"loss": loss, GRADIENT_NORM.name: loss}

    monkeypatch.setattr(step_module, "make_global_step", lambda *_: step)
    waits = loop_body()
    clocks = {name for name in waits if "Timestamp" in name}
    assert len(clocks) == 2
    before, open_ends = set(), [STEP]
    while open_ends:
        new = set(waits.get(open_ends.pop(), ())) - before
        before |= new
        open_ends += new
    # One core would read the second when the step has ended.
    assert clocks <= before
