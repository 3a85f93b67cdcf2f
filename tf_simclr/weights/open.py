"""Opening the weights that a flag names, whatever wrote them."""

import os
import re

from tf_simclr import manifests
from tf_simclr.errors import UserError
from tf_simclr.keras_compat import OBJECT_GRAPH_KEY
from tf_simclr.progress import say
from tf_simclr.similar_names import path_meant
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.training.run_record import RECORD_FILE
from tf_simclr.weights.original import open_tf1, open_tf2
from tf_simclr.weights.stored import StoredWeights, open_own, own_keys


def open_weights(
    path: str, flag: str, classifier_layer: int = 0
) -> StoredWeights:
    """Finds the weights that a flag names, and their origin.

    Args:
      path: a run directory (its latest checkpoint is taken), a checkpoint's
        prefix such as `runs/first/checkpoints/ckpt-100`, the folder of a
        SavedModel, or, of the original release, a TF2 or TF1 checkpoint
        (folder or prefix) or the folder of a SavedModel.
      flag: the flag, for error messages.
      classifier_layer: the head layer that the classifier of the original's
        weights reads, which they do not tell.

    Raises:
      UserError: there are none, or they cannot be read.
    """
    import tensorflow as tf

    where = f"--{flag}={path}"
    prefix = _find_prefix(path, where)
    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes = reader.get_variable_to_shape_map()
        graph = (
            reader.get_tensor(OBJECT_GRAPH_KEY)
            if OBJECT_GRAPH_KEY in shapes
            else None
        )
    except (
        tf.errors.OpError,
        ValueError,
        RuntimeError,
        IndexError,
    ) as error:
        raise UserError(
            f"{where} cannot be read as a checkpoint: {error}"
        ) from error
    keys = own_keys(shapes, graph)
    if keys:
        return open_own(prefix, reader, shapes, keys, where)
    if graph is not None:
        return open_tf2(prefix, reader, shapes, graph, where, classifier_layer)
    return open_tf1(prefix, reader, shapes, where, classifier_layer)


def _find_prefix(path: str, where: str) -> str:
    import tensorflow as tf

    prefix = path
    if os.path.isdir(path):
        folders = (
            os.path.join(path, "checkpoints"),
            os.path.join(path, "variables"),
            path,
        )
        for folder in filter(os.path.isdir, folders):
            if _of_own_run(folder):
                found = _newest_whole(folder, where)
            else:
                found = tf.train.latest_checkpoint(folder) or _last_index(
                    folder
                )
            if found:
                return found
        export = _newest_export(path)
        if export is not None:
            say(f"{path}: its export {os.path.basename(export)} is taken.")
            return _find_prefix(export, where)
        parts = _runs_in(path)
        if parts:
            raise UserError(
                f"{where} holds no checkpoint itself, but these runs:"
                f" {', '.join(parts)}. Name one of them, such as"
                f" {os.path.join(path, parts[0])}."
            )
        raise UserError(
            f"{where} holds no checkpoint: name the model_dir of a run that"
            " has saved one."
        )
    if not os.path.exists(prefix + ".index"):
        raise UserError(
            f"{where} is neither a run directory, nor the prefix of a"
            " checkpoint (such as RUN/checkpoints/ckpt-100), nor a SavedModel."
            f"{path_meant(path)}"
        )
    _check_whole(prefix, where)
    return prefix


def _runs_in(folder: str) -> list[str]:
    """Sub-folders that are runs, such as the parts of a pipeline; the latest
    comes first."""

    def begun(name: str) -> float:
        return os.path.getmtime(os.path.join(folder, name, RECORD_FILE))

    runs = [
        name
        for name in os.listdir(folder)
        if os.path.exists(os.path.join(folder, name, RECORD_FILE))
    ]
    return sorted(runs, key=begun, reverse=True)


def _newest_export(folder: str) -> str | None:
    """The SavedModel of the highest step in a folder of exports."""
    steps = [name for name in os.listdir(folder) if name.isdecimal()]
    for name in sorted(steps, key=int, reverse=True):
        path = os.path.join(folder, name)
        if os.path.isdir(os.path.join(path, "variables")):
            return path
    return None


def _of_own_run(folder: str) -> bool:
    # Beside the weights of an export there is a configuration, too.
    run_dir, name = os.path.split(os.path.abspath(folder))
    is_run = os.path.exists(os.path.join(run_dir, RECORD_FILE))
    return is_run and name == "checkpoints"


def _newest_whole(folder: str, where: str) -> str | None:
    """The newest whole checkpoint of a run of this project."""
    choice = manifests.newest_whole(folder)
    for why in choice.passed_over:
        say(f"{folder}: {why}. Passed over.")
    if choice.step is not None:
        step = _chosen(folder, choice.step)
        return manifests.prefix(folder, step)
    if choice.passed_over:
        raise UserError(
            f"{where} holds no checkpoint that can be used:"
            f" {choice.passed_over[0]}."
        )
    return None


def _chosen(folder: str, newest: int) -> int:
    """The step that a finished run with `--export_checkpoint=best` chose, and
    that its scores are of; else the newest."""
    run_dir = RunDirectory(os.path.dirname(os.path.abspath(folder)))
    found = run_dir.read_selection()
    # A run that has gone on since chooses again at its end.
    if found.get("trained_steps") != newest:
        return newest
    step = int(os.path.basename(found["checkpoint"]).removeprefix("ckpt-"))
    if step == newest:
        return newest
    why = manifests.problem(folder, step)
    if why:
        say(f"{folder}: {why}. The last checkpoint is taken, not the best.")
        return newest
    say(f"{run_dir.path}: its best checkpoint is taken, that of step {step}.")
    return step


def _check_whole(prefix: str, where: str) -> None:
    """Refuses a damaged checkpoint of a folder that has manifests."""
    folder, name = os.path.split(os.path.abspath(prefix))
    step = re.fullmatch(r"ckpt-(\d+)", name)
    if not step or not manifests.manifest_steps(folder):
        return
    why = manifests.problem(folder, int(step[1]))
    if why:
        raise UserError(f"{where} cannot be used: {why}.")


def _last_index(folder: str) -> str | None:
    """The checkpoint of the highest step in a folder without a state file."""
    prefixes = [
        os.path.join(folder, name.removesuffix(".index"))
        for name in os.listdir(folder)
        if name.endswith(".index")
    ]

    def step(prefix: str) -> int:
        number = re.search(r"-(\d+)$", prefix)
        return int(number[1]) if number else -1

    return max(prefixes, key=step, default=None)
