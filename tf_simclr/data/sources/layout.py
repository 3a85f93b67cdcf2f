"""Folders of images, read as splits, as classes, or as neither.

| layout | folders |
|---|---|
| `classes` | DIR/CLASS/... |
| `splits` | DIR/SPLIT/CLASS/... |
| `classes_splits` | DIR/CLASS/SPLIT/... |

`auto` finds out by the folders' names, goes down where there is one level too
many, and refuses what could be read in two ways. In every layout a folder
`unlabeled` may stand where a class would, and in place of a split.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from tf_simclr.data.sources.split_names import (
    is_empty,
    is_labelled,
    is_unlabelled,
    split_of,
    splits_of,
)
from tf_simclr.errors import UserError, at_most

# Names in a message; the rest is counted.
_SHOWN = 4


@dataclasses.dataclass(frozen=True)
class Layout:
    """The reading of a tree of folders.

    Attributes:
      places: {folder: (split, class or None)}; folders are relative to the
        root, with '/', and hold images themselves.
      inside: {folder: its path below the folder of its class}; '' for that
        itself.
      notices: what was not plain, in words.
    """

    places: dict[str, tuple[str, str | None]]
    inside: dict[str, str]
    notices: tuple[str, ...]


def read_layout(
    folders: Iterable[str], root: str, layout: str = "auto"
) -> Layout:
    """Finds split and class of every folder that holds images.

    Args:
      folders: that hold images themselves, relative to the root, with '/';
        '' is the root.
      root: names the whole in messages.
      layout: one of `config.data.FOLDER_LAYOUTS`.

    Raises:
      UserError: names folders that can be read in two ways, and the flag.
    """
    top = _Node("", "")
    for folder in folders:
        top.add(folder)
    reading = _Reading(root, layout)
    if layout == "auto":
        reading.read(top)
        reading.check_inside()
    elif layout == "classes":
        reading.classes([("train", top)])
    elif layout == "splits":
        reading.given_splits(top)
    else:
        reading.given_classes_splits(top)
    return Layout(reading.places, reading.inside, tuple(reading.notices))


class _Node:
    """A folder: its name, its path, whether it holds images itself."""

    def __init__(self, name: str, path: str):
        self.name, self.path = name, path
        self.holds_images = False
        self.children: dict[str, _Node] = {}

    def add(self, folder: str) -> None:
        node = self
        for name in folder.split("/") if folder else ():
            path = f"{node.path}/{name}" if node.path else name
            node = node.children.setdefault(name, _Node(name, path))
        node.holds_images = True

    def all(self) -> Iterable["_Node"]:
        """This folder and those below it that hold images."""
        if self.holds_images:
            yield self
        for child in self.children.values():
            yield from child.all()

    def labelled(self) -> list["_Node"]:
        """Sub-folders, but those of images without a label."""
        return [c for c in self.children.values() if not is_unlabelled(c.name)]

    def only_child(self) -> "_Node | None":
        """The one sub-folder that everything lies in, if there is one."""
        children = list(self.children.values())
        if self.holds_images or len(children) != 1:
            return None
        return None if is_unlabelled(children[0].name) else children[0]


class _Reading:
    """Collects places and notices."""

    def __init__(self, root: str, layout: str):
        self.places: dict[str, tuple[str, str | None]] = {}
        self.inside: dict[str, str] = {}
        self.notices: list[str] = []
        self._root = root
        self._layout = layout

    def read(self, top: _Node) -> None:
        """Reads a tree by the names of its folders."""
        top = self._down(top)
        named = top.labelled()
        if any(is_labelled(child.name) for child in named):
            self._read_labelled(top, named)
            return
        found = splits_of([child.name for child in named])
        if named and all(found.values()):
            parts = [(found[child.name], child) for child in named]
            self._note_names(parts)
            self._place(top, "train", None, recurse=False)
            self._unlabelled_of(top)
            self._read_parts(parts)
        elif any(found.values()):
            raise self._refusal(
                [child.path for child in named if found[child.name]],
                [child.path for child in named if not found[child.name]],
                "splits",
            )
        elif not self._read_splits_below(top):
            self.classes([("train", top)])

    def check_inside(self) -> None:
        """Refuses a split's name at a level where none was looked for.

        Raises:
          UserError: names such folders.
        """
        strange = [
            folder
            for folder, (split, label) in self.places.items()
            for part in folder.split("/")
            if part != label and split_of(part) not in (None, split)
            if not any(map(is_unlabelled, folder.split("/")))
        ]
        if strange:
            raise UserError(
                f"In {self._root} folders are named like splits where no split"
                f" is expected ({at_most(_SHOWN, sorted(set(strange)))}): move"
                " them to the top, or say with --folder_layout=classes, splits"
                " or classes_splits what the folders are."
            )

    def classes(self, parts: Sequence[tuple[str, _Node]]) -> None:
        """Takes the sub-folders of each split's folder for classes."""
        for split, part in parts:
            self._place(part, split, None, recurse=False)
            for child in part.children.values():
                unlabelled = is_unlabelled(child.name)
                self._place(child, split, None if unlabelled else child.name)

    def given_splits(self, top: _Node) -> None:
        """Reads DIR/SPLIT/CLASS; other folders are refused.

        Raises:
          UserError: names a folder that is no split.
        """
        named = top.labelled()
        found = splits_of([child.name for child in named])
        self._all_splits(found, self._root)
        self._place(top, "train", None, recurse=False)
        self._unlabelled_of(top)
        self.classes([(found[child.name], child) for child in named])

    def given_classes_splits(self, top: _Node) -> None:
        """Reads DIR/CLASS/SPLIT; other folders are refused.

        Raises:
          UserError: names a folder that is no split.
        """
        self._place(top, "train", None, recurse=False)
        self._unlabelled_of(top)
        for label in top.labelled():
            found = splits_of(list(label.children))
            self._all_splits(found, f"{self._root}/{label.path}")
            self._place(label, "train", label.name, recurse=False)
            for child in label.children.values():
                self._place(child, found[child.name], label.name)

    def _down(self, top: _Node) -> _Node:
        """Goes down where everything lies in one folder that is no class."""
        start = top
        while (child := top.only_child()) is not None:
            plain = split_of(child.name) is None and not is_labelled(child.name)
            if not plain or not (child.children or is_empty(child.name)):
                break
            top = child
        if top is not start:
            self.notices.append(
                f"one level of folders too many: what lies in {top.path} is"
                " taken"
            )
        return top

    def _read_labelled(self, top: _Node, named: Sequence[_Node]) -> None:
        """Reads `labeled` beside `unlabeled`, and beside splits."""
        labelled = [child for child in named if is_labelled(child.name)]
        others = [child for child in named if not is_labelled(child.name)]
        found = splits_of([child.name for child in others])
        strange = [child.path for child in others if not found[child.name]]
        if strange:
            raise self._refusal(
                [child.path for child in labelled], strange, "labelled parts"
            )
        self._place(top, "train", None, recurse=False)
        self._unlabelled_of(top)
        for child in labelled:
            self.read(child)
        parts = [(found[child.name], child) for child in others]
        self._note_names(parts)
        self._read_parts(parts)

    def _read_parts(self, parts: Sequence[tuple[str, _Node]]) -> None:
        """Reads the folders of splits: one level of classes below each."""
        lower = [
            (split, self._down_in_split(split, part)) for split, part in parts
        ]
        while next_level := _next_level([part for _, part in lower]):
            splits = [split for split, _ in lower]
            lower = list(zip(splits, next_level, strict=True))
        for split, part in lower:
            labelled = [c for c in part.labelled() if is_labelled(c.name)]
            found = {c.path: split_of(c.name) for c in part.labelled()}
            if any(found.values()):
                named = [path for path in found if found[path]]
                raise self._refusal(named, [part.path], "splits")
            if labelled and len(labelled) == len(part.labelled()):
                self._place(part, split, None, recurse=False)
                self._unlabelled_of(part, split)
                self.classes([(split, child) for child in labelled])
            else:
                self.classes([(split, part)])
        gone = [
            new.path
            for (_, old), (_, new) in zip(parts, lower, strict=True)
            if old is not new
        ]
        if gone:
            self.notices.append(
                "one level of folders too many: what lies in"
                f" {at_most(_SHOWN, gone)} is taken"
            )

    def _down_in_split(self, split: str, part: _Node) -> _Node:
        """Goes down in `train/train` and `train/images`."""
        while (child := part.only_child()) is not None and (
            split_of(child.name) == split or is_empty(child.name)
        ):
            part = child
        return part

    def _read_splits_below(self, top: _Node) -> bool:
        """Reads DIR/CLASS/SPLIT if that is what there is.

        Raises:
          UserError: some classes have sub-folders that are named like splits,
            and other images.
        """
        labels = top.labelled()
        split, other = [], []
        for label in labels:
            found = splits_of(list(label.children))
            for name, child in label.children.items():
                (split if found[name] else other).append(child.path)
            if label.holds_images:
                other.append(label.path)
        if not split:
            return False
        if other:
            raise self._refusal(split, other, "splits")
        self.notices.append(
            f"the folders below each class are splits, such as {split[0]}"
        )
        self.given_classes_splits(top)
        return True

    def _all_splits(self, found: dict[str, str | None], where: str) -> None:
        strange = [name for name in found if not found[name]]
        if strange:
            raise UserError(
                f"--folder_layout={self._layout} needs folders of {where} that"
                " are called train, validation or test, or alike. Received:"
                f" {at_most(_SHOWN, strange)}"
            )

    def _note_names(self, parts: Sequence[tuple[str, _Node]]) -> None:
        """Notes the split of each folder whose name differs from it."""
        if any(split != child.name.casefold() for split, child in parts):
            named = ", ".join(f"{c.path} as {split}" for split, c in parts)
            self.notices.append(f"folders are taken as splits: {named}")

    def _unlabelled_of(self, part: _Node, split: str = "train") -> None:
        for child in part.children.values():
            if is_unlabelled(child.name):
                self._place(child, split, None)

    def _place(
        self,
        node: _Node,
        split: str,
        label: str | None,
        *,
        recurse: bool = True,
    ) -> None:
        nodes = node.all() if recurse else [node] * node.holds_images
        for each in nodes:
            self.places[each.path] = (split, label)
            self.inside[each.path] = each.path[len(node.path) :].lstrip("/")

    def _refusal(
        self, these: Sequence[str], others: Sequence[str], what: str
    ) -> UserError:
        return UserError(
            f"In {self._root} some folders are named like {what}"
            f" ({at_most(_SHOWN, these)}) beside others that are not"
            f" ({at_most(_SHOWN, others)}): move one of both elsewhere, or"
            " say with --folder_layout=classes, splits or classes_splits what"
            " the folders are."
        )


def _next_level(parts: Sequence[_Node]) -> list[_Node]:
    """The only sub-folder of each split's folder, where each has one and none
    of them is a class; else nothing."""
    children = [part.only_child() for part in parts]
    plain = all(c and c.children and not is_labelled(c.name) for c in children)
    return children if plain else []
