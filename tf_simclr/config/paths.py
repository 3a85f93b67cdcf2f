"""Paths among the values of flags, which mean a place and not a spelling."""

import glob
import os
from collections.abc import Mapping
from typing import Any

from tf_simclr.config.flat import flags_with, options
from tf_simclr.config.teacher import FEATURES
from tf_simclr.data.sources.registry import goes_by_name
from tf_simclr.storage.addresses import address_of, is_address


def path_options() -> list[str]:
    """Names of the flags that take a path."""
    return [option.field.name for option in options() if option.role["path"]]


def with_absolute_paths(values: Mapping[str, Any]) -> dict[str, Any]:
    """{flag: value} with paths that mean the same in any directory.

    Names of data sets and addresses stay as they are; the local copy of an
    address becomes the address.
    """
    names, several = flags_with(path="or_name"), flags_with(path="several")
    found = {
        name: address_of(os.path.abspath(values[name]))
        for name in path_options()
        if values.get(name)
        and name not in several
        and _is_path(values[name], or_name=name in names)
    }
    for name in several:
        if values.get(name):
            parts = several_paths(values[name])
            found[name] = ",".join(map(_absolute_unless_word, parts))
    return {**values, **found}


def several_paths(value: str) -> list[str]:
    """The paths in the value of a flag that takes several, separated by
    commas; one whose name has a comma stays whole."""
    if os.path.exists(value):
        return [value]
    return [part.strip() for part in value.split(",") if part.strip()]


def same_place(first: str | None, second: str | None) -> bool:
    """True if two paths lead to one place.

    Runs of version 0.1.0 stored paths as they were written, relative to a
    directory that nobody knows any more: of such a path the end counts.
    """
    if not first or not second or first == second:
        return first == second
    ends = [os.path.normpath(path) for path in (first, second)]
    if all(map(os.path.isabs, ends)):
        return os.path.realpath(first) == os.path.realpath(second)
    up = os.path.join(os.pardir, "")
    for number, end in enumerate(ends):
        while end.startswith(up):
            end = end.removeprefix(up)
        ends[number] = os.path.join(os.sep, end)
    return ends[0].endswith(ends[1]) or ends[1].endswith(ends[0])


def is_local_dataset(name: str) -> bool:
    """True if a data set's name is that of something on this machine."""
    return not goes_by_name(name) and (
        os.path.exists(name) or next(glob.iglob(name), None) is not None
    )


def _absolute_unless_word(path: str) -> str:
    if path == FEATURES or is_address(path):
        return path
    return address_of(os.path.abspath(path))


def _is_path(value: str, *, or_name: bool) -> bool:
    if or_name:
        return is_local_dataset(value)
    return not is_address(value)
