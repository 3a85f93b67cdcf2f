"""The names of TensorFlow and Keras that are not part of their public API.

They may change with any release of either. Each function says why it needs
such a name and what may replace it; no other module uses one.
"""

import collections
import re
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf
import tf_keras as keras

Schedule = keras.optimizers.schedules.LearningRateSchedule

# Optimizers


def set_learning_rate(
    optimizer: keras.optimizers.Optimizer, learning_rate: float | Schedule
) -> None:
    """Gives a new optimizer its learning rate, a number or a schedule.

    Why: Keras's own optimizers do this in their constructors; the base class
    has no argument for it. Replaced by Keras 3, whose base class has one.
    """
    optimizer._learning_rate = optimizer._build_learning_rate(learning_rate)


def learning_rate_config(
    optimizer: keras.optimizers.Optimizer,
) -> float | dict:
    """The learning rate as `get_config` returns it.

    Why: a schedule is serialized, a number is read from its variable.
    Replaced by Keras 3, whose base class puts it into the configuration.
    """
    return optimizer._serialize_hyperparameter(optimizer._learning_rate)


def variable_key(
    optimizer: keras.optimizers.Optimizer, variable: tf.Variable
) -> str:
    """The name by which an optimizer knows a variable.

    Why: it is the same for a distributed variable and its part on a replica,
    which `ref()` is not. Replaced by `variable.path` of Keras 3.
    """
    return optimizer._var_key(variable)


def slot_index(
    optimizer: keras.optimizers.Optimizer, variable: tf.Variable
) -> int:
    """The position of a variable among those that an optimizer was built for.

    Why: slots are lists in that order. Replaced by `_get_variable_index` of
    Keras 3, which is as private.
    """
    return optimizer._index_dict[optimizer._var_key(variable)]


def has_slots(optimizer: keras.optimizers.Optimizer) -> bool:
    """True if `mark_slots_built` was called before.

    Why: Keras calls `build` in every step. Replaced by the public `built` of
    Keras 3.
    """
    return getattr(optimizer, "_built", False)


def mark_slots_built(optimizer: keras.optimizers.Optimizer) -> None:
    """Makes later calls of `build` leave the slots alone (see `has_slots`)."""
    optimizer._built = True


def apply_adam(
    optimizer: keras.optimizers.Adam,
    gradient: tf.Tensor,
    variable: tf.Variable,
) -> None:
    """Updates a variable, and Adam's slots for it, in one operation.

    All have the variable's shape.

    Why: the kernel has no public function, and Adam's slots have private
    names. Replaced by Keras's own update once XLA compiles it by default.
    """
    dtype = variable.dtype
    index = slot_index(optimizer, variable)
    step = tf.cast(optimizer.iterations + 1, dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=optimizer._momentums[index].handle,
        v=optimizer._velocities[index].handle,
        beta1_power=tf.pow(tf.cast(optimizer.beta_1, dtype), step),
        beta2_power=tf.pow(tf.cast(optimizer.beta_2, dtype), step),
        lr=tf.cast(optimizer.learning_rate, dtype),
        beta1=tf.cast(optimizer.beta_1, dtype),
        beta2=tf.cast(optimizer.beta_2, dtype),
        epsilon=tf.cast(optimizer.epsilon, dtype),
        grad=gradient,
    )


def create_legacy_slots(
    optimizer: keras.optimizers.legacy.Optimizer,
    variables: Sequence[tf.Variable],
) -> None:
    """Creates the variables of an optimizer of TensorFlow Addons.

    Why: they have no public way to do so before a first step. Goes when
    Addons does.
    """
    optimizer._create_all_weights(variables)


# Checkpoints

