"""A folder of image files; its sub-folders are classes or splits.

DIR/photo.jpg                 no label
DIR/CLASS/...                 a class, at any depth below
DIR/unlabeled/...             no label
DIR/train/..., DIR/test/...   splits, each as above; also val, validation
"""

import collections
import os

from tf_simclr.data.sources.class_names import number_classes
from tf_simclr.data.sources.folder_tree import walk
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import FilePixels
from tf_simclr.data.sources.source import Source
from tf_simclr.data.sources.splits import SPLIT_NAMES
from tf_simclr.errors import UserError

_UNLABELLED_NAMES = ("unlabeled", "unlabelled")


def list_folder(root: str) -> Source:
    """Lists the images below `root`, without opening any of them.

    Hidden entries, folders without images and the folders of runs are left
    out. Links are followed; a folder that is reached twice counts once.

    Raises:
      UserError: no image, a folder that cannot be read, a name that is not
        valid UTF-8, or a class that only the evaluation part has.
    """
    root = os.path.abspath(root)
    tree = walk(root)
    if not tree.images:
        raise UserError(tree.nothing_found())
    tops = {folder.partition("/")[0] for folder in tree.images} - {""}
    tops = {top for top in tops if not _is_unlabelled(top)}
    by_split = bool(tops) and all(top.casefold() in SPLIT_NAMES for top in tops)
    names: dict[str, list[str]] = collections.defaultdict(list)
    classes: dict[str, list[str | None]] = collections.defaultdict(list)
    loose = 0
    for folder in sorted(tree.images):
        split, label = _place(folder, by_split)
        files = sorted(tree.images[folder])
        names[split] += [os.path.join(folder, name) for name in files]
        classes[split] += [label] * len(files)
        loose += len(files) if folder == "" else 0
    class_names, labels = number_classes(classes, root)
    notices = [f"left out {what}" for what in tree.left_out()]
    if loose and tops:
        notices.append(
            f"images beside the sub-folders of {root} count as unlabelled:"
            f" {loose}"
        )
    if len(class_names) == 1:
        notices.append(f"there is only one class, '{class_names[0]}'")
    splits = {}
    for split in sorted(names, key=list(SPLIT_NAMES.values()).index):
        ids = tuple(names[split])
        splits[split] = ImageSet(
            name=split,
            pixels=FilePixels(root, ids),
            labels=labels[split],
            class_names=class_names,
            ids=ids,
        )
    return Source(
        splits=splits,
        notices=tuple(notices),
        stamps=tree.stamps,
        bad=dict.fromkeys(tree.broken, "is a broken link"),
    )


def _place(folder: str, by_split: bool) -> tuple[str, str | None]:
    """Split and class of the images of a folder."""
    parts = folder.split("/") if folder else []
    split = "train"
    if by_split and parts and not _is_unlabelled(parts[0]):
        split = SPLIT_NAMES[parts.pop(0).casefold()]
    labelled = parts and not _is_unlabelled(parts[0])
    return split, parts[0] if labelled else None


def _is_unlabelled(name: str) -> bool:
    return name.casefold() in _UNLABELLED_NAMES
