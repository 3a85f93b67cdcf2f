"""Opening the images to train and to evaluate on, by the data flags."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tf_simclr.config.data import DataConfig
from tf_simclr.config.grouping import read_group_by
from tf_simclr.data.augment.framing import Framing
from tf_simclr.data.bad_images import check_bad_images, without_bad_images
from tf_simclr.data.decoding import Decoding
from tf_simclr.data.label_table import is_label_table, with_table_labels
from tf_simclr.data.near_duplicates import (
    DUPLICATES_FILE,
    NearDuplicates,
    find_near_duplicates,
)
from tf_simclr.data.sources.arrays import load_idx
from tf_simclr.data.sources.check import (
    check_classes,
    check_pixels,
    with_unlabelled_parts,
    without_lost_classes,
)
from tf_simclr.data.sources.copies import copies_notices
from tf_simclr.data.sources.folder import FolderTree, list_folder, walk
from tf_simclr.data.sources.groups import shared_groups_notice, with_groups
from tf_simclr.data.sources.image_set import (
    UNLABELLED,
    ImageSet,
    join_unlabelled,
)
from tf_simclr.data.sources.index import listed_source, store_index
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.data.sources.records import list_records
from tf_simclr.data.sources.registry import kind_of
from tf_simclr.data.sources.source import (
    Source,
    Stamp,
    check_source,
    stamp,
)
from tf_simclr.data.sources.splits import (
    cut_evaluation,
    cut_notice,
    parse_split,
    pick_split,
)
from tf_simclr.data.sources.survey import Survey
from tf_simclr.errors import UserError, at_most
from tf_simclr.files import write_json
from tf_simclr.process import cached, drop_decoder_warnings


def open_source(
    name: str,
    config: DataConfig,
    splits: Sequence[str],
    index_folders: Sequence[str],
) -> tuple[str, Source]:
    """Opens what a flag such as --dataset names; writes nothing.

    Args:
      name: 'digits', a file, a folder, a pattern of shards, MODULE:FUNCTION,
        a name of the TensorFlow Datasets catalogue, or what a kind of source
        that was registered matches.
      config: where catalogue data lie, and whether images are scanned.
      splits: names of the splits that are wanted, at least.
      index_folders: where an index of the images may lie.

    Returns:
      The key of its index, and the source.

    Raises:
      UserError: there is no such data set, or it cannot be read.
    """
    kind = kind_of(name)

    def build() -> Source:
        source = kind.open(name, config, splits)
        check_source(source, name)
        return source

    key = kind.key(name, config, splits)
    return key, listed_source(
        key,
        build,
        index_folders,
        scan=config.scan_images,
        hashes=config.find_duplicates,
        refresh=config.refresh_index,
    )


def open_folder(path: str, layout: str, instead_of: str = "") -> Source:
    """Opens a folder of IDX files, of record shards or of images.

    Args:
      path: absolute.
      layout: what sub-folders of images are, see `read_layout`.
      instead_of: a data set that goes by the folder's name, if there is one.

    Raises:
      UserError: it cannot be read, or holds none or several of them.
    """
    tree = walk(path)
    folder = min(tree.images, default="")
    found = {
        "IDX files": tree.idx,
        "TFRecord shards": tree.shards,
        "image files": [
            os.path.join(folder, name) for name in tree.images.get(folder, ())
        ],
    }
    named = [
        f"{what} ({at_most(2, names)})"
        for what, names in found.items()
        if names
    ]
    if len(named) > 1:
        raise UserError(
            f"The folder {path} holds {' and '.join(named)}: move one of them"
            " elsewhere, or name with --dataset the folder that holds the"
            " other alone."
        )
    source = _of_tree(tree, path, layout)
    if not instead_of:
        return source
    notice = f"this is the folder {path}, not the data set '{instead_of}'"
    return dataclasses.replace(source, notices=(notice, *source.notices))


def _of_tree(tree: FolderTree, path: str, layout: str) -> Source:
    if tree.idx:
        # torchvision keeps them in MNIST/raw.
        folders = sorted({os.path.dirname(name) for name in tree.idx})
        if len(folders) > 1:
            raise UserError(
                f"The folder {path} holds IDX files in several folders"
                f" ({at_most(2, folders)}): name one of them with --dataset."
            )
        return load_idx(os.path.normpath(os.path.join(path, folders[0])))
    if tree.shards:
        return list_records(path)
    return list_folder(path, layout, tree)


@dataclasses.dataclass(frozen=True)
class Splits:
    """The images to train on and those to evaluate on.

    Attributes:
      train: the training images, with all labels there are; None where they
        were not asked for.
      evaluation: the evaluation images; None where the dataset has none.
      notices: what the user should know about the data.
      bad: {id: what is wrong} of the images that were left out.
      keys: of the indexes they were opened from.
      duplicates: evaluation images that look like training images; None where
        nobody compared them.
    """

    train: ImageSet | None
    evaluation: ImageSet | None
    notices: tuple[str, ...] = ()
    bad: dict[str, str] = dataclasses.field(default_factory=dict)
    keys: tuple[str, ...] = ()
    duplicates: NearDuplicates | None = None

    def with_duplicates(self, config: DataConfig) -> "Splits":
        """These, compared by perceptual hashes as `find_duplicates` wants it.

        Args:
          config: says whether to.
        """
        evaluation = self.evaluation
        if not config.find_duplicates or self.train is None:
            return self
        found = find_near_duplicates(evaluation, self.train)
        notices = self.notices
        if found is not None and found.rows:
            notices += (found.notice(),)
        elif found is None and evaluation is not None and config.scan_images:
            notices += (_NOT_COMPARED,) * evaluation.has_labels
        return dataclasses.replace(self, notices=notices, duplicates=found)

    def write(self, folder: str, index_folders: Sequence[str]) -> None:
        """Writes indexes that are new, and `bad_images.json` and
        `duplicates.csv` if there are any.

        Args:
          folder: of the run; is made where it is missing.
          index_folders: where a later run will look for an index.
        """
        os.makedirs(folder, exist_ok=True)
        for key in self.keys:
            store_index(key, folder, index_folders)
        if self.bad:
            write_json(
                os.path.join(folder, "bad_images.json"),
                {"count": len(self.bad), "images": self.bad},
            )
        if self.duplicates is not None:
            self.duplicates.write(os.path.join(folder, DUPLICATES_FILE))


# Its images were looked at before hashes were computed, or without.
_NOT_COMPARED = (
    "near-duplicates were not looked for, since the index of the images has no"
    " hashes: --refresh_index computes them"
)


def open_dataset(
    config: DataConfig,
    index_folders: Sequence[str] = (),
    *,
    training: bool = True,
    asked_to_evaluate: bool = False,
) -> Splits:
    """Opens the dataset that `config` names; writes nothing.

    Args:
      config: says what to open.
      index_folders: where an index of the images may lie.
      training: False leaves the training images out, which there need not be.
      asked_to_evaluate: whether somebody gave `eval_split`; its default may
        name a split that is not there.

    Raises:
      UserError: there is no such dataset or split, or images of it cannot be
        read.
    """
    wanted = [config.eval_split]
    if training:
        wanted.insert(0, config.train_split)
    elif config.eval_fraction:
        # What the evaluation part is cut off.
        wanted.insert(0, "train")
    opened = [_open(config.dataset, config, wanted, index_folders)]
    if training and config.unlabeled_dataset:
        with _told_of("--unlabeled_dataset"):
            opened.append(
                _open(config.unlabeled_dataset, config, wanted, index_folders)
            )
    keys, sources = zip(*opened, strict=True)
    arranged = _arranged(sources, config)
    splits = arranged.splits
    train = None
    if training:
        train = pick_split(splits, config.train_split, config.dataset)
        for more in sources[1:]:
            train = join_unlabelled(train, without_bad_images(more).values())
    default = DataConfig.__dataclass_fields__["eval_split"].default
    evaluation = None
    if (
        asked_to_evaluate
        or config.eval_split != default
        or {"validation", "test"} & (set(splits) - set(arranged.joined))
    ):
        evaluation = pick_split(splits, config.eval_split, config.dataset)
    bad = {name: why for each in sources for name, why in each.bad.items()}
    notices = _notices(sources, arranged)
    shared = shared_groups_notice(train, evaluation)
    notices += (shared,) if shared else ()
    return Splits(train, evaluation, notices, bad, keys)


@contextlib.contextmanager
def _told_of(flag: str) -> Iterator[None]:
    """Names another flag than `--dataset` in errors of its images."""
    try:
        yield
    except UserError as error:
        text = re.sub(r"--dataset(?=[= ])", flag, str(error))
        raise UserError(text) from error


def open_images(
    config: DataConfig, split: str, index_folders: Sequence[str] = ()
) -> tuple[ImageSet, tuple[str, ...]]:
    """Opens one split of the dataset that `config` names; writes nothing.

    Returns:
      Its images, and what the user should know about the data.

    Raises:
      UserError: as `open_dataset`.
    """
    _, source = _open(config.dataset, config, (split,), index_folders)
    arranged = _arranged([source], config)
    images = pick_split(arranged.splits, split, config.dataset)
    return images, _notices([source], arranged)


def _notices(
    sources: Sequence[Source], arranged: "_Arranged"
) -> tuple[str, ...]:
    found = [notice for each in sources for notice in each.notices]
    found += arranged.notices
    bad = sum(len(each.bad) for each in sources)
    if bad:
        found.append(
            f"skipped {bad} of {sum(map(len, sources))} images, which cannot be"
            " read: bad_images.json names them"
        )
    return tuple(found)


def _open(
    name: str,
    config: DataConfig,
    splits: Sequence[str],
    index_folders: Sequence[str],
) -> tuple[str, Source]:
    names = [parse_split(split)[0] for split in splits]
    key, source = open_source(name, config, names, index_folders)
    check_bad_images(source, name, config)
    if source.survey.warned:
        # A notice names them; it need not be said again for each image.
        drop_decoder_warnings()
    return key, source


def _arranged(sources: Sequence[Source], config: DataConfig) -> "_Arranged":
    """The first source's splits; images of all sources are shown alike."""
    source = sources[0]
    survey = sum((each.survey for each in sources), Survey())
    how = survey.decoding(config.alpha, config.bit_depth)
    framing = Framing(config.eval_crop, config.antialias)
    arranged = _arrange(
        source,
        config.dataset,
        config.ignore_labels,
        config.eval_fraction,
        how,
        framing,
        config.group_by,
        config.folder_layout,
        *_label_table(config.label_ids),
    )
    sizes = _with_arrays(survey, source.splits)
    notices = [
        *survey.notices(how),
        *sizes.size_notices(framing, config.image_size),
    ]
    return dataclasses.replace(arranged, notices=(*notices, *arranged.notices))


