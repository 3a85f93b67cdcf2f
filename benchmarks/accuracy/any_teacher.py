"""Teachers of other make distil into a small ResNet-18 on digits.

    python benchmarks/accuracy/any_teacher.py --output=runs/any_teacher

A MobileNetV2 of Keras's applications is trained on all 1,437 labels at 32
pixels, and a small network of another size at 48. They become a .keras file, a
SavedModel that is only callable (as TensorFlow Hub has them), an ONNX file and
a file of logits. Each is given to `run.py --mode=distill` as --teacher or
--teacher_targets, with the distillation of flags/digits.cfg, as are two of them
at once. Prints the test accuracy of each teacher, alone, and of its student.
"""

import argparse
import json
import pathlib
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import hardware
from benchmarks.lib.recipe_runs import of_one_stage, recipe, run_program, top_1
from benchmarks.lib.results import this_command, write_results
from tf_simclr import process

RANGE = "-1_1"
SIZES = {"application": 32, "hub": 48}


def views(images, size: int) -> np.ndarray:
    """Evaluation views (N, size, size, 3) in [-1, 1]."""
    from tf_simclr.data.batches import evaluation_batches

    found = [
        batch["image"].numpy() * 2.0 - 1.0
        for batch in evaluation_batches(images, 256, size)
    ]
    return np.concatenate(found)


def trained(kind: str, splits, epochs: int):
    """A classifier of Keras 3, trained on all labels."""
    import keras

    size = SIZES[kind]
    if kind == "application":
        network = keras.applications.MobileNetV2(
            (size, size, 3), alpha=0.35, weights=None, classes=10
        )
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                # Its 0.999 is for more steps than these.
                layer.momentum = 0.9
    else:
        network = keras.Sequential([keras.Input((size, size, 3))])
        for width in (16, 32, 64, 128):
            network.add(keras.layers.Conv2D(width, 3, 2, "same"))
            network.add(keras.layers.BatchNormalization(momentum=0.9))
            network.add(keras.layers.ReLU())
        network.add(keras.layers.GlobalAveragePooling2D())
        network.add(keras.layers.Dense(10, activation="softmax"))
    moved = keras.Sequential(
        [
            keras.layers.RandomRotation(0.03, fill_mode="nearest"),
            keras.layers.RandomTranslation(0.06, 0.06, fill_mode="nearest"),
            keras.layers.RandomZoom(0.1, fill_mode="nearest"),
            network,
        ]
    )
    train = splits.train
    inputs, batch = views(train, size), 64
    steps = epochs * -(-len(train) // batch)
    rate = keras.optimizers.schedules.CosineDecay(0.003, steps)
    moved.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy"
    )
    keras.utils.set_random_seed(0)
    moved.fit(inputs, train.labels, batch, epochs, verbose=2)
    return network


def accuracy(network, images, size: int) -> float:
    """Of a network's answers."""
    found = network.predict(views(images, size), verbose=0)
    return float(np.mean(found.argmax(axis=1) == images.labels))


def write_teachers(folder: pathlib.Path, splits, epochs: int) -> dict:
    """Trains both and writes all files; {teacher: test accuracy}."""
    import tensorflow as tf
    import tf2onnx

    folder.mkdir(parents=True, exist_ok=True)
    names = "\n".join(splits.train.class_names)
    networks = {kind: trained(kind, splits, epochs) for kind in SIZES}
    application, hub = networks["application"], networks["hub"]
    application.save(folder / "application.keras")

    module = tf.Module()
    module.network = hub
    spec = tf.TensorSpec([None, SIZES["hub"], SIZES["hub"], 3])
    module.__call__ = tf.function(
        lambda images: hub(images, training=False), input_signature=[spec]
    )
    tf.saved_model.save(module, str(folder / "hub"))
    (folder / "hub" / "labels.txt").write_text(names)

    side = SIZES["application"]
    spec = tf.TensorSpec([None, side, side, 3], name="images")
    tf2onnx.convert.from_function(
        tf.function(lambda images: application(images, training=False)),
        [spec],
        output_path=str(folder / "application.onnx"),
    )
    answers = application.predict(views(splits.train, side), verbose=0)
    np.savez(
        folder / "logits.npz",
        ids=np.array(splits.train.ids),
        logits=np.log(np.maximum(answers, 1e-7)),
        classes=np.array(splits.train.class_names),
    )
    (folder / "labels.txt").write_text(names)
    found = {
        kind: accuracy(network, splits.evaluation, SIZES[kind])
        for kind, network in networks.items()
    }
    (folder / "accuracy.json").write_text(json.dumps(found))
    return found


def students(folder: pathlib.Path) -> dict[str, tuple[list[str], list[str]]]:
    """{what teaches: (flags, the teachers whose accuracy it is held to)}."""
    application = f"--teacher={folder}/application.keras"
    ranged = [f"--teacher_range={RANGE}"]
    hub = [f"--teacher={folder}/hub", f"--teacher_image_size={SIZES['hub']}"]
    return {
        "Keras application (.keras)": (
            [application, *ranged],
            ["application"],
        ),
        "hub-style SavedModel": ([*hub, *ranged], ["hub"]),
        "ONNX file": (
            [f"--teacher={folder}/application.onnx", *ranged],
            ["application"],
        ),
        "file of logits": (
            [f"--teacher_targets={folder}/logits.npz"],
            ["application"],
        ),
        "application and file of logits": (
            [application, f"--teacher_targets={folder}/logits.npz", *ranged],
            ["application"],
        ),
    }


def table(rows: list[dict]) -> str:
    """Markdown: the accuracy of each teacher and of its student."""
    lines = ["| teacher | alone | student |", "|---|---:|---:|"]
    lines += [
        f"| {row['teacher']} | {row['alone']:.4f} | {row['student']:.4f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Trains teachers and students; prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=60, help="of a teacher")
    parser.add_argument("--output", default="runs/any_teacher")
    arguments, flags = parser.parse_known_args()
    output = pathlib.Path(arguments.output).resolve()
    process.import_tensorflow()
    from tf_simclr.config import DataConfig
    from tf_simclr.data.sources.open import open_dataset

    splits = open_dataset(DataConfig(dataset="digits"))
    stored = output / "teachers" / "accuracy.json"
    if stored.exists():
        teachers = json.loads(stored.read_text())
    else:
        started = time.monotonic()
        teachers = write_teachers(stored.parent, splits, arguments.epochs)
        print(f"teachers: {time.monotonic() - started:.0f} s")
    base = of_one_stage("distill", recipe("digits.cfg"))
    rows = []
    for number, (name, (teacher, of)) in enumerate(
        students(stored.parent).items()
    ):
        run = output / str(number)
        run_program(
            *base,
            "--mode=distill",
            "--propagate_labels=off",
            "--noexport",
            f"--model_dir={run}",
            *teacher,
            *flags,
        )
        alone = teachers[of[0]]
        row = {"teacher": name, "alone": alone, "student": top_1(run)}
        rows.append(row)
    found = {
        "command": this_command(),
        "hardware": hardware(),
        "rows": rows,
    }
    text = table(rows)
    write_results(str(output / "results"), found, text)
    print(text)


if __name__ == "__main__":
    main()
