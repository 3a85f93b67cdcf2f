"""Which kind of source a name stands for."""

import functools
import glob
import os
from collections.abc import Callable, Sequence

from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.digits import load_digits
from tf_simclr.data.sources.folder import list_folder
from tf_simclr.data.sources.idx import is_idx_image_file, load_idx
from tf_simclr.data.sources.image_list import read_image_list
from tf_simclr.data.sources.listed import listed_source
from tf_simclr.data.sources.npz import load_npz
from tf_simclr.data.sources.records import is_shard, list_records
from tf_simclr.data.sources.source import Source
from tf_simclr.data.sources.tensorflow_datasets import load_tfds
from tf_simclr.errors import UserError


def open_source(
    name: str,
    config: DataConfig,
    splits: Sequence[str],
    index_folders: Sequence[str],
) -> tuple[str, Source]:
    """Opens what a flag such as --dataset names; writes nothing.

    Args:
      name: 'digits', a file, a folder, a pattern of shards, or a name of the
        TensorFlow Datasets catalogue.
      config: where catalogue data lie, and whether images are scanned.
      splits: names of the splits that are wanted, at least.
      index_folders: where an index of the images may lie.

    Returns:
      The key of its index, and the source.

    Raises:
      UserError: there is no such data set, or it cannot be read.
    """
    key, build = _recipe(name, config, splits)
    return key, listed_source(
        key,
        build,
        index_folders,
        scan=config.scan_images,
        refresh=config.refresh_index,
    )


def _recipe(
    name: str, config: DataConfig, splits: Sequence[str]
) -> tuple[str, Callable[[], Source]]:
    """A key that says what is opened, and how to open it."""
    path = os.path.abspath(name)
    if name == "digits":
        size = config.image_size
        return f"digits {size}", functools.partial(load_digits, size)
    for ending, read in ((".npz", load_npz), (".csv", read_image_list)):
        if name.endswith(ending):
            if not os.path.isfile(name):
                raise UserError(f"--dataset: there is no file {name}.")
            return path, functools.partial(read, path)
    if os.path.isdir(name):
        return path, functools.partial(_open_folder, path)
    if any(is_shard(found) for found in glob.glob(name)):
        return path, functools.partial(list_records, path)
    if os.path.exists(name) or name.startswith((".", "/", "~")):
        raise UserError(
            "--dataset takes 'digits', a folder of images, IDX files or"
            " TFRecord shards, a .csv or .npz file, or a TensorFlow Datasets"
            f" name; there is no such folder or file. Received: {name}"
        )
    key = f"tfds {name} {config.data_dir} {' '.join(sorted(set(splits)))}"
    return key, functools.partial(load_tfds, name, config.data_dir, splits)


def _open_folder(path: str) -> Source:
    """A folder of IDX files, of record shards or of images."""
    try:
        names = os.listdir(path)
    except OSError as error:
        raise UserError(
            f"The folder {path} cannot be read: {error.strerror}."
        ) from error
    if any(is_idx_image_file(name) for name in names):
        return load_idx(path)
    if any(is_shard(name) for name in names):
        return list_records(path)
    return list_folder(path)
