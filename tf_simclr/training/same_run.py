"""Whether a directory holds the run that a command asks to continue."""

import itertools
from collections.abc import Mapping
from typing import Any

from tf_simclr.config.field import OnResume
from tf_simclr.config.flat import options
from tf_simclr.data.sources.identity import (
    SPELLINGS,
    changed_content,
    other_images,
)
from tf_simclr.errors import UserError
from tf_simclr.models.registry import DEFAULT_BACKBONE

# Parts of config.json that a run cannot change; of a flag its `on_resume` says
# it. What an earlier version of this project did not yet record is not
# compared.
_PARTS = ("stage", "architecture", "dataset", "sources")

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
            " a new directory."
        )
    changes = [
        f"changed    --{name} is {new_flags[name]}, no longer {flags[name]}"
        for name in changed_flags(flags, new_flags)
    ]
    return [
        *_replanned(stored["derived"], record["derived"]),
        *changes,
        *_pictures(stored, record),
        *_conditions(stored, record),
    ]


def changed_flags(
    flags: Mapping[str, Any], new_flags: Mapping[str, Any]
) -> list[str]:
    """Names of the flags on which a result depends, and that have changed.

    Paths are none of them: what lies there is compared, not where it lies.

    Args:
      flags, new_flags: as `config` in `config.json`.
    """
    return [
        name
        for name in _names("told")
        if name in flags and flags[name] != new_flags[name]
    ]


def _names(on_resume: OnResume) -> list[str]:
    """The flags of that role."""
    return [
        option.field.name
        for option in options()
        if option.role["on_resume"] == on_resume
    ]


def _pictures(
    stored: Mapping[str, Any], record: Mapping[str, Any]
) -> list[str]:
    changed, compared = changed_content(
        stored.get("dataset", {}), record["dataset"]
    )
    if not changed:
        return []
    return [
        f"changed    pictures: {changed} of the {compared} that were compared"
        " are not what they were"
    ]


def _conditions(
    stored: Mapping[str, Any], record: Mapping[str, Any]
) -> list[str]:
    """Lines on what no flag decides alone: arithmetic, devices, versions."""
    lines = []
    old, new = stored["derived"], record["derived"]
    asked = [part["config"].get("precision") for part in (stored, record)]
    # Another --precision is told as such.
    names = ["precision"] * (asked[0] == asked[1]) + ["devices"]
    for name in names:
        if name in old and name in new and old[name] != new[name]:
            lines.append(
                f"changed    {name}: {new[name]}, no longer {old[name]}"
            )
    old, new = stored.get("versions", {}), record.get("versions", {})
    others = [
        f"{name} {new[name]}, no longer {old[name]}"
        for name in new
        if name in old and old[name] != new[name]
    ]
    if others:
        lines.append(f"changed    versions: {'; '.join(others)}")
    return lines


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
        if part == "architecture":
            # That of a ResNet does not name it.
            old, new = ({"backbone": DEFAULT_BACKBONE, **a} for a in (old, new))
            if old["backbone"] != new["backbone"]:
                names = ["backbone"]
        if part == "dataset":
            others = other_images(old, new)
            names = [*SPELLINGS, *others] if others else []
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
    for name in _names("fixed"):
        if name in old and old[name] != new[name]:
            yield f"{name} is {old[name]}, not {new[name]}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