# Where a checkpoint holds its object graph, and the end of a variable's key.
# Replaced by the `.weights.h5` files of Keras 3, another format.
OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def stored_paths(
    graph: bytes, follows: Callable[[str], bool]
) -> Iterator[tuple[str, str]]:
    """Yields (path of attributes, checkpoint key) of a stored object graph.

    Why: `tf.train.load_checkpoint` reads tensors by key alone, and a SavedModel
    stores most under keys such as `variables/12`. Replaced by nothing yet.

    Args:
      graph: the value stored under `OBJECT_GRAPH_KEY`.
      follows: whether to look at the object of a path, such as
        `network/encoder`, and at those below it.
    """
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    nodes = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
        graph
    ).nodes
    # Objects may refer to their owners: nobody is looked at within itself, and
    # one that many refer to is not followed along all of their paths.
    pending: list[tuple[int, str, frozenset[int]]] = [(0, "", frozenset())]
    followed = collections.Counter[int]()
    while pending:
        index, path, owners = pending.pop()
        owners |= {index}
        for attribute in nodes[index].attributes:
            yield path, attribute.checkpoint_key
        for child in nodes[index].children:
            name = child.local_name
            joined = f"{path}/{name}" if path else name
            index = child.node_id
            if not follows(joined) or index in owners:
                continue
            followed[index] += 1
            if followed[index] <= _MAX_PATHS:
                pending.append((index, joined, owners))


# Single operations


def conv2d_input_gradient(
    sizes: Sequence[int] | tf.Tensor,
    kernel: tf.Tensor,
    upstream: tf.Tensor,
    strides: int,
    padding: str,
) -> tf.Tensor:
    """The gradient of `tf.nn.conv2d` by its inputs, of shape `sizes`.

    Why: inside a custom gradient it is needed alone. Replaced by
    `tf.nn.conv2d_transpose`, which calls the same operation.
    """
    return tf.raw_ops.Conv2DBackpropInput(
        input_sizes=sizes,
        filter=kernel,
        out_backprop=upstream,
        strides=[1, strides, strides, 1],
        padding=padding,
    )


def conv2d_kernel_gradient(
    inputs: tf.Tensor,
    sizes: Sequence[int],
    upstream: tf.Tensor,
    strides: int,
    padding: str,
) -> tf.Tensor:
    """The gradient of `tf.nn.conv2d` by its kernel, of shape `sizes`.

    Why: as above. Replaced by `tf.compat.v1.nn.conv2d_backprop_filter`, which
    calls the same operation.
    """
    return tf.raw_ops.Conv2DBackpropFilter(
        input=inputs,
        filter_sizes=sizes,
        out_backprop=upstream,
        strides=[1, strides, strides, 1],
        padding=padding,
    )


