"""What an error of TensorFlow or of the system means, in one sentence."""

import errno
import re

import tensorflow as tf

# Told apart by a pattern in the message and by the class; the first that fits
# is taken.
_SENTENCES = (
    (
        "No such file",
        tf.errors.OpError,
        "A data file has vanished; put it back, then the same command continues"
        " from the last checkpoint",
    ),
    (
        "No space left",
        tf.errors.OpError,
        "The disk is full; make room, then the same command continues from the"
        " last checkpoint",
    ),
    (
        "",
        (
            tf.errors.UnavailableError,
            tf.errors.AbortedError,
            tf.errors.CancelledError,
            tf.errors.DeadlineExceededError,
        ),
        "A process that this one works with, such as an input worker, is gone;"
        " start it again, then the same command continues from the last"
        " checkpoint",
    ),
    (
        "Iterator|Dataset",
        tf.errors.OpError,
        "The training images cannot be read",
    ),
)

_IN_DATASET = re.compile(
    r"Error in user-defined function passed to \S+ transformation with"
    r" iterator: \S+: "
)

# What a full or write-protected disk answers.
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}


def explain(error: Exception) -> str | None:
    """The sentence for an error that is no defect of the program.

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
    for signs, kinds, sentence in _SENTENCES:
        if isinstance(error, kinds) and re.search(signs, str(error)):
            return f"{sentence}: {what}."
    return None


def reason(error: Exception) -> str:
    """What an error says, in one line, without TensorFlow's context."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
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
