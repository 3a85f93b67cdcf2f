"""Small inputs as people have them, each with the outcome that is right."""

import numpy as np
import pictures
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tf_simclr import cli, process
from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.errors import UserError
from tf_simclr.modes.preview import preview

TILES = [pictures.encode(pictures.tile(n, 9, 9), "PNG") for n in range(4)]
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def opened(path, **flags):
    process.release()
    return open_dataset(DataConfig(dataset=str(path), **flags))


def refusal(path, **flags) -> str:
    with pytest.raises(UserError) as error:
        opened(path, **flags)
    return str(error.value)


def write_tiles(folder, *names: str) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(TILES[number % 4] + bytes([number]))


@pytest.mark.parametrize("name", ["LIST.CSV", "list.Tsv"])
def test_tables_in_capital_letters(tmp_path, name):
    write_tiles(tmp_path, "0.png", "1.png")
    mark = "," if name == "LIST.CSV" else "\t"
    (tmp_path / name).write_text(f"0.png{mark}ant\n1.png{mark}bee\n")
    assert opened(tmp_path / name).train.class_names == ("ant", "bee")


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_tables_of_other_separators(tmp_path, mark):
    write_tiles(tmp_path, "0.png", "1.png")
    (tmp_path / "list.csv").write_text(
        f"filepath{mark}label\n0.png{mark}ant\n1.png{mark}bee\n"
    )
    assert opened(tmp_path / "list.csv").train.class_names == ("ant", "bee")


def test_names_in_both_unicode_forms_are_one_class(tmp_path):
    write_tiles(tmp_path, "caf\u00e9/0.png", "cafe\u0301/1.png", "bee/2.png")
    found = opened(tmp_path)
    assert found.train.class_names == ("bee", "caf\u00e9")
    assert np.bincount(found.train.labels).tolist() == [1, 2]


def test_a_class_folder_with_another_index_is_no_run(tmp_path):
    write_tiles(tmp_path, "ant/0.png", "bee/0.png")
    np.savez(tmp_path / "bee" / "index-old.npz", a=np.zeros(2))
    assert opened(tmp_path).train.class_names == ("ant", "bee")


def test_images_that_cannot_be_decoded_here_are_named(tmp_path):
    write_tiles(tmp_path, "ant/0.png", "bee/1.png")
    (tmp_path / "ant" / "phone.heic").write_bytes(HEIC)
    flags = [f"--dataset={tmp_path}", "--image_size=8", "--mode=preview"]
    flags += [f"--model_dir={tmp_path / 'out'}"]
    with pytest.raises(UserError, match=r"ant/phone.heic is .*HEIC"):
        preview(cli.parse_config(["run.py", *flags]))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("shape", [(4, 0, 0, 3), (0, 8, 8, 3)])
def test_arrays_without_a_pixel(tmp_path, shape):
    np.savez(tmp_path / "a.npz", x_train=np.zeros(shape, np.uint8))
    assert "holds no image. Received: shape" in refusal(tmp_path / "a.npz")


def test_a_class_that_only_the_test_has(tmp_path):
    x = np.arange(4 * 64 * 3, dtype=np.uint16).reshape(4, 8, 8, 3) % 256
    x = x.astype(np.uint8)
    np.savez(
        tmp_path / "a.npz",
        x_train=x,
        y_train=[0, 1, 0, 1],
        x_test=x[:3] + 1,
        y_test=[0, 1, 2],
    )
    assert "has the class '2', which its training images" in refusal(
        tmp_path / "a.npz"
    )


def write_examples(path, *examples: dict[str, list]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number, values in enumerate(examples):
            features = {
                "image/encoded": tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[TILES[number % 4]])
                )
            }
            for name, value in values.items():
                if isinstance(value, str):
                    kind = {
                        "bytes_list": tf.train.BytesList(value=[value.encode()])
                    }
                elif isinstance(value, float):
                    kind = {"float_list": tf.train.FloatList(value=[value])}
                else:
                    kind = {"int64_list": tf.train.Int64List(value=[value])}
                features[f"image/class/{name}"] = tf.train.Feature(**kind)
            example = tf.train.Example(
                features=tf.train.Features(feature=features)
            )
            writer.write(example.SerializeToString())


@pytest.mark.parametrize(
    "examples, message",
    [
        (
            ({"label": 0, "text": "cat"}, {"label": 0, "text": "dog"}),
            "class 0 is called 'cat' and 'dog'",
        ),
        (
            ({"label": 0, "text": "cat"}, {"text": "dog"}),
            "has the class 'dog' in 'image/class/text' and no number",
        ),
        (({"label": 0.0}, {"label": 1.0}), "as int64. Received: float"),
    ],
)
def test_records_whose_labels_cannot_be_read(tmp_path, examples, message):
    write_examples(tmp_path / "train.tfrecord", *examples)
    assert message in refusal(tmp_path)


def test_records_that_are_no_examples(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "train.tfrecord")) as writer:
        writer.write(pictures.encode(pictures.tile(0), "JPEG"))
    assert "is no tf.train.Example" in refusal(tmp_path)


@pytest.mark.parametrize(
    "name, feature, values, message",
    [
        ("plain", tfds.features.ClassLabel(names=["a", "b"]), [0, 1], ""),
        ("words", tfds.features.Text(), ["a", "b"], "Received: Text"),
        ("numbers", tfds.features.Scalar(tf.int64), [0, 1], "Scalar"),
        (
            "several",
            tfds.features.Sequence(tfds.features.ClassLabel(num_classes=2)),
            [[0], [1]],
            "Received: Sequence",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_catalogue_with_labels_of_other_kinds(
    tmp_path, name, feature, values, message
):
    images = np.stack([pictures.tile(n, 9, 9) for n in range(2)])
    data = tf.data.Dataset.from_tensor_slices(
        {"image": images, "label": values}
    )
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(9, 9, 3)),
                "label": feature,
            }
        ),
        split_datasets={"train": data},
        data_dir=str(tmp_path),
        disable_shuffling=True,
    )
    if not message:
        found = opened(name, data_dir=str(tmp_path)).train
        assert found.class_names == ("a", "b")
        return
    text = refusal(name, data_dir=str(tmp_path))
    assert "must have one class for each image" in text and message in text
