"""A folder of image files; its sub-folders are classes or splits.

`layout` tells which of them are what.
"""

import collections
import dataclasses
import operator
import os

from tf_simclr.data.sources.arrays import is_idx_image_file
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.index import is_index_name
from tf_simclr.data.sources.layout import read_layout
from tf_simclr.data.sources.pixels import FilePixels
from tf_simclr.data.sources.registry import EXTENSIONS, is_shard
from tf_simclr.data.sources.source import Source, Stamp
from tf_simclr.data.sources.split_names import in_order
from tf_simclr.data.sources.splits import number_classes
from tf_simclr.errors import UserError, at_most

# What archives and file servers leave behind.
_IGNORED_NAMES = ("__MACOSX", "@eaDir", "lost+found")
# What training and --mode=embed leave in their folders.
_OF_RUNS = (
    {"config.json", "checkpoints"},
    {"features.npz", "projector_config.pbtxt"},
)
# Names in a message; the rest is counted.
_SHOWN = 5


@dataclasses.dataclass
class FolderTree:
    """Entries below `root`; other paths are relative to it, with '/'.

    Attributes:
      root: absolute.
      images: {folder: names of its image files}.
      stamps: {absolute path of each folder: stamp}.
      broken: image files that are links to nothing.
      empty: folders that hold nothing of use.
      runs: folders of runs.
      linked: links to folders that were read already.
      shards: TFRecord shards.
      idx: files of images in the IDX format.
      other_names: all files that are no images by their name.
      unreadable: folders that cannot be read, with the reason.
    """

    root: str
    images: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    stamps: dict[str, Stamp] = dataclasses.field(default_factory=dict)
    broken: list[str] = dataclasses.field(default_factory=list)
    empty: list[str] = dataclasses.field(default_factory=list)
    runs: list[str] = dataclasses.field(default_factory=list)
    linked: list[str] = dataclasses.field(default_factory=list)
    shards: list[str] = dataclasses.field(default_factory=list)
    idx: list[str] = dataclasses.field(default_factory=list)
    other_names: list[str] = dataclasses.field(default_factory=list)
    unreadable: list[str] = dataclasses.field(default_factory=list)

    def image_names(self) -> list[str]:
        """Names of all images relative to the root, sorted."""
        return sorted(
            f"{folder}/{name}" if folder else name
            for folder, names in self.images.items()
            for name in names
        )

    def left_out(self) -> list[str]:
        """Entries that are no image, in words; empty where all are images."""
        found = []
        if self.other_names:
            others = collections.Counter(map(_extension, self.other_names))
            counts = [
                f"{count} {name}"
                for name, count in sorted(
                    others.items(), key=lambda item: (-item[1], item[0])
                )
            ]
            files = _count(len(self.other_names), "other file")
            names = at_most(_SHOWN, sorted(self.other_names))
            found.append(f"{files} ({at_most(_SHOWN, counts)}): {names}")
        for folders, what, detail in (
            (self.empty, "folder", "without an image"),
            (self.runs, "folder", "of earlier runs"),
            (self.linked, "link", "to folders that are read already"),
        ):
            if folders:
                names = at_most(_SHOWN, sorted(folders))
                found.append(f"{_count(len(folders), what)} {detail} ({names})")
        return found

    def nothing_found(self) -> str:
        """A sentence that there is no image, and what the folder holds
        instead."""
        return (
            f"The folder {self.root} holds no image ({', '.join(EXTENSIONS)})."
            f" Found: {'; '.join(self.left_out()) or 'nothing'}"
        )


