"""Whether a directory holds the run that a command asks to continue."""

import itertools
from collections.abc import Mapping
from typing import Any

from tf_simclr.config.flat import options
from tf_simclr.errors import UserError

# Parts of config.json that a run cannot change. What an earlier version of
# this project did not yet record is not compared.
_PARTS = ("stage", "architecture", "dataset", "sources")

# Flags that decide the order of the data or which variables there are.
_FIXED_FLAGS = (
    "train_batch_size",
    "seed",
    "optimizer",
    "fine_tune_after_block",
    "memory_size",
)

# Flags that may change, but then an undisturbed run's result does, too.
_TOLD_GROUPS = ("augment", "model", "objective", "optimizer")
_TOLD_FLAGS = (
    "precision",
    "tf32",
    "jit_compile",
    "deterministic",
    "strategy",
    "eval_split",
    "eval_steps",
)
# Compared as `sources`, wherever they lie.
_PATHS = ("checkpoint", "teacher")

_LONGEST = 60


def continued(
    path: str,
    stored: Mapping[str, Any],
    record: Mapping[str, Any],
    stored_labels: Mapping[str, Any] | None,
    labels: Mapping[str, Any] | None,
) -> list[str]:
    """Refuses to continue another run, and tells what has changed.

    Args:
      path: the `model_dir`.
      stored, record: its `config.json`, and what this command would write.
      stored_labels, labels: likewise for `labels.json`; None without labels.

    Returns:
      One line per change that is allowed.

    Raises:
      UserError: names what differs, with both values.
    """
    flags, new_flags = stored["config"], record["config"]
    differences = itertools.chain(
        _parts(stored, record),
        _labels(stored_labels, labels),
        _flags(flags, new_flags),
    )
    for difference in differences:
        raise UserError(
            f"--model_dir={path} holds another run: its {difference}. Choose"
            " a new directory, or remove that one."
        )
    changes = [
        f"changed    --{name} is {new_flags[name]}, no longer {flags[name]}"
        for name in changed_flags(flags, new_flags)
    ]
    return _replanned(stored["derived"], record["derived"]) + changes


def changed_flags(
    flags: Mapping[str, Any], new_flags: Mapping[str, Any]
) -> list[str]:
    """Names of the flags on which a result depends, and that have changed.

    Args:
      flags, new_flags: as `config` in `config.json`.
    """
    told = [
        option.field.name
        for option in options()
        if option.group in _TOLD_GROUPS or option.field.name in _TOLD_FLAGS
    ]
    return [
        name
        for name in told
        if name not in (*_FIXED_FLAGS, *_PATHS)
        and name in flags
        and flags[name] != new_flags[name]
    ]


def _replanned(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    if old["total_steps"] == new["total_steps"]:
        return []
    return [
        f"re-planned {new['total_steps']} steps, no longer"
        f" {old['total_steps']}: the learning rate follows the new warm-up"
        f" ({new['warmup_steps']} steps) and cosine from the step reached"
    ]


def _parts(stored: Mapping[str, Any], record: Mapping[str, Any]):
    for part in _PARTS:
        if part not in stored:
            continue
        old, new = stored[part], record[part]
        if not isinstance(old, dict):
            if old != new:
                yield f"{part} is '{old}', not '{new}'"
            continue
        names = {**old, **new} if part == "sources" else old
        differing = [
            f"{name} is {_short(old.get(name))}, not {_short(new.get(name))}"
            for name in names
            if old.get(name) != new.get(name)
        ]
        if differing:
            yield f"{part} differs ({'; '.join(differing)})"


def _labels(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None):
    if not old or not new:
        return
    pairs = itertools.zip_longest(
        zip(old["ids"], old["labels"], strict=True),
        zip(new["ids"], new["labels"], strict=True),
    )
    other = next((pair for pair in pairs if pair[0] != pair[1]), None)
    if other is not None:
        yield (
            f"labelled subset differs ({_subset(old, other[0])}, not"
            f" {_subset(new, other[1])})"
        )


def _subset(labels: Mapping[str, Any], first: tuple[str, int] | None) -> str:
    text = f"{labels['count']} images of --label_seed={labels['label_seed']}"
    if first is None:
        return text
    return f"{text} with '{first[0]}' in class {first[1]}"


def _flags(old: Mapping[str, Any], new: Mapping[str, Any]):
    for name in _FIXED_FLAGS:
        if name in old and old[name] != new[name]:
            yield f"{name} is {old[name]}, not {new[name]}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
