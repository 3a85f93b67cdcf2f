"""Running out of memory, said in one sentence that helps."""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.training.stop import TrainingFailed

# TensorFlow raises the same error for a full disk.
_MEMORY = re.compile(r"\bOOM\b|memory|allocat", re.IGNORECASE)


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
        if not _MEMORY.search(error.message):
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
    if not train.recompute:
        flags.append("--recompute")
    micro_batch = train.micro_batch_size or batch
    if micro_batch > 1:
        flags.append(f"--micro_batch_size={_half(micro_batch)}")
    return [
        *flags,
        f"a smaller --train_batch_size than {batch}",
        "a smaller --image_size, --width_multiplier or --resnet_depth",
    ]


def _half(size: int) -> int:
    """The largest divisor of `size` that is at most half of it."""
    return next(part for part in range(size // 2, 0, -1) if size % part == 0)


def _sentence(config: Config, message: str) -> str:
    *first, last = advice(config)
    helps = f"{', '.join(first)} or {last}" if first else last
    received = re.search(r"(OOM|Out of memory)[^\n\[]*(\[[\d,]*\])?", message)
    what = received.group().strip() if received else message.splitlines()[0]
    return f"Out of memory; what helps: {helps}. Received: {what}"