def _label_table(path: str | None) -> tuple[str | None, Stamp | None]:
    """A table that gives labels, and what it was when it was read."""
    if path is None or not is_label_table(path):
        return None, None
    if not os.path.isfile(path):
        raise UserError(f"--label_ids: there is no file {path}.")
    return path, stamp(path)


@dataclasses.dataclass(frozen=True)
class _Arranged:
    """The splits of a source as the flags want them.

    Attributes:
      splits: {name: images}.
      notices: what the user should know about them.
      joined: splits that count as unlabelled training images.
    """

    splits: dict[str, ImageSet]
    notices: tuple[str, ...]
    joined: tuple[str, ...]


def _with_arrays(survey: Survey, splits: Mapping[str, ImageSet]) -> Survey:
    """The survey, with the sizes of images in memory."""
    for images in splits.values():
        if isinstance(images.pixels, ArrayPixels):
            survey += Survey.of_size(*images.pixels.size, len(images))
    return survey


# The stages of a pipeline share it: a million images take their time.
@cached(maxsize=2)
def _arrange(
    source: Source,
    dataset: str,
    ignore_labels: bool,
    eval_fraction: float,
    how: Decoding,
    framing: Framing,
    group_by: str,
    folder_layout: str,
    label_table: str | None,
    label_stamp: Stamp | None,
) -> _Arranged:
    splits, notices = without_lost_classes(
        source.splits, without_bad_images(source)
    )
    splits = {
        name: images.shown(how, framing) for name, images in splits.items()
    }
    if ignore_labels:
        splits = {
            name: dataclasses.replace(
                images,
                labels=np.full(len(images), UNLABELLED, np.int32),
                class_names=(),
            )
            for name, images in splits.items()
        }
    if label_table is not None:
        splits, said = with_table_labels(splits, label_table)
        notices += said
    notices += check_classes(splits, dataset) + check_pixels(splits)
    for images in splits.values():
        notices += copies_notices(images)
    rule = read_group_by(group_by)
    if rule is not None:
        splits, said = with_groups(
            splits, source.splits, rule, dataset, folder_layout
        )
        notices += said
    splits, said, joined = with_unlabelled_parts(splits)
    if eval_fraction:
        splits = cut_evaluation(splits, eval_fraction, dataset, joined)
        if rule is not None:
            said += [cut_notice(splits, eval_fraction)]
    return _Arranged(splits, (*notices, *said), tuple(joined))
