"""Groups of images that belong together: a video, a patient, an original.

Images of one group are all but copies of each other. A score is of unseen
images only where no group is on both sides of the cut.
"""

import collections
import dataclasses
import os
from collections.abc import Mapping, Sequence

from tf_simclr.config.grouping import GroupBy
from tf_simclr.data.sources.image_list import read_column
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.data.sources.layout import read_layout
from tf_simclr.data.sources.pixels import ArrayPixels, FilePixels
from tf_simclr.data.sources.registry import REGISTERED, find_kind
from tf_simclr.errors import UserError, at_most

# Names in a message; the rest is counted.
_SHOWN = 3

Splits = Mapping[str, ImageSet]


def with_groups(
    splits: Splits,
    listed: Splits,
    group_by: GroupBy,
    dataset: str,
    folder_layout: str,
) -> tuple[dict[str, ImageSet], list[str]]:
    """Adds to each image the name of its group.

    An image that the rule gives no name is a group of its own.

    Args:
      splits: {name: images}.
      listed: the same with the images that were left out: the layout of a
        folder is read from all of them.
      group_by: the rule.
      dataset: what `--dataset` holds.
      folder_layout: how a folder was read.

    Returns:
      The splits, and what to say about the groups.

    Raises:
      UserError: the data set has nothing that the rule could go by, or the
        rule puts no image, or all images of each class, into one group.
    """
    ids = [name for images in splits.values() for name in images.ids]
    if group_by.kind == "column":
        named = _by_column(group_by, ids, dataset)
    elif group_by.kind == "folder":
        named = _by_folder(listed, ids, dataset, folder_layout)
    else:
        named = _by_pattern(group_by, listed, ids, dataset)
    grouped = {
        split: dataclasses.replace(
            images, groups=tuple(named.get(name, name) for name in images.ids)
        )
        for split, images in splits.items()
    }
    if group_by.kind == "folder":
        _check_finer_than_classes(grouped, dataset)
    count, alone = len(set(named.values())), len(ids) - len(named)
    text = f"{len(named):,} images in {count:,} groups by {group_by.kind}"
    if alone:
        text += f", and {alone:,} images that are groups of their own"
    return grouped, [text]


def _by_column(
    group_by: GroupBy, ids: Sequence[str], dataset: str
) -> dict[str, str]:
    kind = find_kind(dataset)
    if kind is None or kind.name != "csv":
        raise UserError(
            f"--group_by=column:{group_by.column} needs a table of images"
            f" (.csv or .tsv). Received: --dataset={dataset}"
        )
    values = read_column(dataset, group_by.column)
    found = {name: values[name] for name in ids if values.get(name)}
    if not found:
        raise UserError(
            f"The column '{group_by.column}' of {dataset}, which --group_by"
            " names, is empty: name a column that holds groups."
        )
    return found


def _by_folder(
    listed: Splits, ids: Sequence[str], dataset: str, folder_layout: str
) -> dict[str, str]:
    if not all(isinstance(i.pixels, FilePixels) for i in listed.values()):
        raise UserError(
            "--group_by=folder needs image files in folders; the images of"
            f" --dataset={dataset} lie in arrays or shards."
        )
    folders = {os.path.dirname(n) for i in listed.values() for n in i.ids}
    names = {folder: folder for folder in folders}
    kind = find_kind(dataset)
    if kind is not None and kind.name == "folder":
        names = read_layout(folders, dataset, folder_layout).inside
    found = {name: names[os.path.dirname(name)] for name in ids}
    found = {name: group for name, group in found.items() if group}
    if not found:
        raise UserError(
            "--group_by=folder needs folders below those of the classes, one"
            f" for each group, such as cat/video7; --dataset={dataset} has"
            " none: name groups with --group_by=regex:PATTERN."
        )
    return found


def _by_pattern(
    group_by: GroupBy, listed: Splits, ids: Sequence[str], dataset: str
) -> dict[str, str]:
    pattern, kind = group_by.pattern, find_kind(dataset)
    numbered = kind and kind.name not in ("function", *REGISTERED)
    if numbered and any(
        isinstance(images.pixels, ArrayPixels) for images in listed.values()
    ):
        raise UserError(
            "--group_by=regex:PATTERN searches names of images, and those of"
            f" --dataset={dataset} are mere numbers: leave it out."
        )
    found = {}
    for name in ids:
        match = pattern.search(name)
        group = match and match[1 if pattern.groups else 0]
        if group:
            found[name] = group
    if not found:
        raise UserError(
            f"--group_by=regex:{pattern.pattern} matches no image of"
            f" --dataset={dataset}, such as {at_most(_SHOWN, ids)}."
        )
    return found


def _check_finer_than_classes(splits: Splits, dataset: str) -> None:
    """Refuses folders that are the classes.

    Raises:
      UserError: all images of each class are in one group.
    """
    groups = collections.defaultdict(set)
    for images in splits.values():
        for label, group in zip(
            images.labels.tolist(), images.groups, strict=True
        ):
            groups[label].add(group)
    groups.pop(UNLABELLED, None)
    if groups and all(len(found) == 1 for found in groups.values()):
        raise UserError(
            "--group_by=folder would make one group of each class of"
            f" --dataset={dataset}: groups must be smaller than classes, such"
            " as those of --group_by=regex:PATTERN."
        )


def shared_groups_notice(
    training: ImageSet | None, evaluation: ImageSet | None
) -> str:
    """Says which groups are trained on and scored; '' for none."""
    if training is None or evaluation is None or training.groups is None:
        return ""
    shared = sorted(set(training.groups) & set(evaluation.groups or ()))
    if not shared:
        return ""
    one = len(shared) == 1
    names = at_most(_SHOWN, [f"'{name}'" for name in shared])
    return (
        f"{len(shared):,} group{'s' * (not one)} {'is' if one else 'are'} in"
        f" both {training.name} and {evaluation.name}: {names}; the score is"
        " not of unseen groups"
    )
