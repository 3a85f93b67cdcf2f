"""Comparison of two records: one run or two, and the changes since."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tf_simclr.config.flat import flags_with, options
from tf_simclr.config.methods import method_name
from tf_simclr.config.paths import same_place
from tf_simclr.data.sources.identity import changed_content, other_content
from tf_simclr.errors import UserError
from tf_simclr.models.network import Architecture
from tf_simclr.training.run_record import DatasetRecord, RunRecord

# How the images were asked for: told, but the same may go by many names.
_SPELLINGS = ("name", "train_split")
_CONTENT = "content"
_LONGEST = 60


def same_run(
    first: RunRecord | None, second: RunRecord, *, in_place: bool = False
) -> bool:
    """True if two records come from one run, at whatever step.

    Args:
      first, second: of runs or exports; None: of neither.
      in_place: whether both lie in one `model_dir`. Those in one folder are
        one run, however the choice of its labels was written.
    """
    if first is None:
        return False
    first, second = _without_class_names(first), _without_class_names(second)
    kinds = [r.weights and r.weights.kind for r in (first, second)]
    return (
        kinds[0] == kinds[1]
        and not any(_differences(first, second))
        and (in_place or first.labels == second.labels)
        and all(
            map(same_place, _places(first, in_place), _places(second, in_place))
        )
    )


def other_images(old: DatasetRecord, new: DatasetRecord) -> list[str]:
    """Keys by which two records of data sets are of different images.

    What only `new` holds is not compared, nor is the content where one does
    not know its own.
    """
    first, second = old.to_json(), new.to_json()
    keys = [
        key
        for key in first
        if key not in (*_SPELLINGS, _CONTENT) and first[key] != second.get(key)
    ]
    return keys + [_CONTENT] * other_content(old.content, new.content)


def continued(
    path: str,
    stored: RunRecord,
    record: RunRecord,
    stored_labels: Mapping[str, Any] | None,
    labels: Mapping[str, Any] | None,
) -> list[str]:
    """Refuses to continue another run; lists what has changed in this one.

    Args:
      path: the `model_dir`.
      stored, record: its record, and what this command would write.
      stored_labels, labels: likewise for `labels.json`; None without labels.

    Returns:
      One line per change that is allowed.

    Raises:
      UserError: names what differs, with both values.
    """
    differences = itertools.chain(
        _parts(stored, record),
        _labels(stored_labels, labels),
        _flags(stored, record),
    )
    for difference in differences:
        raise UserError(
            f"--model_dir={path} holds another run: its {difference}. Choose"
            " a new directory."
        )
    flags, new_flags = stored.config, record.config
    changes = [
        f"changed    --{name} is {new_flags[name]}, no longer {flags[name]}"
        for name in changed_flags(flags, new_flags)
        if _reads(stored.stage, name)
    ]
    return [
        *_replanned(stored, record),
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
      flags, new_flags: as `config` of a record.
    """
    return [
        name
        for name in flags_with(on_resume="told")
        if name in flags and flags[name] != new_flags[name]
    ]


def _differences(old: RunRecord, new: RunRecord) -> Iterator[str]:
    """Changes that a run cannot take, in words. Values that one of the two
    records lacks, written by an earlier version of this project, are not
    compared."""
    yield from _parts(old, new)
    # Flags beside the weights of others are those of an export.
    if old.weights is None:
        yield from _flags(old, new)


def _parts(old: RunRecord, new: RunRecord) -> Iterator[str]:
    if old.stage != new.stage:
        yield f"stage is '{old.stage}', not '{new.stage}'"
    others = other_images(old.dataset, new.dataset)
    if others:
        first, second = old.dataset.to_json(), new.dataset.to_json()
        yield from _part("dataset", first, second, [*_SPELLINGS, *others])
    # Number of classes and stem follow from the images.
    if old.architecture and new.architecture:
        yield from _architectures(old.architecture, new.architecture)
    if old.sources is not None and new.sources is not None:
        names = {**old.sources, **new.sources}
        yield from _part("sources", old.sources, new.sources, names)


