"""A step leaves nothing to the host: TensorFlow has a GPU kernel for all of it.

Its wheel for Linux knows the kernels of GPUs also where there is none.
"""

import collections

import pytest
import tensorflow as tf
from small_job import small_job
from tensorflow.python.framework import kernels
from tiny import write_npz
from tiny_network import tiny_network

from benchmarks.lib.step_graph import step_graph
from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.methods.distill import Distillation
from tf_simclr.methods.fixmatch import FixMatch
from tf_simclr.training.step import make_replica_step

pytestmark = [
    pytest.mark.usefixtures("one_block"),
    pytest.mark.skipif(
        not tf.test.is_built_with_cuda(), reason="no kernels of GPUs are known"
    ),
]
COMMON = (
    "--resnet_depth=18 --width_multiplier=0.1 --image_size=8"
    " --train_batch_size=8 --proj_out_dim=16 --train_steps=9 "
)
# `DEFAULT` are those that any device has.
DEVICES = ("GPU", "DEFAULT")
CASES = (
    "--precision=mixed_bfloat16 --augment_on=device --optimizer=lars",
    "--precision=mixed_float16 --augment_on=device --rotate_degrees=5",
    "--augment_on=host --optimizer=adam --sk_ratio=0.0625",
    "--method=vicreg --augment_on=device --optimizer=lamb",
    "--method=supcon --augment_on=device --optimizer=momentum",
    "--memory_size=16 --precision=mixed_bfloat16 --recompute",
)


def on_host(graph):
    """{(operation, types): how many} that no kernel of a GPU computes."""
    definition = graph.as_graph_def()
    nodes = list(definition.node)
    for function in definition.library.function:
        nodes += function.node_def
    found = collections.Counter()
    for node in nodes:
        types = {
            name: value.type
            for name, value in node.attr.items()
            if value.WhichOneof("value") == "type"
        }
        known = kernels.get_registered_kernels_for_op(node.op).kernel
        if not any(fits(kernel, types) for kernel in known):
            named = tuple(tf.as_dtype(t).name for t in types.values())
            found[node.op, named] += 1
    return found


def fits(kernel, types):
    return kernel.device_type in DEVICES and all(
        types[limit.name] in limit.allowed_values.list.type
        for limit in kernel.constraint
        if limit.name in types
    )


@pytest.mark.parametrize("flags", CASES)
def test_all_of_a_step_runs_on_a_gpu(tmp_path, flags):
    values = parse_overrides(COMMON + flags, "flags")
    values |= {
        "mode": "pretrain",
        "dataset": write_npz(tmp_path),
        "model_dir": str(tmp_path / "run"),
    }
    config = from_flat(values)
    config.check()
    assert on_host(step_graph(config)) == {}


LABELS = [0, -1, 1, -1, 2, -1, 0, -1]


class Consistent(FixMatch):
    """Of a network that has no encoder to freeze."""

    def build(self, job):
        return job.build(None)


def consistent():
    consistency = {
        "unlabeled_ratio": 1,
        "confidence_rule": "adaptive",
        "fairness_weight": 0.3,
        "align_distribution": "labels",
    }
    job = small_job(
        tiny_network(),
        stage="finetune",
        labels=LABELS,
        consistency=consistency,
    )
    return Consistent(job)


def distilling():
    job = small_job(
        tiny_network(),
        tiny_network(),
        stage="distill",
        labels=LABELS,
        teacher=tiny_network(1),
        objective={"distillation_alpha": 0.7, "class_balance": "loss"},
    )
    return Distillation(job)


@pytest.mark.parametrize("make", [consistent, distilling])
def test_so_does_one_of_the_stages_with_labels(make):
    method = make()
    # The classifier does not read it.
    head = {v.ref() for v in method.network.head.trainable_variables}
    method.trainable = [v for v in method.trainable if v.ref() not in head]
    image = tf.TensorSpec([8, 8, 8, 3])
    count = tf.TensorSpec([8], tf.int32)
    batch = {"image": image, "label": count}
    batch["index"] = tf.TensorSpec([8], tf.int64)
    if make is consistent:
        batch["strong"] = image
    step = tf.function(make_replica_step(method), autograph=False)
    assert on_host(step.get_concrete_function(batch).graph) == {}


def test_what_the_host_would_compute_is_found():
    @tf.function(autograph=False)
    def step(images):
        tf.print(tf.shape(images))
        return tf.stack([images, images])

    images = tf.TensorSpec([2, 4, 4, 3], tf.uint8)
    found = on_host(step.get_concrete_function(images).graph)
    assert ("Pack", ("uint8",)) in found
    assert "PrintV2" in {name for name, _ in found}
