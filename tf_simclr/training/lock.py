"""One process at a time trains in a `model_dir`.

The lock is `flock`'s, which ends with its process however that ends. The file
only tells who holds it.
"""

import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import socket
from collections.abc import Iterator

from tf_simclr.errors import UserError
from tf_simclr.progress import say

LOCK_FILE = ".lock"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclasses.dataclass(frozen=True)
class Holder:
    """A process, as the lock file names it."""

    pid: int
    host: str
    boot_id: str
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.started}"

    def may_live(self) -> bool:
        """True if it may still run: it does, or ran on another machine."""
        here = this_process()
        if self.host != here.host:
            return True
        if self.boot_id != here.boot_id:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


@contextlib.contextmanager
def locked(folder: str) -> Iterator[None]:
    """Holds the lock of a folder, which exists.

    Raises:
      UserError: another process holds it; names that process.
    """
    path = os.path.join(folder, LOCK_FILE)
    with open(path, "a+", encoding="utf-8") as file:
        file.seek(0)
        before = _read(file.read())
        if not _flock(file.fileno(), before):
            raise UserError(
                f"--model_dir={folder} is in use by"
                f" {before or 'another process'}: wait until it has ended or"
                " stop it, or name another directory."
            )
        if before is not None:
            say(f"{path} was left behind by {before}; taken over.")
        file.truncate(0)
        file.write(json.dumps(dataclasses.asdict(this_process())) + "\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _flock(descriptor: int, named: Holder | None) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network file systems have no locks: the name must do.
        return named is None or not named.may_live()
    return True


def _read(text: str) -> Holder | None:
    try:
        return Holder(**json.loads(text))
    except (ValueError, TypeError):
        return None


def this_process() -> Holder:
    """This process, as a lock names it."""
    boot_id = ""
    if os.path.exists(_BOOT_ID):
        with open(_BOOT_ID, encoding="ascii") as file:
            boot_id = file.read().strip()
    return Holder(
        pid=os.getpid(),
        host=socket.gethostname(),
        boot_id=boot_id,
        started=datetime.datetime.now().isoformat(" ", timespec="seconds"),
    )