def _architectures(old: Architecture, new: Architecture) -> Iterator[str]:
    # That of a ResNet does not name its backbone.
    first = {**old.to_json(), "backbone": old.backbone}
    second = {**new.to_json(), "backbone": new.backbone}
    names = first if old.backbone == new.backbone else ["backbone"]
    yield from _part("architecture", first, second, names)


def _part(
    part: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    names: Iterable[str],
) -> Iterator[str]:
    differing = [
        f"{name} is {_short(old.get(name))}, not {_short(new.get(name))}"
        for name in names
        if old.get(name) != new.get(name)
    ]
    if differing:
        yield f"{part} differs ({'; '.join(differing)})"


def _flags(old: RunRecord, new: RunRecord) -> Iterator[str]:
    first, second = old.config, new.config
    for name in flags_with(on_resume="fixed"):
        if name not in first or name not in second:
            continue
        if not _reads(old.stage, name):
            continue
        asked = first[name], second[name]
        if name == "method":
            # The stage's own has a name, too.
            stages = old.stage, new.stage
            asked = tuple(map(method_name, asked, stages))
        if asked[0] != asked[1]:
            yield f"{name} is {asked[0]}, not {asked[1]}"


def _reads(stage: str, name: str) -> bool:
    """False for a flag of other stages alone, such as of another part of the
    same pipeline."""
    (found,) = (each for each in options() if each.field.name == name)
    return not stage or stage in found.role["read_by"]


def _labels(
    old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> Iterator[str]:
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


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _without_class_names(record: RunRecord) -> RunRecord:
    # Classes may be named anew.
    dataset = dataclasses.replace(record.dataset, class_names=None)
    return dataclasses.replace(record, dataset=dataset)


def _places(record: RunRecord, in_place: bool) -> list[str | None]:
    places = [record.weights and record.weights.path]
    if not in_place:
        places.append(record.config.get("model_dir"))
    return places


def _replanned(stored: RunRecord, record: RunRecord) -> list[str]:
    old, new = stored.derived, record.derived
    if old.total_steps == new.total_steps:
        return []
    return [
        f"re-planned {new.total_steps} steps, no longer {old.total_steps}: the"
        f" learning rate follows the new warm-up ({new.warmup_steps} steps) and"
        " cosine from the step reached"
    ]


def _pictures(stored: RunRecord, record: RunRecord) -> list[str]:
    changed, compared = changed_content(
        stored.dataset.content, record.dataset.content
    )
    if not changed:
        return []
    return [
        f"changed    pictures: {changed} of the {compared} that were compared"
        " are not what they were"
    ]


def _read(shrunk_to: int | None) -> str:
    if shrunk_to is None:
        return "the image files"
    return f"copies shrunk to {shrunk_to} pixels"


def _conditions(stored: RunRecord, record: RunRecord) -> list[str]:
    """Lines on changes of arithmetic, devices, shrunk copies and versions."""
    lines = []
    asked = [part.config.get("precision") for part in (stored, record)]
    # Another --precision is told as such.
    names = ["precision"] * (asked[0] == asked[1]) + ["devices"]
    for name in names:
        old, new = (getattr(part.derived, name) for part in (stored, record))
        if old is not None and new is not None and old != new:
            lines.append(f"changed    {name}: {new}, no longer {old}")
    old, new = (part.derived.shrunk_to for part in (stored, record))
    if old != new:
        lines.append(
            f"changed    training reads {_read(new)}, no longer {_read(old)}"
        )
    old, new = stored.versions, record.versions
    others = [
        f"{name} {new[name]}, no longer {old[name]}"
        for name in new
        if name in old and old[name] != new[name]
    ]
    if others:
        lines.append(f"changed    versions: {'; '.join(others)}")
    return lines
