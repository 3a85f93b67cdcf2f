"""A folder of image files; its sub-folders are classes or splits.

DIR/photo.jpg                 no label
DIR/CLASS/...                 a class, at any depth below
DIR/unlabeled/...             no label
DIR/train/..., DIR/test/...   splits, each as above; also val, validation
"""

import collections
import dataclasses
import os

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.index import INDEX_PREFIX
from tf_simclr.data.sources.pixels import FilePixels
from tf_simclr.data.sources.source import Source, Stamp
from tf_simclr.data.sources.splits import SPLIT_NAMES, number_classes
from tf_simclr.errors import UserError, at_most

EXTENSIONS = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".gif",
    ".bmp",
    ".webp",
)
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
    """What lies below `root`; other paths are relative to it, with '/'.

    Attributes:
      root: absolute.
      images: {folder: names of its image files}.
      stamps: {absolute path of each folder: stamp}.
      broken: image files that are links to nothing.
      empty: folders that hold nothing of use.
      runs: folders of runs.
      linked: links to folders that were read already.
      others: {extension: number of files} that are no images.
    """

    root: str
    images: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    stamps: dict[str, Stamp] = dataclasses.field(default_factory=dict)
    broken: list[str] = dataclasses.field(default_factory=list)
    empty: list[str] = dataclasses.field(default_factory=list)
    runs: list[str] = dataclasses.field(default_factory=list)
    linked: list[str] = dataclasses.field(default_factory=list)
    others: collections.Counter = dataclasses.field(
        default_factory=collections.Counter
    )

    def image_names(self) -> list[str]:
        """Names of all images relative to the root, sorted."""
        return sorted(
            f"{folder}/{name}" if folder else name
            for folder, names in self.images.items()
            for name in names
        )

    def left_out(self) -> list[str]:
        """What is no image, in words; empty where all are images."""
        found = []
        if self.others:
            counts = [f"{n} {name}" for name, n in self.others.most_common()]
            files = _count(self.others.total(), "other file")
            found.append(f"{files} ({at_most(_SHOWN, counts)})")
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
        """Says that there is no image, and what there is."""
        return (
            f"The folder {self.root} holds no image ({', '.join(EXTENSIONS)})."
            f" Found: {'; '.join(self.left_out()) or 'nothing'}"
        )


def walk(root: str) -> FolderTree:
    """Lists all that lies below a folder, without opening any file.

    Hidden entries are ignored, links are followed, and a folder that can be
    reached twice is read once. Costs one `stat` per folder, none per file.

    Args:
      root: an absolute path.

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
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(
                f"The folder {path} cannot be read: {error.strerror}."
            ) from error
        if folder and _is_run({entry.name for entry in entries}):
            # Without a stamp: a run changes its own folder all the time.
            tree.runs.append(folder)
            continue
        tree.stamps[path] = (status.st_mtime_ns, status.st_size)
        folders = _sort_out(tree, folder, entries)
        for entry in folders:
            place = f"{folder}/{entry.name}" if folder else entry.name
            (linked if entry.is_symlink() else pending).append(place)
        if folder and not folders and folder not in tree.images:
            tree.empty.append(folder)
    return tree


def _sort_out(
    tree: FolderTree, folder: str, entries: list[os.DirEntry]
) -> list[os.DirEntry]:
    """Notes the files of one folder; returns its sub-folders."""
    folders, images = [], []
    for entry in entries:
        name = entry.name
        if name.startswith(".") or name in _IGNORED_NAMES:
            continue
        _check_name(tree.root, folder, name)
        kind = _kind(entry)
        if kind == "folder":
            folders.append(entry)
        elif kind and name.casefold().endswith(EXTENSIONS):
            images.append(name)
            if kind == "broken link":
                tree.broken.append(f"{folder}/{name}" if folder else name)
        else:
            extension = os.path.splitext(name)[1].casefold()
            tree.others[extension or "without extension"] += 1
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
    """Whether a folder with these entries is one that a run wrote."""
    return any(entries <= names for entries in _OF_RUNS) or any(
        name.startswith(INDEX_PREFIX) and name.endswith(".npz")
        for name in names
    )


def _check_name(root: str, folder: str, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"A name in {os.path.join(root, folder)} is not valid UTF-8:"
            f" rename it. Received: {os.fsencode(name)!r}"
        ) from error


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


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
