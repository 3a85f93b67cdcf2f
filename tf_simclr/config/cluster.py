"""The machines of a run, as the environment lists them: in TF_CONFIG, or in the
variables of Slurm's srun."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from tf_simclr.errors import UserError
from tf_simclr.process import (
    import_tensorflow,
    once_per_process,
    set_cluster,
)

_EXAMPLE = (
    '{"cluster": {"worker": ["host0:5000", "host1:5000"]}, "task": {"type":'
    ' "worker", "index": 0}}'
)
# Set by srun for each task: its number among those of the job step.
_RANK = "SLURM_PROCID"
# The lowest port, tasks of a node at most, and jobs with ports of their own.
_PORTS, _TASKS, _JOBS = 12_000, 64, 800
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
        """True if this process is the one that writes `model_dir`."""
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


def has_slurm_alone(environment: Mapping[str, str] = os.environ) -> bool:
    """True if srun started this process, and nobody set TF_CONFIG."""
    return _RANK in environment and not environment.get("TF_CONFIG")


@once_per_process
def take_slurm() -> None:
    """Sets TF_CONFIG from Slurm's variables, by TensorFlow's own resolver.

    Where nodes have GPUs, each task sees its share of them.

    Raises:
      UserError: srun has not started this process.
    """
    if _RANK not in os.environ:
        raise UserError(
            "--cluster=slurm reads what Slurm's srun tells its tasks, and"
            f" {_RANK} is not set: start the command by srun, or leave the flag"
            " out."
        )
    import_tensorflow()
    import tensorflow as tf

    make = tf.distribute.cluster_resolver.SlurmClusterResolver
    # Jobs that share a node get ports of their own.
    job = int(os.environ.get("SLURM_JOB_ID", "0"))
    port = _PORTS + job % _JOBS * _TASKS
    try:
        try:
            resolver = make(port_base=port)
        except (OSError, RuntimeError):
            # It asks nvidia-smi, which is not there.
            resolver = None
        if resolver is None or not resolver.num_accelerators()["GPU"]:
            # Without GPUs it would divide by none.
            resolver = make(
                port_base=port,
                gpus_per_node=_TASKS,
                gpus_per_task=1,
                auto_set_gpu=False,
            )
        cluster = resolver.cluster_spec().as_dict()
        role, index = resolver.get_task_info()
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise UserError(
            "--cluster=slurm cannot make out the tasks of this job from"
            f" Slurm's variables: {error}. Set TF_CONFIG instead."
        ) from error
    set_cluster(
        json.dumps({"cluster": cluster, "task": {"type": role, "index": index}})
    )


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
