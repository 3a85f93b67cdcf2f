"""One process at a time writes to a folder of object storage.

Object storage has no locks. The lease is an object that names its holder and
is written anew while the holder lives. Nobody compares clocks: whoever finds
it watches whether it changes, and takes it over if it does not.
"""

import dataclasses
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from tf_simclr.errors import StorageFailed, UserError
from tf_simclr.progress import say
from tf_simclr.storage import objects
from tf_simclr.training.lock import Holder, this_process

LEASE_FILE = ".lease.json"
# Seconds between two renewals, and how long an unchanged lease is respected.
RENEWED_EVERY, RESPECTED_FOR = 15.0, 60.0
_WATCHED_EVERY = 5.0


class Lease:
    """The right to write below an address.

    Args:
      address: the folder.
      respected_for: seconds after which a lease that nobody renewed is taken
        over; the same for all processes.
    """

    def __init__(self, address: str, respected_for: float = RESPECTED_FOR):
        self._folder = address
        self._object = f"{address}/{LEASE_FILE}"
        self._respected_for = respected_for
        self._token = uuid.uuid4().hex
        self._renewals = 0

    def take(self) -> None:
        """Takes the lease, after a wait where another process has left it.

        Raises:
          UserError: another process holds it; names that process.
          StorageFailed: the object cannot be read or written.
        """
        found = self._read()
        if found is not None:
            self._watch(found)
        self._write()
        if not self.is_held():
            raise UserError(self._refusal(self._read()))

    def is_held(self) -> bool:
        """True while the lease is still this one.

        Raises:
          StorageFailed: the object cannot be read.
        """
        found = self._read()
        return found is not None and found.get("token") == self._token

    def renew(self) -> None:
        """Shows that this process lives.

        Raises:
          StorageFailed: another process has taken the lease over, or the
            object cannot be written.
        """
        if not self.is_held():
            raise StorageFailed(
                f"{self._folder} has been taken over by"
                f" {_holder(self._read())}, since this process did not renew"
                " its lease in time: nothing more is written there."
            )
        self._write()

    def release(self) -> None:
        """Ends the lease, if it is still this one."""
        if self.is_held():
            objects.remove(self._object)

    def _watch(self, found: Mapping[str, Any]) -> None:
        """Waits until the lease counts as left behind.

        Raises:
          UserError: its holder renewed it.
        """
        holder = _holder(found)
        if isinstance(holder, Holder) and not holder.may_live():
            say(f"{self._object} was left behind by {holder}; taken over.")
            return
        say(
            f"{self._object} names {holder}: waiting for"
            f" {self._respected_for:g} s whether it is renewed."
        )
        end = time.monotonic() + self._respected_for
        while time.monotonic() < end:
            time.sleep(min(_WATCHED_EVERY, self._respected_for / 4))
            now = self._read()
            if now is None:
                return
            if now != found:
                raise UserError(self._refusal(now))
        say(f"{self._object} was not renewed by {holder}; taken over.")

    def _refusal(self, found: Mapping[str, Any] | None) -> str:
        return (
            f"--model_dir={self._folder} is in use by {_holder(found)}: wait"
            " until it has ended or stop it, or name another place."
        )

    def _read(self) -> dict[str, Any] | None:
        content = objects.read(self._object)
        if content is None:
            return None
        try:
            found = json.loads(content)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self) -> None:
        self._renewals += 1
        lease = {
            "holder": dataclasses.asdict(this_process()),
            "token": self._token,
            "renewals": self._renewals,
        }
        objects.write(self._object, json.dumps(lease).encode())


def _holder(found: Mapping[str, Any] | None) -> Holder | str:
    """The process that a lease names."""
    try:
        return Holder(**(found or {})["holder"])
    except (KeyError, TypeError):
        return "another process"
