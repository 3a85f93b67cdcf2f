"""The machines of a run, as the environment variable TF_CONFIG lists them."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from tf_simclr.errors import UserError

_EXAMPLE = (
    '{"cluster": {"worker": ["host0:5000", "host1:5000"]}, "task": {"type":'
    ' "worker", "index": 0}}'
)
# Who computes; a chief, where one is named, comes before the workers.
_ROLES = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes that train together, and this one's place among them.

    Attributes:
      addresses: host:port of every process; the first one is the chief.
      index: this process's place in `addresses`.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes `model_dir`."""
        return self.index == 0


def read_cluster(
    environment: Mapping[str, str] = os.environ,
) -> Cluster | None:
    """The cluster that TF_CONFIG describes; None where it is not set.

    TensorFlow would ignore some mistakes and wait for ever after others, so
    that everything is checked here.

    Raises:
      UserError: it cannot be read, or describes no place in a cluster.
    """
    text = environment.get("TF_CONFIG", "")
    if not text.strip():
        return None
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise _mistake(f"is no JSON ({error})", text) from error
    cluster = config.get("cluster") if isinstance(config, dict) else None
    if not isinstance(cluster, dict) or not cluster:
        raise _mistake("has no 'cluster'", text)
    unknown = sorted(set(cluster) - set(_ROLES))
    if unknown:
        raise _mistake(f"names {unknown[0]!r}, which has no task here", text)
    addresses: list[str] = []
    first: dict[str, int] = {}
    for role in _ROLES:
        first[role] = len(addresses)
        addresses += _addresses(cluster.get(role, []), role, text)
    if len(cluster.get("chief", [])) > 1:
        raise _mistake("names more than one 'chief'", text)
    if len(set(addresses)) != len(addresses):
        raise _mistake("names an address twice", text)
    task = config.get("task")
    role = task.get("type") if isinstance(task, dict) else None
    if role not in cluster:
        raise _mistake("has no 'task' with a 'type' of its cluster", text)
    index = task.get("index")
    if type(index) is not int or not 0 <= index < len(cluster[role]):
        raise _mistake(
            f"needs a task 'index' below {len(cluster[role])}, the number of"
            f" its {role}s",
            text,
        )
    return Cluster(tuple(addresses), first[role] + index)


def _addresses(value: Any, role: str, text: str) -> list[str]:
    if not isinstance(value, list):
        raise _mistake(f"needs a list of addresses under {role!r}", text)
    for address in value:
        host, _, port = str(address).rpartition(":")
        if not isinstance(address, str) or not host or not port.isdecimal():
            raise _mistake(f"needs host:port addresses, not {address!r}", text)
    return value


def _mistake(what: str, text: str) -> UserError:
    shown = " ".join(text.split())[:200]
    return UserError(
        f"The environment variable TF_CONFIG {what}; it looks like {_EXAMPLE}."
        f" Received: {shown}"
    )
