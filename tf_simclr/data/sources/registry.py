"""The sources of images that `--dataset` names.

A source is one file with a function that returns a `Source`, and one
registration. One that lives outside of this package needs none:
`--dataset=module:function` imports it.

This module imports no TensorFlow, since the command line is read before
TensorFlow starts.
"""

import dataclasses
import glob
import importlib
import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tf_simclr.errors import UserError
from tf_simclr.similar_names import path_meant

if TYPE_CHECKING:
    from tf_simclr.config.data import DataConfig
    from tf_simclr.data.sources.source import Source

# Called with the value of `--dataset`, the data flags, and the names of the
# splits that are wanted, at least.
Key = Callable[[str, "DataConfig", Sequence[str]], str]
Opener = Callable[[str, "DataConfig", Sequence[str]], "Source"]


def path_key(name: str, config: "DataConfig", splits: Sequence[str]) -> str:
    """The key of a source that its path alone describes.

    Args:
      name: the path.
      config: does not matter.
      splits: do not matter.

    Returns:
      The absolute path.
    """
    return os.path.abspath(name)


@dataclasses.dataclass(frozen=True)
class SourceKind:
    """A kind of source that `--dataset` can name.

    Attributes:
      name: tells it from other kinds.
      matches: True for those values of `--dataset` that are of this kind.
        Kinds are asked in their order, and the first one opens it.
      open: returns the `Source` that a value names. Ids, labels and pixels
        must be the same whenever it is called, while nothing has changed.
      key: says everything that decides what is opened: an index is kept for
        each key.
      by_name: True if values are names, even where a file or folder of that
        name exists; False if they are paths, which runs store absolute.
      exact: False if pixels are computed and may be rounded otherwise on
        another machine: then ids and labels alone tell data sets apart.
    """

    name: str
    matches: Callable[[str], bool]
    open: Opener
    key: Key = path_key
    by_name: bool = False
    exact: bool = True


# Kinds from outside of this package, in the order in which they are asked.
REGISTERED: dict[str, SourceKind] = {}


def register(kind: SourceKind) -> None:
    """Makes a kind of source known to `--dataset`.

    It is asked before those of this package, and after those that were
    registered before it.

    Raises:
      ValueError: there is a kind of that name.
    """
    if kind.name in {known.name for known in _kinds()}:
        raise ValueError(f"The source {kind.name!r} is there already.")
    REGISTERED[kind.name] = kind


def find_kind(name: str) -> SourceKind | None:
    """The first kind of source that a value of `--dataset` matches, if any.

    Args:
      name: the value.
    """
    return next((kind for kind in _kinds() if kind.matches(name)), None)


def kind_of(name: str) -> SourceKind:
    """The kind of source that opens a value of `--dataset`.

    Args:
      name: the value.

    Raises:
      UserError: there is none.
    """
    found = find_kind(name)
    if found is None and name.casefold().endswith(_ARCHIVES):
        raise UserError(
            "--dataset takes a folder, not an archive: unpack it, and name the"
            f" folder. Received: {name}"
        )
    if found is None and os.path.isfile(name):
        raise UserError(
            "--dataset takes .csv, .tsv and .npz files, TFRecord shards and"
            f" folders; this file is none of them. Received: {name}"
        )
    if found is None:
        raise UserError(
            "--dataset takes 'digits', a folder of images, IDX files or"
            " TFRecord shards, a .csv or .npz file, or a TensorFlow Datasets"
            " name; there is no such folder or file."
            f"{path_meant(name, EMBEDDED)} Received: {name}"
        )
    return found


def goes_by_name(name: str) -> bool:
    """True if a value of `--dataset` is no path, and needs no download.

    Args:
      name: the value.
    """
    found = find_kind(name)
    return found is not None and found.by_name


# How names of image files end, in small letters.
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif"),
    *(".png", ".gif", ".bmp", ".dib", ".webp"),
    # By way of Pillow.
    *(".tif", ".tiff", ".avif", ".avifs", ".heic", ".heif", ".hif"),
    *(".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".qoi"),
    *(".ico", ".psd"),
)
# What runs and pipelines leave in their folders, beside pictures.
_OF_RUNS = {"config.json", "result.json", "pipeline.json"}


def _holds_images(folder: str, depth: int = 3) -> bool:
    """True if a folder, down to some depth, has images outside of runs."""
    try:
        with os.scandir(folder) as scanned:
            entries = list(scanned)
    except OSError:
        return False
    if _OF_RUNS & {entry.name for entry in entries}:
        return False
    return any(e.name.casefold().endswith(EXTENSIONS) for e in entries) or any(
        entry.is_dir() and depth > 0 and _holds_images(entry.path, depth - 1)
        for entry in entries
    )


