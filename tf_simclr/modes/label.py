"""The page on which the images that `--mode=suggest` chose are labelled."""

import os
import signal
import threading
from typing import Any

import numpy as np

from tf_simclr.config.flat import command_words, from_flat, shell_command
from tf_simclr.config.run import Config
from tf_simclr.data.sources.image_list import SUGGESTION_FILE
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import open_images
from tf_simclr.data.sources.table import read_cells
from tf_simclr.errors import UserError, at_most
from tf_simclr.evaluation.feature_file import open_features
from tf_simclr.files import read_json
from tf_simclr.labels.guide import Guide
from tf_simclr.labels.label_book import (
    LABELS_FILE,
    LABELS_FOLDER,
    TO_LABEL_FILE,
    LabelBook,
    clean_class_name,
)
from tf_simclr.labels.page.pictures import Pictures
from tf_simclr.labels.page.server import LabelApp, listen, serving
from tf_simclr.labels.page.session import Session, ToLabel
from tf_simclr.labels.typed_labels import book_with_typed_labels
from tf_simclr.modes.embed import FEATURES_FILE
from tf_simclr.modes.prepare import index_folders, say_notices
from tf_simclr.progress import say
from tf_simclr.signals import Terminated, stop_point
from tf_simclr.training.run_dir import check_writable

# Flags of this mode that the next one has no use for.
_OWN_FLAGS = ("--mode=", "--model_dir=", "--port=", "--class_names=")
# Seconds between two looks whether a signal has come.
_PATIENCE = 0.5
# Names in a message; the rest is counted.
_SHOWN = 3


def label(config: Config) -> str:
    """Serves the page until the person is done, or Ctrl-C.

    Every label is on the disk in `labels.jsonl` before the page hears so;
    `labels.csv` (path, label, time) and `excluded.csv` follow it.

    Returns:
      The path of `labels.csv`.

    Raises:
      UserError: the folder holds no suggestion, the data set is another one
        by now, or the port or the folder is in use.
    """
    folder = config.run.model_dir
    suggestion = _suggestion(folder)
    check_writable(folder)
    config = _with_stored_flags(config, suggestion)
    images, notices = open_images(
        config.data, config.data.train_split, index_folders(config)
    )
    say_notices(config, notices)
    features = _features(folder, images)
    to_label = _to_label(folder, images)
    listening = listen(config.labels.port)
    try:
        with book_with_typed_labels(folder, images) as book:
            guide = Guide(features, [each.place for each in to_label])
            offered = _offered(config, suggestion)
            session = Session(images, to_label, book, guide, offered)
            _serve(session, Pictures(images), listening)
            _say_next(folder, config, suggestion, session, book)
    finally:
        listening.close()
    return os.path.join(folder, LABELS_FILE)


def _serve(session: Session, pictures: Pictures, listening: Any) -> None:
    done = threading.Event()
    app = LabelApp(session, pictures, listening.getsockname()[1], done.set)
    try:
        with serving(app, listening):
            say(f"Label the images at {app.address}")
            say("Ctrl-C, or Done on the page, ends this; labels are kept.")
            while not done.wait(_PATIENCE):
                stop_point()
    except Terminated as stopped:
        # Ctrl-C is the usual end of a server.
        if stopped.signal_number != signal.SIGINT:
            raise
    finally:
        session.close()


