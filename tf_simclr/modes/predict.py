"""Classifying a folder of images."""

import os

from tf_simclr.config.run import Config
from tf_simclr.data.sources.folder import walk
from tf_simclr.errors import UserError, at_most
from tf_simclr.evaluation.classify import Prediction, classify_files
from tf_simclr.files import write_csv
from tf_simclr.modes.loaded import load_network
from tf_simclr.progress import Counter, say
from tf_simclr.training.run_dir import check_writable
from tf_simclr.weights.export.hub_module import make_hub_module

PREDICTIONS_FILE = "predictions.csv"
# Files named in the closing notice; the rest is counted.
_SHOWN = 20


def predict(config: Config) -> str:
    """Writes `predictions.csv` of `--images` to `model_dir`: file, class,
    probability, problem and path, one line per file.

    The network comes from `--checkpoint` (a run, an export, weights of the
    original release) or the run in `model_dir`, and sees the files as its
    export's `serving_bytes` does. Files that cannot be read keep their line,
    with nothing in it but their name, and are named at the end.

    Returns:
      The file's path.

    Raises:
      UserError: there are no such images, or no classes were learned.
    """
    model_dir = config.run.model_dir
    check_writable(model_dir)
    files = _image_files(config.output.images)
    loaded = load_network(config)
    source = loaded.exportable()
    if not source.classifies:
        raise UserError(
            f"The weights in {loaded.stored.path} have learned no classes, as"
            " predictions need: fine-tune them first."
        )
    classify = make_hub_module(source).signatures["serving_bytes"]
    predictions: list[Prediction] = []
    counter = Counter(len(files))
    for prediction in classify_files(
        classify, files, config.data.eval_batch_size
    ):
        predictions.append(prediction)
        counter.add(1)
    bad = [p for p in predictions if p.problem]
    if len(bad) == len(files):
        raise UserError(
            f"--images={config.output.images} holds no image that can be read:"
            f" {_named(bad)}."
        )
    os.makedirs(model_dir, exist_ok=True)
    path = os.path.join(model_dir, PREDICTIONS_FILE)
    _write(path, predictions, dict(files))
    say(f"{path}: {len(files) - len(bad)} images classified")
    if bad:
        say(f"{len(bad)} files could not be read: {_named(bad)}")
    return path


def _image_files(images: str) -> list[tuple[str, str]]:
    """(name relative to the folder, path) of all images, in order of name."""
    if os.path.isfile(images):
        return [(os.path.basename(images), images)]
    if not os.path.isdir(images):
        raise UserError(
            f"--images={images} is neither a folder nor an image file."
        )
    root = os.path.abspath(images)
    tree = walk(root)
    names = sorted([*tree.image_names(), *tree.other_names])
    if not names:
        raise UserError(tree.nothing_found())
    return [(name, os.path.join(root, name)) for name in names]


def _write(
    path: str, predictions: list[Prediction], paths: dict[str, str]
) -> None:
    rows = [("file", "class", "probability", "problem", "path")]
    for found in predictions:
        probability = "" if found.problem else f"{found.probability:.6f}"
        rows.append(
            (
                *(found.file, found.class_name, probability),
                *(found.problem, paths[found.file]),
            )
        )
    write_csv(path, rows)


def _named(bad: list[Prediction]) -> str:
    problems = [f"{found.file} {found.problem}" for found in bad]
    return at_most(_SHOWN, problems, separator="; ", before_rest="; and ")
