"""From data flags to images: unlabelled additions, cuts, labels ignored."""

import pathlib

import numpy as np
import pictures
import pytest
import tensorflow as tf

from tf_simclr import cli
from tf_simclr.config import DataConfig
from tf_simclr.data.sources.open import open_dataset, open_images
from tf_simclr.data.sources.records import write_shard
from tf_simclr.errors import UserError
from tf_simclr.modes.prepare import stage_images


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> pathlib.Path:
    """Ten cats, ten dogs and two without a class, in a folder."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    counts = {"cat": 10, "dog": 10, "unlabeled": 2}
    return pictures.write_photos(folder, counts)


@pytest.fixture(scope="module")
def more(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("data") / "more"
    return pictures.write_photos(folder, {"a": 3, "b": 2}, first=50)


def opened(dataset, **flags):
    return open_dataset(DataConfig(dataset=str(dataset), **flags))


def test_unlabelled_images_join_the_training_images(photos, more):
    alone = opened(photos).train
    train = opened(photos, unlabeled_dataset=str(more)).train
    assert len(train) == 27
    assert train.ids[:22] == alone.ids
    assert train.ids[22] == "unlabeled_dataset/a/050.bmp"
    assert train.labels.tolist() == [*alone.labels.tolist(), *[-1] * 5]
    assert train.class_names == ("cat", "dog")
    assert train.pixels.path(0) == alone.pixels.path(0)
    assert train.pixels.path(22) == str(more / "a" / "050.bmp")


def test_unlabelled_arrays_join_those_of_one_size(tmp_path):
    def write(name: str, side: int, labels: bool) -> str:
        arrays = {"x_train": np.full((3, side, side), side, np.uint8)}
        if labels:
            arrays["y_train"] = np.arange(3)
        np.savez(tmp_path / name, **arrays)
        return str(tmp_path / name)

    first = write("first.npz", 8, True)
    same = write("same.npz", 8, True)
    train = opened(first, unlabeled_dataset=same).train
    assert train.labels.tolist() == [0, 1, 2, -1, -1, -1]
    assert train.pixels.array.shape == (6, 8, 8, 3)
    with pytest.raises(UserError, match=r"different sizes .*\(8, 8\) and"):
        opened(first, unlabeled_dataset=write("other.npz", 9, False))


def test_unlabelled_images_count_for_the_depth(photos, tmp_path):
    """Of 12 bits in 16, they would come out black."""
    deep = (np.arange(64, dtype=np.uint16) * 60).reshape(8, 8)
    (tmp_path / "deep.png").write_bytes(pictures.encode(deep, "PNG"))
    found = opened(photos, unlabeled_dataset=str(tmp_path))
    assert found.train.pixels.how.bits == 12
    (notice,) = [text for text in found.notices if "--bit_depth" in text]
    assert notice.startswith("images of 16 bits, with values up to 3,780")
    assert opened(photos).train.pixels.how.bits == 16


def test_unlabelled_shards_join_shards(tmp_path):
    for name, label in (("first", 0), ("second", 1)):
        (tmp_path / name).mkdir()
        records = [(f"{name} {i}".encode(), label, "") for i in range(2)]
        write_shard(str(tmp_path / name / "a.tfrecord"), records)
    train = opened(
        tmp_path / "first",
        unlabeled_dataset=str(tmp_path / "second"),
        scan_images=False,
    ).train
    read = [train.pixels.stored(index).numpy() for index in range(4)]
    assert read == [b"first 0", b"first 1", b"second 0", b"second 1"]


def test_kinds_that_cannot_join_are_refused(photos):
    with pytest.raises(UserError, match="must both be folders"):
        opened(photos, unlabeled_dataset="digits")


def test_a_folder_without_a_test_part_is_not_evaluated(photos):
    assert opened(photos).evaluation is None
    with pytest.raises(UserError, match="has no split 'test'; it has train"):
        opened(photos, eval_split="test")


def test_a_given_split_must_exist(photos, tmp_path):
    def stage(folder, *flags):
        words = [f"--dataset={folder}", f"--model_dir={tmp_path}", *flags]
        return stage_images(cli.parse_config(["run.py", *words]))

    given = "--eval_split=validation"
    assert stage(photos).evaluation is None
    with pytest.raises(UserError, match="'validation'; it has train. Rec"):
        stage(photos, given)
    cut = stage(photos, given, "--eval_fraction=0.2")
    assert cut.evaluation.name == "validation"
    # The original's default stands for 'test' where there is only that.
    folder = tmp_path / "both"
    for split in ("train", "test"):
        pictures.write_photos(folder / split, {"cat": 2, "dog": 2})
    assert stage(folder, given).evaluation.name == "test"


def test_an_evaluation_part_is_cut_off(photos, more):
    flags = {"eval_fraction": 0.2, "unlabeled_dataset": str(more)}
    splits = opened(photos, **flags)
    assert np.bincount(splits.evaluation.labels).tolist() == [2, 2]
    assert len(splits.train) == 18 + 5
    assert not set(splits.train.ids) & set(splits.evaluation.ids)
    config = DataConfig(dataset=str(photos), **flags)
    images, _ = open_images(config, "validation")
    assert images.ids == splits.evaluation.ids


def test_labels_can_be_ignored(photos):
    splits = opened(photos, ignore_labels=True)
    assert not splits.train.has_labels
    assert splits.train.class_names == ()
    assert len(splits.train) == 22


@pytest.mark.parametrize("name", ["./nothing", "/nothing", "missing.csv"])
def test_paths_to_nothing_are_named(name):
    with pytest.raises(UserError, match=f"there is no .*{name}"):
        opened(name)


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "data.zip").touch()
    with pytest.raises(UserError, match=r"an archive: unpack.*data\.zip"):
        opened(tmp_path / "data.zip")


@pytest.mark.filterwarnings("ignore")
def test_a_catalogue_data_set_of_several_sizes(tmp_path):
    import tensorflow_datasets as tfds

    tiles = [pictures.tile(n, 20 + n, 30 - n) for n in range(6)]

    class SeveralSizes(tfds.core.GeneratorBasedBuilder):
        """Six photographs."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(
                    {
                        "image": tfds.features.Image(),
                        "label": tfds.features.ClassLabel(names=["a", "b"]),
                    }
                ),
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number, tile in enumerate(tiles):
                yield number, {"image": tile, "label": number % 2}

    SeveralSizes(data_dir=str(tmp_path)).download_and_prepare()
    train = opened("several_sizes", data_dir=str(tmp_path)).train
    assert train.class_names == ("a", "b")
    assert np.bincount(train.labels).tolist() == [3, 3]
    found = {
        tf.io.decode_image(train.pixels.encoded(index)).numpy().tobytes()
        for index in range(6)
    }
    assert found == {tile.tobytes() for tile in tiles}