def is_shard(name: str) -> bool:
    """True if a file of this name is a TFRecord shard.

    `a.tfrecord`, `a.tfrecord-00000-of-00010`, `train-00000-of-01024`, `a.tfrec`
    and, for those who will be told to unpack it, `a.tfrecord.gz` are. Parts of
    checkpoints (`ckpt-1.data-00000-of-00001`) are none.
    """
    return _SHARD.search(name) is not None


_SHARD = re.compile(
    r"(\.tfrec(ords?)?(-\d+-of-\d+)?(\.(gz|zlib|zz))?"
    r"|(?<=[^.])(?<!\.data)-\d{5}-of-\d{5})$",
    re.IGNORECASE,
)


_ARCHIVES = (
    ".zip",
    ".tar",
    ".tgz",
    ".tar.gz",
    ".tar.bz2",
    ".tar.xz",
    ".7z",
    ".rar",
)

# Namespaces of the TensorFlow Datasets catalogue: huggingface:mnist is no
# function.
_TFDS_NAMESPACES = ("huggingface", "kaggle", "kubric", "robotics")


def _is_function(name: str) -> bool:
    module, colon, function = name.partition(":")
    return (
        bool(colon)
        and all(part.isidentifier() for part in module.split("."))
        and function.isidentifier()
        and module not in _TFDS_NAMESPACES
        and not os.path.exists(name)
    )


def _is_catalogue_name(name: str) -> bool:
    return not (os.path.exists(name) or name.startswith((".", "/", "~")))


def _imported(path: str) -> Callable:
    """Imports MODULE:NAME of this folder; the module may use TensorFlow."""
    module, _, name = path.partition(":")
    module = f"tf_simclr.data.sources.{module}"
    return getattr(importlib.import_module(module), name)


def _at_path(function: str) -> Opener:
    """Opens an absolute path by a function of it, MODULE:NAME."""
    return lambda name, *_: _imported(function)(os.path.abspath(name))


def _of_file(function: str) -> Opener:
    """Opens a file that must exist, as `_at_path`."""
    open_path = _at_path(function)
    return lambda name, *_: open_path(_existing(name))


def _existing(name: str) -> str:
    if not os.path.isfile(name):
        raise UserError(f"--dataset: there is no file {name}.")
    return os.path.abspath(name)


# Data sets that come with a package.
EMBEDDED = ("digits",)

_BUILT_IN = (
    SourceKind(
        "digits",
        matches=lambda name: name == "digits" and not _holds_images(name),
        key=lambda name, config, splits: f"digits {config.image_size}",
        open=lambda name, config, splits: _imported("arrays:load_digits")(
            config.image_size
        ),
        by_name=True,
        exact=False,
    ),
    SourceKind(
        "npz",
        matches=lambda name: name.casefold().endswith(".npz"),
        key=lambda name, config, splits: (
            path_key(name, config, splits)
            + f" of {config.bit_depth}" * (config.bit_depth != "auto")
        ),
        open=lambda name, config, splits: _imported("arrays:load_npz")(
            _existing(name), config.bit_depth
        ),
    ),
    SourceKind(
        "csv",
        matches=lambda name: name.casefold().endswith((".csv", ".tsv")),
        open=_of_file("image_list:read_image_list"),
    ),
    SourceKind(
        "folder",
        matches=os.path.isdir,
        key=lambda name, config, splits: (
            path_key(name, config, splits)
            + f" as {config.folder_layout}" * (config.folder_layout != "auto")
        ),
        open=lambda name, config, splits: _imported("open:open_folder")(
            os.path.abspath(name),
            config.folder_layout,
            instead_of=name if name in EMBEDDED else "",
        ),
    ),
    SourceKind(
        "shards",
        matches=lambda name: any(map(is_shard, glob.glob(name))),
        open=_at_path("records:list_records"),
    ),
    SourceKind(
        "function",
        matches=_is_function,
        key=lambda *asked: _imported("function:function_key")(*asked),
        open=lambda *asked: _imported("function:call_function")(*asked),
        by_name=True,
    ),
    SourceKind(
        "tfds",
        matches=_is_catalogue_name,
        key=lambda name, config, splits: (
            f"tfds {name} {config.data_dir} {' '.join(sorted(set(splits)))}"
        ),
        open=lambda name, config, splits: _imported(
            "tensorflow_datasets:load_tfds"
        )(name, config.data_dir, splits),
    ),
)


def _kinds() -> tuple[SourceKind, ...]:
    """All kinds, in the order in which they are asked."""
    return (*REGISTERED.values(), *_BUILT_IN)