def resize_bicubic(images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Resizes images (N, H, W, C), bicubic, without anti-aliasing.

    Why: `tf.image.resize` adds checks of shapes to every image. Replaced by
    it, as it calls the same operation.
    """
    return tf.raw_ops.ResizeBicubic(
        images=images, size=size, half_pixel_centers=True
    )


def projective_transform(
    images: tf.Tensor, transforms: tf.Tensor, size: tf.Tensor
) -> tf.Tensor:
    """Transforms images (N, H, W, C) by rows of eight numbers each, with
    bilinear interpolation and black beyond the border.

    Why: no public function calls the operation. Replaced by
    `keras.ops.image.affine_transform` of Keras 3.
    """
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=size,
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def shuffled_index(
    index: tf.Tensor, seed: tf.Tensor, max_index: tf.Tensor
) -> tf.Tensor:
    """New place of each index in a permutation of 0 ... max_index: (n,).

    Why: `tf.random.experimental.index_shuffle` takes other seeds, and the
    order of a run must not change. Replaced by it in a new format of runs.
    """
    return tf.raw_ops.RandomIndexShuffle(
        index=index, seed=seed, max_index=max_index
    )


def split_once(texts: tf.Tensor, separator: bytes) -> tf.Tensor:
    """The one or two parts of each string (N,), one after the other.

    Why: `tf.strings.split` makes a ragged tensor, which an exported model
    would carry. Replaced by its `values`.
    """
    return tf.raw_ops.StringSplitV2(
        input=texts, sep=separator, maxsplit=1
    ).values


def new_tensor_list(count: int, dtype: tf.DType) -> tf.Tensor:
    """A list of `count` tensors of any shape, none of which is set yet.

    Why: the state of `Dataset.scan` may be such a list, and an element may be
    set again, which a `tf.TensorArray` refuses. Replaced by one that allows
    both.
    """
    return tf.raw_ops.TensorListReserve(
        element_shape=-1, num_elements=count, element_dtype=dtype
    )


def set_in_tensor_list(
    tensors: tf.Tensor, index: tf.Tensor, value: tf.Tensor
) -> tf.Tensor:
    """The list, of any shapes, with one element set (see `new_tensor_list`)."""
    return tf.raw_ops.TensorListSetItem(
        input_handle=tensors, index=index, item=value
    )


def get_from_tensor_list(
    tensors: tf.Tensor, index: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    """One element of the list, of its own shape (see `new_tensor_list`)."""
    return tf.raw_ops.TensorListGetItem(
        input_handle=tensors,
        index=index,
        element_shape=-1,
        element_dtype=dtype,
    )


# Texts of errors

# Paths along which one object of a graph is followed.
_MAX_PATHS = 1000
_IN_DATASET = re.compile(
    r"Error in user-defined function passed to \S+ transformation with"
    r" iterator: \S+: "
)
_WORKER_GONE = ("Collective ops is aborted", "coordination service")
_MEMORY = re.compile(r"\bOOM\b|memory|allocat", re.IGNORECASE)
_ALLOCATION = re.compile(r"(OOM|Out of memory)[^\n\[]*(\[[\d,]*\])?")


def error_sentence(error: Exception) -> str:
    """Message of a TensorFlow error, in one line, without its context.

    Why: `message` holds node names and stack traces, too. Replaced by nothing
    yet.
    """
    text = re.sub(r"\{\{function_node \S+\}\}\s*", "", str(error))
    # Node names follow; before the message there may be a stack trace.
    lines = [line.strip() for line in text.split("[[")[0].splitlines()]
    lines = [line for line in lines if line] or [type(error).__name__]
    in_graph = lines[0].startswith("Graph execution error")
    first = lines[-1] if in_graph else lines[0]
    for line in lines:
        if _IN_DATASET.match(line):
            first = _IN_DATASET.sub("", line)
            break
    return re.sub(r"\s*\[Op:\S+\].*$", "", first).rstrip(".")


def is_missing_file(error: Exception) -> bool:
    """True if an error of TensorFlow is about a file that does not exist.

    Why: inside `tf.data` it is not always a `NotFoundError`, which is also
    raised for other things. Replaced by error classes of their own, as are
    all the tests below.
    """
    return _says(error, "No such file")


def is_full_disk(error: Exception) -> bool:
    """True if an error of TensorFlow is about a disk that is full.

    Why: a `ResourceExhaustedError` may be about memory instead.
    """
    return _says(error, "No space left")


def is_missing_libdevice(error: Exception) -> bool:
    """True if XLA does not find the file of CUDA's functions that it needs.

    Why: the class is that of any internal error.
    """
    return _says(error, "libdevice")


def is_from_dataset(error: Exception) -> bool:
    """True if an error of TensorFlow comes from an input pipeline.

    Why: the classes are those of all other operations.
    """
    return _says(error, "Iterator|Dataset")


def is_lost_worker(error: BaseException | None) -> bool:
    """True if an error says that another process has gone.

    Why: some collective operations raise an error of another class then.
    """
    return any(sign in str(error) for sign in _WORKER_GONE)


def is_failed_allocation(error: tf.errors.ResourceExhaustedError) -> bool:
    """True if it is about memory, and not about a disk.

    Why: TensorFlow raises the same error for both.
    """
    return _MEMORY.search(error.message) is not None


def allocation(message: str) -> str:
    """The part of a message that tells what could not be allocated, or its
    first line.

    Why: device and allocator follow, and hints for TensorFlow's developers.
    Replaced by nothing yet.
    """
    received = _ALLOCATION.search(message)
    return received.group().strip() if received else message.splitlines()[0]


def _says(error: Exception, pattern: str) -> bool:
    return isinstance(error, tf.errors.OpError) and bool(
        re.search(pattern, str(error))
    )
