"""Errors of TensorFlow and of the system, in one sentence."""

import contextlib
import errno
from collections.abc import Iterator

import tensorflow as tf

from tf_simclr import keras_compat
from tf_simclr.config.run import Config
from tf_simclr.models.registry import BACKBONES
from tf_simclr.signals import TrainingFailed


def _is_of_process(error: Exception) -> bool:
    kinds = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    )
    return isinstance(error, kinds)


# The first that fits is taken.
_SENTENCES = (
    (
        keras_compat.is_missing_libdevice,
        "XLA does not find CUDA's libdevice: pip install -r"
        " requirements-gpu.txt brings it, XLA_FLAGS=--xla_gpu_cuda_data_dir=DIR"
        " names the folder of CUDA that has nvvm/libdevice, and without"
        " --jit_compile nothing needs it",
    ),
    (
        keras_compat.is_missing_file,
        "A data file has vanished; put it back, then the same command continues"
        " from the last checkpoint",
    ),
    (
        keras_compat.is_full_disk,
        "The disk is full; make room, then the same command continues from the"
        " last checkpoint",
    ),
    (
        _is_of_process,
        "A process that this one works with, such as an input worker, is gone;"
        " start it again, then the same command continues from the last"
        " checkpoint",
    ),
    (
        keras_compat.is_from_dataset,
        "The training images cannot be read",
    ),
)

# What a full or write-protected disk answers.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}


def explain(error: Exception) -> str | None:
    """A sentence for an error that is no defect of the program.

    Returns:
      None for any other error, whose traceback is worth seeing.
    """
    if isinstance(error, OSError):
        if error.errno in _DISK:
            return (
                f"{error.filename} cannot be written: {error.strerror}. The"
                " same command continues once it can."
            )
        return None
    if not isinstance(error, tf.errors.OpError):
        return None
    what = reason(error)
    for fits, sentence in _SENTENCES:
        if fits(error):
            return f"{sentence}: {what}."
    return None


def reason(error: Exception) -> str:
    """Message of an error, in one line, without TensorFlow's context."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return keras_compat.error_sentence(error)


@contextlib.contextmanager
def memory_explained(config: Config) -> Iterator[None]:
    """Turns a failed allocation inside into advice on flags.

    What the operating system does by itself, such as killing a process that
    it has promised too much, cannot be caught.

    Raises:
      TrainingFailed: an allocation failed.
    """
    try:
        yield
    except MemoryError as error:
        raise TrainingFailed(_sentence(config, "MemoryError")) from error
    except tf.errors.ResourceExhaustedError as error:
        if not keras_compat.is_failed_allocation(error):
            raise
        raise TrainingFailed(_sentence(config, error.message)) from error


def advice(config: Config) -> list[str]:
    """Flags that save memory and are not given yet, cheapest first."""
    train, batch = config.train, config.optimizer.train_batch_size
    if not config.stage and config.run.mode != "pipeline":
        return [
            f"a smaller --eval_batch_size than {config.data.eval_batch_size}"
        ]
    flags = []
    if train.precision == "float32":
        flags.append("--precision=mixed_bfloat16")
    backbone = BACKBONES[config.model.backbone]
    if backbone.recomputes and not train.recompute:
        flags.append("--recompute")
    micro_batch = train.micro_batch_size or batch
    if micro_batch > 1:
        flags.append(f"--micro_batch_size={_half(micro_batch)}")
    sizes = "--image_size"
    if {"width_multiplier", "resnet_depth"} <= backbone.flags.keys():
        sizes += ", --width_multiplier or --resnet_depth"
    return [
        *flags,
        f"a smaller --train_batch_size than {batch}",
        f"a smaller {sizes}",
    ]


def _half(size: int) -> int:
    """The largest divisor of `size` that is at most half of it."""
    return next(part for part in range(size // 2, 0, -1) if size % part == 0)


def _sentence(config: Config, message: str) -> str:
    *first, last = advice(config)
    helps = f"{', '.join(first)} or {last}" if first else last
    what = keras_compat.allocation(message)
    return f"Out of memory; what helps: {helps}. Received: {what}"
