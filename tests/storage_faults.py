"""Object storage that fails for a moment, by TensorFlow's file system in
memory."""

import contextlib
import uuid

import tensorflow as tf


def bucket() -> str:
    """The address of a folder that nobody has used."""
    return f"ram://{uuid.uuid4().hex}"


@contextlib.contextmanager
def failing(monkeypatch, name: str, times: int, error=None):
    """A function of `tf.io.gfile` that fails so often before it works.

    Yields a list to which each failure is added.
    """
    real, failures = getattr(tf.io.gfile, name), []
    error = error or tf.errors.UnavailableError(None, None, "503")

    def function(*args, **kwargs):
        if len(failures) < times:
            failures.append(args)
            raise error
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(tf.io.gfile, name, function)
        yield failures
