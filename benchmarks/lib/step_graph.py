"""Operations that one pretraining step asks of a GPU, from its graph.

The step is traced as a GPU would get it, and never runs.
"""

import dataclasses
import math
import tempfile
from unittest import mock

import tensorflow as tf

from benchmarks.lib.flops import operation_flops
from benchmarks.lib.pretraining_step import configuration, pretraining
from tf_simclr.config import Config

# They hand on a buffer, or are no more than a number on the host.
FREE = frozenset(
    {
        *("Const", "Identity", "IdentityN", "NoOp", "Placeholder"),
        *("ReadVariableOp", "VarHandleOp", "Reshape", "ExpandDims", "Squeeze"),
        *("Shape", "ShapeN", "Rank", "Size", "StopGradient"),
        *("PreventGradient", "BroadcastGradientArgs", "StridedSlice", "Assert"),
    }
)
# Batch norm reads its input for the statistics, and once more; its gradient
# reads both of its inputs twice.
_READ_TWICE = ("FusedBatchNormV3", "FusedBatchNormGradV3")


@dataclasses.dataclass(frozen=True)
class Operation:
    """One kernel of a step.

    Attributes:
      kind: TensorFlow's name.
      shape: of its first output.
      dtype: of that.
      flops: of convolutions and matrix products, else 0.
      bytes: read and written.
    """

    kind: str
    shape: tuple[int | None, ...]
    dtype: tf.DType
    flops: int
    bytes: int


def step_graph(config: Config) -> tf.Graph:
    """The graph of one step of `--mode=pretrain` on one GPU, its views
    included where these are made on the device."""
    from tf_simclr.training.step import make_replica_step

    with (
        mock.patch("tf_simclr.methods.job.device_kinds", lambda _: {"GPU"}),
        mock.patch("tf_simclr.modes.execute.device_kinds", lambda _: {"GPU"}),
    ):
        _, task = pretraining(config)
        batch = task.batches.dataset(task.batch_size, 0, 1).element_spec
        step = make_replica_step(
            task.method, views=task.batches.views, probe=task.probe
        )
        traced = tf.function(step, autograph=False)
        return traced.get_concrete_function(batch).graph


def step_operations(flags: str) -> list[Operation]:
    """The operations of the step of a run with `flags`, on one GPU.

    Args:
      flags: of `--mode=pretrain`, with image size, batch and precision.
    """
    with tempfile.TemporaryDirectory() as folder:
        graph = step_graph(configuration(flags, folder))
    return [
        described(operation)
        for operation in graph.get_operations()
        if operation.type not in FREE
    ]


def described(operation: tf.Operation) -> Operation:
    """Counts of an operation of a graph."""
    inputs = list(map(_size, operation.inputs))
    outputs = list(map(_size, operation.outputs))
    times = 2 if operation.type in _READ_TWICE else 1
    first = operation.outputs[0] if operation.outputs else None
    known = first is not None and first.shape.rank is not None
    return Operation(
        kind=operation.type,
        shape=tuple(first.shape.as_list()) if known else (),
        dtype=first.dtype if first is not None else tf.float32,
        flops=_flops(operation),
        bytes=times * sum(inputs) + sum(outputs),
    )


def _size(tensor: tf.Tensor) -> int:
    """Bytes of a tensor; 0 where its shape is not known."""
    dims = tensor.shape.as_list() if tensor.shape.rank is not None else [None]
    if None in dims or tensor.dtype in (tf.resource, tf.variant, tf.string):
        return 0
    return math.prod(dims) * tensor.dtype.size


def _flops(operation: tf.Operation) -> int:
    """A gradient of a convolution has the operations of the convolution."""
    if operation.type == "Conv2DBackpropInput":
        _, kernel, gradient = operation.inputs
        return 2 * math.prod(gradient.shape) * math.prod(kernel.shape[:-1])
    if operation.type == "Conv2DBackpropFilter":
        _, _, gradient = operation.inputs
        kernel = operation.outputs[0].shape
        return 2 * math.prod(gradient.shape) * math.prod(kernel[:-1])
    return operation_flops(operation)
