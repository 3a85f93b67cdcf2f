"""From the value of --dataset to the images of its splits."""

import dataclasses
import functools
import os

from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.image_set import (
    ImageSet,
    parse_split,
    pick_split,
)
from tf_simclr.errors import UserError


@dataclasses.dataclass(frozen=True)
class Splits:
    """The images to train on and those to evaluate on.

    Attributes:
      train: the training images, with all labels there are.
      evaluation: the evaluation images; None where the dataset has none.
    """

    train: ImageSet
    evaluation: ImageSet | None


def open_dataset(config: DataConfig) -> Splits:
    """Opens the dataset that `config` names.

    Raises:
      UserError: there is no such dataset or split.
    """
    splits = _load_splits(config, config.train_split, config.eval_split)
    train = pick_split(splits, config.train_split, config.dataset)
    default = DataConfig.__dataclass_fields__["eval_split"].default
    if config.eval_split == default and not {"validation", "test"} & set(
        splits
    ):
        return Splits(train, None)
    evaluation = pick_split(splits, config.eval_split, config.dataset)
    return Splits(train, evaluation)


def open_images(config: DataConfig, split: str) -> ImageSet:
    """Opens one split of the dataset that `config` names.

    Raises:
      UserError: there is no such dataset or split.
    """
    return pick_split(_load_splits(config, split), split, config.dataset)


def _load_splits(config: DataConfig, *splits: str) -> dict[str, ImageSet]:
    names = tuple(parse_split(split)[0] for split in splits)
    return _load(config.dataset, config.data_dir, config.image_size, names)


@functools.lru_cache(maxsize=2)
def _load(
    name: str, data_dir: str | None, image_size: int, names: tuple[str, ...]
) -> dict[str, ImageSet]:
    """Reads a dataset; the stages of a pipeline share what was read."""
    if name == "digits":
        from tf_simclr.data.sources.digits import load_digits

        return load_digits(image_size)
    if name.endswith(".npz"):
        if not os.path.exists(name):
            raise UserError(f"--dataset: there is no file {name}.")
        from tf_simclr.data.sources.npz import load_npz

        return load_npz(name)
    if os.path.exists(name):
        raise UserError(
            "--dataset takes 'digits', an .npz file or a TensorFlow Datasets"
            f" name. Received: {name}"
        )
    from tf_simclr.data.sources.tensorflow_datasets import load_tfds

    return load_tfds(name, data_dir, names)
