"""Runs a mode on local copies of the addresses that its flags name."""

import contextlib
import dataclasses
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tf_simclr.config.field import Option
from tf_simclr.config.flat import from_flat, options
from tf_simclr.config.paths import several_paths
from tf_simclr.config.run import Config
from tf_simclr.errors import UserError
from tf_simclr.progress import say
from tf_simclr.storage.addresses import (
    RUNS,
    is_address,
    local_place,
    scratch_folder,
)

_IMAGES = ("dataset", "unlabeled_dataset")
# TensorFlow Datasets reads addresses itself.
_AS_GIVEN = ("data_dir", "scratch_dir")
# What these are for lies on the disk of this machine.
_LOCAL_ONLY = {"prepare_cache": "shrunk copies are read from a disk"}


def with_local_files(function: Callable[[Config], Any], config: Config) -> Any:
    """Calls a mode on local copies of what lies on object storage.

    A `model_dir` there is copied back while the mode runs and when it ends.

    Args:
      function: the mode.
      config: whose paths may be addresses.

    Raises:
      UserError: an address cannot be used, or another process writes there.
      StorageFailed: object storage cannot be read or written.
    """
    with _written_copy(config) as local:
        return function(with_local_inputs(local))


def with_local_inputs(config: Config) -> Config:
    """The configuration with local copies of all that the mode reads.

    Args:
      config: whose `model_dir` is local.

    Raises:
      UserError: there is nothing at an address, or no room for it.
      StorageFailed: object storage cannot be read.
    """
    changes = {}
    for option in options():
        name, value = option.field.name, option.value_in(config)
        if (
            not option.role["path"]
            or name in _AS_GIVEN
            or not value
            or not any(map(is_address, _parts(option, value)))
            or not _reads(config, option)
        ):
            continue
        if name in _LOCAL_ONLY:
            raise UserError(
                f"--{name} takes a folder, as {_LOCAL_ONLY[name]}. Received:"
                f" {value}"
            )
        places = [_place(part, name, config) for part in _parts(option, value)]
        changes[name] = ",".join(places)
    return _replaced(config, changes)


def _parts(option: Option, value: str) -> list[str]:
    several = option.role["path"] == "several"
    return several_paths(value) if several else [value]


def _place(value: str, flag: str, config: Config) -> str:
    """The local copy of an address; a local path as it is."""
    from tf_simclr.storage.read_copies import copy_images, copy_path

    if not is_address(value):
        return value
    scratch = scratch_folder(config.run.scratch_dir)
    written = local_place(value, scratch, RUNS)
    if os.path.exists(written) or os.path.exists(f"{written}.index"):
        run = os.path.abspath(config.run.model_dir or "")
        if os.path.commonpath([run, written]) == run:
            # Part of what this mode writes.
            return written
    copy = copy_images if flag in _IMAGES else copy_path
    return copy(value, flag, scratch)


def _reads(config: Config, option: Option) -> bool:
    mode = config.stage or config.run.mode
    return mode in option.role["read_by"] and all(
        needs.met(config) for needs in option.role["needs"]
    )


def _replaced(config: Config, changes: Mapping[str, Any]) -> Config:
    """With other values of flags, which count as given as before."""
    if not changes:
        return config
    return dataclasses.replace(
        from_flat(changes, config),
        given=config.given,
        shared=config.shared,
        inherited=config.inherited,
    )


@contextlib.contextmanager
def _written_copy(config: Config) -> Iterator[Config]:
    """The configuration with a local `model_dir`, kept up on its address."""
    address, mode = config.run.model_dir, config.run.mode
    if not is_address(address):
        yield config
        return
    from tf_simclr.storage import objects, read_copies
    from tf_simclr.storage.lease import Lease
    from tf_simclr.storage.mirror import KeptUp, Mirror

    address = address.rstrip("/")
    objects.check_scheme(address, "model_dir")
    if mode == "label":
        raise UserError(
            "--mode=label has each click on a disk at once: name a folder of"
            f" this machine. Received: --model_dir={address}"
        )
    if config.works_together and config.cluster is not None:
        raise UserError(
            "Several machines train in one folder that all of them see: mount"
            " the bucket, or name a folder that they share. Received:"
            f" --model_dir={address}"
        )
    scratch = scratch_folder(config.run.scratch_dir)
    if mode == "runs":
        place = read_copies.copy_path(address, "model_dir", scratch, _is_note)
        yield _replaced(config, {"model_dir": place})
        return
    folder = local_place(address, scratch, RUNS)
    lease, mirror = Lease(address), Mirror(address, folder)
    lease.take()
    with KeptUp(mirror, lease) as count:
        said = f", {count} files of it copied from there" if count else ""
        say(f"{address}: worked on in {folder}{said}")
        yield _replaced(config, {"model_dir": folder})


def _is_note(name: str) -> bool:
    """True for what a table of runs reads."""
    base = posixpath.basename(name)
    return base.endswith((".json", ".jsonl")) or ".tfevents." in base
