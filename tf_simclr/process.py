"""Settings and caches that hold for the whole process.

They are the same for the library and for the command line. Importing this
module imports no TensorFlow.
"""

import contextlib
import functools
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

Result = TypeVar("Result")

_RUN_PY = "run.py"
_CONSOLE_SCRIPT = "tf-simclr"
_clone = pathlib.Path(__file__).parent.parent
_program = _RUN_PY if (_clone / _RUN_PY).exists() else _CONSOLE_SCRIPT
_emptied_by_release: list[Callable[[], None]] = []


def select_keras_2() -> None:
    """Makes TensorFlow take Keras 2 (`tf_keras`).

    Raises:
      ImportError: TensorFlow was imported before, with Keras 3.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    selected = os.environ.get("TF_USE_LEGACY_KERAS")
    if (selected or "").lower() not in ("1", "true"):
        raise ImportError(
            "tf_simclr needs Keras 2 (tf_keras): set TF_USE_LEGACY_KERAS=1"
            " before TensorFlow is imported, or import tf_simclr first."
            f" Received: TF_USE_LEGACY_KERAS={selected!r}"
        )


def set_log_level(level: int) -> None:
    """Sets the least severe messages that TensorFlow's C++ parts print, unless
    the environment does: 2 is errors, 3 is fatal errors."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", str(level))


def compile_views_only() -> None:
    """Tells XLA that it compiles nothing but views of images.

    Each thread makes some views: to split the work on one as well only costs.
    XLA reads the setting when it first compiles something, which may be long
    after TensorFlow was imported.
    """
    os.environ.setdefault(
        "XLA_FLAGS", "--xla_disable_hlo_passes=cpu-parallel-task-assigner"
    )


def set_cluster(description: str) -> None:
    """Sets TF_CONFIG, where TensorFlow looks for the machines of a run.

    Args:
      description: JSON, with the addresses of all processes and this one's
        task.
    """
    os.environ["TF_CONFIG"] = description


def import_tensorflow() -> None:
    """Imports TensorFlow for the command line, which prints no more than errors
    of its C++ parts from then on."""
    set_log_level(3)
    import_quietly()


def import_quietly() -> None:
    """Imports TensorFlow without the notices that its C++ parts print.

    They go to the process's standard error before any log level applies.
    """
    with silent_standard_error():
        import tensorflow as tf

        # Looking for GPUs prints as much where there is none.
        tf.config.list_physical_devices()


@contextlib.contextmanager
def silent_standard_error() -> Iterator[Callable[[], int]]:
    """Drops what C libraries print on standard error, past Python's.

    Yields:
      A function that returns how many bytes that were.
    """
    sys.stderr.flush()
    standard_error = os.dup(2)
    try:
        with tempfile.TemporaryFile() as sink:
            os.dup2(sink.fileno(), 2)
            yield lambda: os.fstat(sink.fileno()).st_size
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)


def set_program(path: str) -> None:
    """Sets the program that the process was started as: `sys.argv[0]`."""
    global _program
    name = os.path.basename(path)
    _program = _RUN_PY if name == _RUN_PY else _CONSOLE_SCRIPT


def program() -> str:
    """Returns the name that messages begin with: `run.py`, or `tf-simclr`.

    A library in a clone of the repository goes by `run.py`, an installed one
    by `tf-simclr`.
    """
    return _program


def command() -> str:
    """Returns what a user types before the flags, such as `python run.py`."""
    return f"python {_RUN_PY}" if _program == _RUN_PY else _CONSOLE_SCRIPT


@contextlib.contextmanager
def importing_from_here() -> Iterator[None]:
    """Allows imports from the current directory, as `python -m` does,
    however the program was started."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


def once_per_process(
    function: Callable[..., Result],
) -> Callable[..., Result]:
    """Decorates a function that acts once for each of its arguments, and
    returns the same result for as long as the process lives."""
    return functools.cache(function)


def cached(
    maxsize: int,
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Decorates a function whose last results are kept until `release`."""

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        keeps = functools.lru_cache(maxsize)(function)
        _emptied_by_release.append(keeps.cache_clear)
        return keeps

    return decorate


def cache() -> dict[Any, Any]:
    """Returns a new dictionary that `release` empties."""
    kept: dict[Any, Any] = {}
    _emptied_by_release.append(kept.clear)
    return kept


def release() -> None:
    """Frees the memory of data sets that are kept for the next run.

    The devices that TensorFlow was set up with stay as they are.
    """
    for empty in _emptied_by_release:
        empty()


# What libjpeg and libpng say of files that they decode nonetheless, beside
# errors of which TensorFlow tells.
_DECODERS = (
    *("Corrupt JPEG data", "Premature end of JPEG", "Invalid JPEG"),
    *("Invalid SOS parameters", "Inconsistent progression", "libpng warning"),
    *("Unsupported marker", "Application transferred too"),
)
_FILTER = f"""
import os, sys
starts = {tuple(start.encode() for start in _DECODERS)!r}
for line in sys.stdin.buffer:
    if not line.startswith(starts):
        os.write(1, line)
"""


@once_per_process
def drop_decoder_warnings() -> subprocess.Popen:
    """Hides the decoders' messages about damaged images from now on.

    They print it for each image, whenever it comes by, and name none. Another
    process reads along, so that nothing else is lost where this one crashes.

    Returns:
      The other process. It ends after this one.
    """
    sys.stderr.flush()
    reader = subprocess.Popen(
        [sys.executable, "-S", "-E", "-c", _FILTER],
        stdin=subprocess.PIPE,
        stdout=2,
        # What stops this process is said by it.
        start_new_session=True,
    )
    os.dup2(reader.stdin.fileno(), 2)
    reader.stdin.close()
    return reader
