"""Reading and writing objects by TensorFlow's file systems.

What fails for a moment is tried again. An object is written under another name
and renamed, so that whoever reads it finds the whole of it.
"""

import concurrent.futures
import contextlib
import os
import posixpath
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, TypeVar

import tensorflow as tf

from tf_simclr.errors import StorageFailed, UserError

_Value = TypeVar("_Value")

# Waits between attempts, in seconds.
WAITS = (0.5, 2.0, 8.0, 20.0)
# What object storage answers when it has no time.
_PASSING = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
    tf.errors.ResourceExhaustedError,
)
# Begins the names of objects that are not yet whole.
_UNFINISHED = ".writing-"
_CHUNK = 2**23
_AT_A_TIME = 32


def retried(
    attempt: Callable[[], _Value], what: str, waits: tuple[float, ...] = WAITS
) -> _Value:
    """The value of a function whose failures may be temporary.

    Args:
      attempt: does the whole again at each call.
      what: completes "cannot ...", for the message.
      waits: seconds between attempts.

    Raises:
      StorageFailed: it failed each time, or for another reason.
      tf.errors.NotFoundError: there is no such object.
    """
    for wait in (*waits, None):
        try:
            return attempt()
        except tf.errors.NotFoundError:
            raise
        except (tf.errors.OpError, OSError) as error:
            passing = isinstance(error, _PASSING)
            if wait is None or not passing:
                raise StorageFailed(
                    f"Object storage: cannot {what}:"
                    f" {str(error).strip().splitlines()[0][:200]}"
                ) from error
        time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def check_scheme(address: str, flag: str) -> None:
    """Refuses addresses that TensorFlow has no file system for.

    Raises:
      UserError: names the schemes it has.
    """
    known = sorted(filter(None, tf.io.gfile.get_registered_schemes()))
    scheme = address.partition("://")[0]
    if scheme not in known:
        raise UserError(
            f"TensorFlow reads {', '.join(f'{x}://' for x in known)} here:"
            " install the package that adds the file system, or mount the"
            f" bucket and name its folder. Received: --{flag}={address}"
        )


def exists(address: str) -> bool:
    """True if there is an object or a folder."""
    return retried(lambda: tf.io.gfile.exists(address), f"look for {address}")


def is_object(address: str) -> bool:
    """True if there is an object, and no folder."""
    return exists(address) and not is_folder(address)


def is_folder(address: str) -> bool:
    """True if there is something below an address."""
    return retried(lambda: tf.io.gfile.isdir(address), f"look for {address}")


def read(address: str) -> bytes | None:
    """The content of an object; None if there is none."""

    def attempt() -> bytes:
        with tf.io.gfile.GFile(address, "rb") as file:
            return file.read()

    try:
        return retried(attempt, f"read {address}")
    except tf.errors.NotFoundError:
        return None


def write(address: str, content: bytes) -> None:
    """Writes an object, whole or not at all."""
    with _replacing(address) as attempt:
        attempt(lambda file: file.write(content))


def upload(path: str, address: str, count: int | None = None) -> int:
    """Writes a file's content as an object.

    Args:
      path: the file.
      address: of the object.
      count: how many of its bytes; None: all.

    Returns:
      The CRC-32 of what was written.
    """
    checksum = 0

    def copy(file: BinaryIO) -> None:
        nonlocal checksum
        checksum, left = 0, count
        with open(path, "rb") as source:
            while left is None or left > 0:
                size = _CHUNK if left is None else min(_CHUNK, left)
                chunk = source.read(size)
                if not chunk:
                    break
                checksum = zlib.crc32(chunk, checksum)
                file.write(chunk)
                left = left and left - len(chunk)

    with _replacing(address) as attempt:
        attempt(copy)
    return checksum


@contextlib.contextmanager
def _replacing(address: str) -> Iterator[Callable]:
    """Gives a function that writes the object by a function of a file."""
    folder, name = posixpath.split(address)
    temporary = f"{folder}/{_UNFINISHED}{uuid.uuid4().hex[:12]}-{name}"

    def attempt(fill: Callable[[BinaryIO], object]) -> None:
        def once() -> None:
            tf.io.gfile.makedirs(folder)
            if tf.io.gfile.exists(temporary):
                # Of an attempt that failed: some file systems would append.
                tf.io.gfile.remove(temporary)
            with tf.io.gfile.GFile(temporary, "wb") as file:
                # Without any write there is no object.
                file.write(b"")
                fill(file)
            tf.io.gfile.rename(temporary, address, overwrite=True)

        retried(once, f"write {address}")

    try:
        yield attempt
    except BaseException:
        with contextlib.suppress(tf.errors.OpError):
            tf.io.gfile.remove(temporary)
        raise


def download(address: str, path: str) -> int | None:
    """Writes an object's content as a file, whole or not at all.

    Args:
      address: of the object.
      path: the file, whose folder is made where it is missing.

    Returns:
      The CRC-32 of what was read; None if there is no such object.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    name = f"{_UNFINISHED}{uuid.uuid4().hex[:12]}-{os.path.basename(path)}"
    temporary = os.path.join(os.path.dirname(path), name)

    def attempt() -> int:
        checksum = 0
        with (
            tf.io.gfile.GFile(address, "rb") as source,
            open(temporary, "wb") as file,
        ):
            while chunk := source.read(_CHUNK):
                checksum = zlib.crc32(chunk, checksum)
                file.write(chunk)
        os.replace(temporary, path)
        return checksum

    try:
        return retried(attempt, f"read {address}")
    except tf.errors.NotFoundError:
        return None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)


def remove(address: str) -> None:
    """Removes an object, if it is there."""
    with contextlib.suppress(tf.errors.NotFoundError):
        retried(lambda: tf.io.gfile.remove(address), f"remove {address}")


def signature(address: str) -> tuple[int, int] | None:
    """(bytes, time of its last change in ns); None without such an object."""

    def attempt() -> tuple[int, int]:
        found = tf.io.gfile.stat(address)
        return found.length, found.mtime_nsec

    try:
        return retried(attempt, f"look at {address}")
    except tf.errors.NotFoundError:
        return None


def each(
    function: Callable[[str], _Value], addresses: Sequence[str]
) -> list[_Value]:
    """A function of many addresses, in their order; each waits for the
    network most of its time."""
    with concurrent.futures.ThreadPoolExecutor(_AT_A_TIME) as pool:
        return list(pool.map(function, addresses))


def names_in(address: str) -> list[str]:
    """Names of what lies directly in a folder; none without that folder."""
    try:
        found = retried(lambda: tf.io.gfile.listdir(address), f"list {address}")
    except tf.errors.NotFoundError:
        return []
    return sorted(name.rstrip("/") for name in found)


def names_below(address: str) -> list[str]:
    """Names of all whole objects below a folder, relative to it, sorted."""

    def attempt() -> list[str]:
        found = []
        for folder, _, names in tf.io.gfile.walk(address):
            below = folder.removeprefix(address).strip("/")
            found += [posixpath.join(below, name) for name in names]
        return sorted(found)

    def whole(name: str) -> bool:
        # A folder may be an object without a name.
        last = posixpath.basename(name)
        return bool(last) and not last.startswith(_UNFINISHED)

    return list(filter(whole, retried(attempt, f"list {address}")))


def matching(pattern: str) -> list[str]:
    """Addresses of the objects that a pattern with * names, sorted."""
    return sorted(retried(lambda: tf.io.gfile.glob(pattern), f"list {pattern}"))