# {data set: (the feature beside the image, its kind, its values)}
LABELS = {
    "species_label": (
        "species",
        lambda f: f.ClassLabel(names=["a", "b"]),
        (0, 1),
    ),
    "text_label": ("label", lambda f: f.Text(), ("a", "b")),
    "scalar_label": ("label", lambda f: f.Scalar(np.int64), (0, 1)),
    "no_label": ("width", lambda f: f.Scalar(np.int64), (0, 1)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LABELS)
def test_labels_of_catalogue_data_sets(tmp_path, name):
    import tensorflow_datasets as tfds

    feature, kind, values = LABELS[name]

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(8, 8, 3)),
            feature: kind(tfds.features),
        }
        features = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _examples(self):
        for number, value in enumerate(values):
            image = pictures.tile(number, 8, 8)
            yield number, {"image": image, feature: value}

    # The catalogue calls a data set by its class.
    title = name.title().replace("_", "")
    made = type(
        title,
        (tfds.core.GeneratorBasedBuilder,),
        {
            "__module__": __name__,
            "__doc__": "Two photographs.",
            "VERSION": tfds.core.Version("1.0.0"),
            "_info": _info,
            "_generate_examples": _examples,
            "_split_generators": lambda self, _: {"train": _examples(self)},
        },
    )
    made(data_dir=str(tmp_path)).download_and_prepare()
    if name in ("text_label", "scalar_label"):
        with pytest.raises(UserError, match="one class for each image in its"):
            opened(name, data_dir=str(tmp_path))
        return
    splits = opened(name, data_dir=str(tmp_path))
    if name == "species_label":
        assert splits.train.class_names == ("a", "b")
        assert splits.train.labels.tolist() == [0, 1]
        notice = "the feature 'species' is taken as the label"
    else:
        assert not splits.train.has_labels
        notice = "there is no feature 'label', and so no label: image, width"
    assert notice in splits.notices