def _suggestion(folder: str) -> dict[str, Any]:
    path = os.path.join(folder, SUGGESTION_FILE)
    try:
        found = read_json(path)
        _ = found["dataset"], dict(found["flags"]), list(found["class_names"])
    except FileNotFoundError as error:
        way_out = "let --mode=suggest choose them, into the same --model_dir"
        # A pipeline has them in a sub-folder.
        below = os.path.join(folder, LABELS_FOLDER)
        if os.path.exists(os.path.join(below, SUGGESTION_FILE)):
            way_out = f"name the folder in it, --model_dir={below}"
        raise UserError(
            f"--model_dir={folder} holds no images to label: {way_out}."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    return found


def _damaged(path: str) -> UserError:
    return UserError(
        f"{path} cannot be read: run --mode=suggest again, with the same"
        " --model_dir. Labels are kept."
    )


def _with_stored_flags(config: Config, suggestion: dict[str, Any]) -> Config:
    """The configuration with the data set of the suggestion; flags that were
    given win."""
    stored = {"dataset": suggestion["dataset"], **suggestion["flags"]}
    values = {x: stored[x] for x in stored if x not in config.given}
    try:
        return from_flat(values, base=config)
    except KeyError as error:
        path = os.path.join(config.run.model_dir, SUGGESTION_FILE)
        raise UserError(
            f"{path} names a flag that is none, {error}: run --mode=suggest"
            " again."
        ) from error


def _features(folder: str, images: ImageSet) -> np.ndarray:
    """Features (N, d) that the suggestion was made by."""
    path = os.path.join(folder, FEATURES_FILE)
    try:
        ids, features = open_features(path)
    except UserError as error:
        raise _damaged(path) from error
    if ids != images.ids:
        other = sorted(set(ids) ^ set(images.ids))
        what = f"of {at_most(_SHOWN, other)}" if other else "in another order"
        raise UserError(
            f"{path} is of other images than the data set has now ({len(ids)}"
            f" then, {len(images)} now, {what}): run --mode=suggest again, with"
            " the same --model_dir. Labels are kept."
        )
    return features


def _to_label(folder: str, images: ImageSet) -> list[ToLabel]:
    path = os.path.join(folder, TO_LABEL_FILE)
    places = {name: place for place, name in enumerate(images.ids)}
    if not os.path.exists(path):
        raise _damaged(path)
    # A spreadsheet may have changed its separator and encoding.
    titles, lines = read_cells(path)
    try:
        rows = [dict(zip(titles, cells, strict=False)) for _, cells in lines]
        found = {
            row["path"]: ToLabel(
                places[row["path"]],
                int(row.get("cluster") or -1),
                row.get("reason") or "",
            )
            for row in rows
        }
    except (ValueError, KeyError) as error:
        raise _damaged(path) from error
    if not found:
        raise _damaged(path)
    return list(found.values())


def _offered(config: Config, suggestion: dict[str, Any]) -> list[str]:
    """Classes of the data set, then those of --class_names."""
    named = [x for x in config.labels.class_names.split(",") if x.strip()]
    found = [*map(str, suggestion["class_names"]), *named]
    try:
        return list(dict.fromkeys(map(clean_class_name, found)))
    except UserError as error:
        raise UserError(f"--class_names: {error}") from error


def _say_next(
    folder: str,
    config: Config,
    suggestion: dict[str, Any],
    session: Session,
    book: LabelBook,
) -> None:
    """Says the number of labelled images, and the commands that use them."""
    labelled, excluded, total = session.counts()
    left = total - labelled - excluded
    everything = book.labels()
    text = f"{os.path.join(folder, LABELS_FILE)}: {len(everything):,} images"
    text += f" of {len(set(everything.values()))} classes"
    if excluded:
        text += f", {excluded:,} excluded"
    say(f"{text}; {left:,} of {total:,} suggested ones are left")
    checkpoint = suggestion.get("checkpoint") or "RUN"
    # Those of the data set: the images must be the same.
    flags = [
        word
        for word in command_words(config)
        if not word.startswith(_OWN_FLAGS)
    ]
    start = [f"--checkpoint={checkpoint}", *flags]
    labels = os.path.join(folder, LABELS_FILE)
    pipeline = os.path.dirname(os.path.abspath(folder))
    of_pipeline = os.path.join(pipeline, "pretrain")
    # No network learns a single class.
    several = len(set(everything.values())) > 1
    if several and os.path.abspath(checkpoint) == of_pipeline:
        say(f"Repeat the command of the pipeline in {pipeline}: it goes on.")
    elif several:
        say("Train on them:")
        words = ["--mode=finetune", *start, f"--label_ids={labels}"]
        if len(everything) < config.optimizer.train_batch_size:
            # No batch is larger than all there is to train on.
            words.append(f"--train_batch_size={len(everything)}")
        say(shell_command([*words, "--model_dir=runs/finetuned"]))
    if left:
        say("Label the others of these:")
        say(shell_command(["--mode=label", f"--model_dir={folder}"]))
        return
    say("Choose more, then label them as before:")
    say(shell_command(["--mode=suggest", *start, f"--model_dir={folder}"]))
