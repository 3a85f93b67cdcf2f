"""Classifying a folder of images."""

import os
from collections.abc import Mapping, Sequence

import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.data.augment.framing import Framing
from tf_simclr.data.augment.policy import evaluation_image
from tf_simclr.data.decode import decode_for_view
from tf_simclr.data.sources.folder import walk
from tf_simclr.data.transcode import plain_bytes
from tf_simclr.drawing import drawing
from tf_simclr.errors import UserError, at_most
from tf_simclr.evaluation.classify import (
    Prediction,
    Wanted,
    classify_files,
    read_file,
)
from tf_simclr.files import write_csv, write_text
from tf_simclr.modes.loaded import load_network
from tf_simclr.process import drop_decoder_warnings
from tf_simclr.progress import Counter, say
from tf_simclr.report.prediction_page import Shown, prediction_page
from tf_simclr.similar_names import path_meant
from tf_simclr.training.run_dir import check_writable
from tf_simclr.weights.export.folder import Exportable
from tf_simclr.weights.export.hub_module import make_hub_module

PREDICTIONS_FILE, PAGE_FILE = "predictions.csv", "predictions.html"
# Images of the page, the least sure, and the side of each.
_PICTURES, _SIDE = 300, 96
# The whole image, in its shape.
_WHOLE = Framing("pad", antialias=True)
# Files named in the closing notice; the rest is counted.
_SHOWN = 20


def predict(config: Config) -> str:
    """Writes `predictions.csv` of `--images` to `model_dir`: file, class,
    probability, problem and path, one line per file; with `--top_k` the next
    likeliest classes, too. `predictions.html` shows the images.

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
    drop_decoder_warnings()
    files = _image_files(config.output.images)
    loaded = load_network(config)
    source = loaded.exportable()
    if not source.classifies:
        raise UserError(
            f"The weights in {loaded.stored.path} have learned no classes, as"
            " predictions need: fine-tune them first."
        )
    module = make_hub_module(source)
    output, names = config.output, source.class_names
    wanted = Wanted(
        names, min(output.top_k, len(names)), output.min_probability
    )
    predictions: list[Prediction] = []
    counter = Counter(len(files))
    for prediction in classify_files(
        module.signatures["serving_bytes"],
        files,
        config.data.eval_batch_size,
        wanted,
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
    earlier = os.path.exists(path)
    _write(path, predictions, dict(files), wanted.top_k)
    replaced = ", in place of earlier ones" * earlier
    say(f"{path}: {len(files) - len(bad)} images classified{replaced}")
    unsure = sum(found.unsure for found in predictions)
    if unsure:
        say(
            f"{unsure} of them are unsure: no class is as probable as"
            f" --min_probability={output.min_probability:g}"
        )
    novel = [found.file for found in predictions if found.is_novel]
    if novel:
        say(
            f"{len(novel)} are less like the training images than 99 % of the"
            " evaluation's (column novelty):"
            f" {at_most(_SHOWN, novel)}"
        )
    _draw(config, predictions, dict(files), source)
    if bad:
        say(f"{len(bad)} files could not be read: {_named(bad)}")
    return path


def _image_files(images: str) -> list[tuple[str, str]]:
    """(name relative to the folder, path) of all images, in order of name.

    Bytes of a name that are no UTF-8 are written as in Python, such as \\xff.
    """
    if os.path.isfile(images):
        return [(_shown(os.path.basename(images)), images)]
    if not os.path.isdir(images):
        raise UserError(
            f"--images={images} is neither a folder nor an image file."
            f"{path_meant(images)}"
        )
    root = os.path.abspath(images)
    tree = walk(root, tolerant=True)
    if tree.runs:
        say(
            f"{root}: left out folders of earlier runs:"
            f" {at_most(_SHOWN, sorted(tree.runs))}"
        )
    if tree.unreadable:
        say(
            f"{root}: left out folders that cannot be read:"
            f" {_shown(at_most(_SHOWN, sorted(tree.unreadable)))}"
        )
    names = sorted([*tree.image_names(), *tree.other_names])
    if not names:
        raise UserError(tree.nothing_found())
    return [(_shown(name), os.path.join(root, name)) for name in names]


def _shown(name: str) -> str:
    """A name as text that any file may hold."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _draw(
    config: Config,
    predictions: Sequence[Prediction],
    paths: Mapping[str, str],
    source: Exportable,
) -> None:
    """Writes `predictions.html`."""
    path = os.path.join(config.run.model_dir, PAGE_FILE)
    good = [found for found in predictions if not found.problem]
    good.sort(key=lambda found: found.probability)
    with drawing(path):
        shown = []
        for found in good[:_PICTURES]:
            encoded = tf.constant(plain_bytes(read_file(paths[found.file])))
            image = decode_for_view(encoded, source.decoding, _WHOLE, _SIDE)
            view = evaluation_image(image, _SIDE, _WHOLE)
            shown.append(Shown(found, view.numpy()))
        title = f"{os.path.basename(config.output.images.rstrip('/'))}: classes"
        write_text(path, prediction_page(title, predictions, shown))
        say(f"{path}: the least sure come first")


def _write(
    path: str,
    predictions: list[Prediction],
    paths: dict[str, str],
    top_k: int,
) -> None:
    head = ["file", "class", "probability", "problem", "path"]
    calibrated = any(found.calibrated is not None for found in predictions)
    head += ["calibrated_probability"] * calibrated
    for place in range(2, top_k + 1):
        head += [f"class_{place}", f"probability_{place}"]
    if any(found.novelty is not None for found in predictions):
        head.append("novelty")
    rows: list[Sequence[str]] = [head]
    for found in predictions:
        row = [found.file, found.class_name]
        row.append("" if found.problem else f"{found.probability:.6f}")
        row += [found.problem, _shown(paths[found.file])]
        if calibrated:
            sure = found.calibrated
            row.append("" if sure is None else f"{sure:.6f}")
        for name, share in found.top[1:]:
            row += [name, f"{share:.6f}"]
        if found.novelty is not None:
            row.append(f"{found.novelty:.6f}")
        row += [""] * (len(head) - len(row))
        rows.append(row)
    write_csv(path, rows)


def _named(bad: list[Prediction]) -> str:
    problems = [f"{found.file} {found.problem}" for found in bad]
    return at_most(_SHOWN, problems, separator="; ", before_rest="; and ")
