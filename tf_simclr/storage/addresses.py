"""Addresses of object storage, and the local places of their copies.

What is only read of `gs://bucket/a` is copied to SCRATCH/read/gs/bucket/a; a
run that is written there is worked on in SCRATCH/runs/gs/bucket/a. A place
tells its address, so that a record holds what other machines can read.
"""

import os
import pathlib
import tempfile
from collections.abc import Iterable

from tf_simclr.errors import StorageFailed, UserError

# Lies in a folder of copies, and tells it from any other folder.
_MARK = ".copies-of-object-storage"
# Folders in it: copies of what is read, and of what a run writes.
READ, RUNS = "read", "runs"


def is_address(value: object) -> bool:
    """True for SCHEME://PLACE.

    Args:
      value: of a flag that takes a path.
    """
    scheme, separator, place = str(value).partition("://")
    return bool(separator and place) and scheme.isalnum()


def check_inside(names: Iterable[str], address: str) -> None:
    """Refuses names of objects that would be written outside of a folder.

    Args:
      names: below the address.
      address: for the message.

    Raises:
      StorageFailed: names one.
    """
    for name in names:
        if name.startswith("/") or ".." in name.split("/"):
            raise StorageFailed(
                f"{address} names an object outside of its folder, which is"
                f" not copied. Received: {name!r}"
            )


def scratch_folder(given: str | None) -> str:
    """The folder of all local copies; is made where it is missing.

    Args:
      given: the value of `--scratch_dir`.

    Raises:
      UserError: it cannot be written.
    """
    name = f"tf_simclr-copies-{os.getuid()}"
    folder = os.path.abspath(given or f"{tempfile.gettempdir()}/{name}")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        pathlib.Path(folder, _MARK).touch()
    except OSError as error:
        raise UserError(
            f"--scratch_dir={folder} cannot be written ({error.strerror}):"
            " name a folder with room for the copies."
        ) from error
    return folder


def local_place(address: str, scratch: str, kind: str) -> str:
    """Path of the local copy of an address.

    Args:
      address: SCHEME://PLACE.
      scratch: see `scratch_folder`.
      kind: `READ` or `RUNS`.

    Raises:
      UserError: its place leads out of that folder.
    """
    scheme, _, place = address.partition("://")
    parts = [part for part in place.split("/") if part]
    if not parts or {".", ".."} & set(parts):
        raise UserError(
            "An address is written SCHEME://BUCKET/PATH, without . and .. in"
            f" it. Received: {address}"
        )
    return os.path.join(scratch, kind, scheme, *parts)


def address_of(path: str) -> str:
    """The address of which a path is the local copy, or the path itself.

    Args:
      path: absolute.
    """
    parent = os.path.dirname(path)
    while parent != os.path.dirname(parent):
        if os.path.exists(os.path.join(parent, _MARK)):
            _, scheme, *place = (
                *os.path.relpath(path, parent).split(os.sep),
                "",
                "",
            )
            # file:///data/a has no bucket.
            root = "/" if scheme == "file" else ""
            place = "/".join(filter(None, place))
            return f"{scheme}://{root}{place}" if place else path
        parent = os.path.dirname(parent)
    return path