def walk(root: str, *, tolerant: bool = False) -> FolderTree:
    """Lists all that lies below a folder, without opening any file.

    Hidden entries are ignored, links are followed, and a folder that can be
    reached twice is read once. Costs one `stat` per folder, none per file.

    Args:
      root: an absolute path.
      tolerant: whether folders that cannot be read, but for the root, are
        listed as such, and names may be no valid UTF-8.

    Raises:
      UserError: a folder cannot be read, or a name is not valid UTF-8.
    """
    tree = FolderTree(root)
    seen: set[tuple[int, int]] = set()
    # Links last, so that a folder goes by its own name.
    pending, linked = [""], collections.deque()
    while pending or linked:
        folder = pending.pop() if pending else linked.popleft()
        path = os.path.join(root, folder) if folder else root
        try:
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino)
            if identity in seen:
                tree.linked.append(folder)
                continue
            seen.add(identity)
            with os.scandir(path) as scanned:
                entries = sorted(scanned, key=operator.attrgetter("name"))
        except OSError as error:
            if tolerant and folder:
                tree.unreadable.append(f"{folder} ({error.strerror})")
                continue
            raise UserError(
                f"The folder {path} cannot be read: {error.strerror}."
            ) from error
        if folder and _is_run({entry.name for entry in entries}):
            # Without a stamp: a run changes its own folder all the time.
            tree.runs.append(folder)
            continue
        tree.stamps[path] = (status.st_mtime_ns, status.st_size)
        folders = _sort_out(tree, folder, entries, tolerant)
        for entry in folders:
            place = f"{folder}/{entry.name}" if folder else entry.name
            (linked if entry.is_symlink() else pending).append(place)
        if folder and not folders and folder not in tree.images:
            tree.empty.append(folder)
    return tree


def _sort_out(
    tree: FolderTree, folder: str, entries: list[os.DirEntry], tolerant: bool
) -> list[os.DirEntry]:
    """Notes the files of one folder; returns its sub-folders."""
    folders, images = [], []
    shown = [
        entry
        for entry in entries
        if not entry.name.startswith(".") and entry.name not in _IGNORED_NAMES
    ]
    if not tolerant:
        _check_names(tree.root, folder, [entry.name for entry in shown])
    for entry in shown:
        name = entry.name
        kind = _kind(entry)
        if kind == "folder":
            folders.append(entry)
        elif kind and name.casefold().endswith(EXTENSIONS):
            images.append(name)
            if kind == "broken link":
                tree.broken.append(f"{folder}/{name}" if folder else name)
        else:
            place = f"{folder}/{name}" if folder else name
            tree.other_names.append(place)
            if is_shard(name):
                tree.shards.append(place)
            elif is_idx_image_file(name):
                tree.idx.append(place)
    if images:
        tree.images[folder] = images
    return folders


def _kind(entry: os.DirEntry) -> str:
    """'folder', 'file', 'broken link', or '' for anything else."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError:
        # A link to itself, or through a folder that may not be entered.
        pass
    return "broken link" if entry.is_symlink() else ""


def _is_run(names: set[str]) -> bool:
    """True if a folder with these entries is one that a run wrote."""
    return any(entries <= names for entries in _OF_RUNS) or any(
        is_index_name(name) for name in names
    )


def _extension(name: str) -> str:
    return os.path.splitext(name)[1].casefold() or "without extension"


def _check_names(root: str, folder: str, names: list[str]) -> None:
    text = "/".join(names)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        name = names[text.count("/", 0, error.start)]
        raise UserError(
            f"A name in {os.path.join(root, folder)} is not valid UTF-8:"
            f" rename it. Received: {os.fsencode(name)!r}"
        ) from error


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def list_folder(
    root: str, layout: str = "auto", tree: FolderTree | None = None
) -> Source:
    """Lists the images below `root`, without opening any of them.

    Hidden entries, folders without images and the folders of runs are left
    out. Links are followed; a folder that is reached twice counts once.

    Args:
      root: the folder.
      layout: what its sub-folders are, see `read_layout`.
      tree: what `walk` found there, if that is known.

    Raises:
      UserError: no image, a folder that cannot be read, a name that is not
        valid UTF-8, folders that can be read in two ways, or a class that only
        the evaluation part has.
    """
    root = os.path.abspath(root)
    tree = tree or walk(root)
    if not tree.images:
        raise UserError(tree.nothing_found())
    read = read_layout(tree.images, root, layout)
    names: dict[str, list[str]] = collections.defaultdict(list)
    classes: dict[str, list[str | None]] = collections.defaultdict(list)
    loose = 0
    for folder in sorted(tree.images):
        split, label = read.places[folder]
        files = sorted(tree.images[folder])
        inside = os.path.join(folder, "")
        names[split] += [f"{inside}{name}" for name in files]
        classes[split] += [label] * len(files)
        loose += len(files) if folder == "" else 0
    class_names, labels = number_classes(classes, root)
    notices = [f"left out {what}" for what in tree.left_out()]
    notices += read.notices
    if loose and len(tree.images) > 1:
        notices.append(
            f"images beside the sub-folders of {root} count as unlabelled:"
            f" {loose}"
        )
    splits = {}
    for split in in_order(names):
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
